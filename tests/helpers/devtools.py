"""A headless Chromium that is driven over a pipe: pages that are used, not only looked at.

What it asks the network for is written down, and none of it is answered.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.browser import OPTIONS, chromium


class Tab:
    """One tab, and what it has asked for and complained about so far."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = os.fdopen(reading, "rb", 0), writing
        self.buffer, self.number, self.session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.folder = Path()  # of the pages that a test opens
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Return what the browser answers to a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self._note(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            got = self.reading.read(1 << 16)
            assert got, "Chromium has ended"
            self.buffer += got
        message, self.buffer = self.buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])

    def run(self, script: str) -> Any:
        """Return the value of a script, of a promise what it becomes."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a script's value is true; ten seconds at most."""
        waiting = f"""(async () => {{
          for (let i = 0; i < 1000 && !({condition}); i++)
            await new Promise((resolve) => setTimeout(resolve, 10));
          return Boolean({condition});
        }})()"""
        assert self.run(waiting), condition

    def until_file(self, path: Path) -> None:
        """Wait until a file is there; ten seconds at most."""
        for _ in range(1000):
            if path.is_file():
                return
            self.run("new Promise((resolve) => setTimeout(resolve, 10))")
        raise AssertionError(f"{path} was not written")

    def open(self, page: Path) -> None:
        """Open a file, and wait until its scripts have run."""
        self.send("Page.navigate", url=page.as_uri())
        self.until(f"location.href === {json.dumps(page.as_uri())}")
        self.until("document.readyState === 'complete'")

    def look(self, *, width: int, dark: bool = False, height: int = 800) -> None:
        """Give the page a width in pixels, and the user's wish for dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        wish = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[wish])

    def picture(self) -> bytes:
        """Return the page in full length as PNG."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(found["data"])


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """Yield a tab of a browser of its own, whose every look-up and connection fails."""
    (from_browser, browser_writes), (browser_reads, to_browser) = os.pipe(), os.pipe()
    command = f'exec "$@" 3<&{browser_reads} 4>&{browser_writes}'
    options = [
        *OPTIONS,
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
        "about:blank",
    ]
    with subprocess.Popen(
        ["bash", "-c", command, "bash", chromium(), *options, "--remote-debugging-pipe"],
        pass_fds=(browser_reads, browser_writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(browser_reads)
        os.close(browser_writes)
        try:
            yield Tab(from_browser, to_browser)
        finally:
            process.kill()
            os.close(to_browser)
