"""A headless Chromium without any network: pages as it sees them."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Longer than any page takes: of the browser's own clock, which runs as fast as the page lets it.
PATIENCE_MS = 20_000
# Without a window, and without any network.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
    "--disable-background-networking",
)


@dataclass(frozen=True)
class Seen:
    """A page's elements after its scripts have run, and what it wrote to the console, complaints
    included.
    """

    dom: str
    console: list[str]


def chromium() -> str:
    """Return Chromium's path; skip the test without one, or fail it where one is demanded."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        demanded = os.environ.get("CI") or os.environ.get("MINNOW_REQUIRE_BROWSER")
        (pytest.fail if demanded else pytest.skip)("Chromium is missing: apt-get install chromium")
    return path


def see(page: Path, profile: Path, *options: str) -> Seen:
    """Open a file in a browser of its own, whose every look-up and connection fails."""
    command = [
        *(chromium(), *OPTIONS, "--hide-scrollbars", "--allow-file-access-from-files"),
        *(f"--user-data-dir={profile}", f"--virtual-time-budget={PATIENCE_MS}"),
        *("--enable-logging=stderr", "--dump-dom", *options, page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return Seen(done.stdout, re.findall(r":CONSOLE[^\]]*\] (.*)", done.stderr))


def framed(page: Path, width: int, folder: Path) -> Path:
    """Return a page that shows another in a frame of this width, and writes down what does not fit
    into it.

    A window cannot be made as narrow as a phone.
    """
    frame = folder / f"frame_{width}.html"
    frame.write_text(
        f"""<!doctype html>
        <iframe width="{width}" height="800" style="border: 0" src="{page.as_uri()}"></iframe>
        <script>
        const frame = document.querySelector("iframe");
        frame.onload = () => {{
          const view = frame.contentDocument, root = view.documentElement;
          const scrolls = (element) => element && (
            ["auto", "scroll"].includes(frame.contentWindow.getComputedStyle(element).overflowX)
            || scrolls(element.parentElement));
          const wide = [...view.body.querySelectorAll("*")].filter(
            (element) => element.getBoundingClientRect().right > {width} + 0.5
              && !scrolls(element));
          document.body.dataset.inner = frame.contentWindow.innerWidth;
          document.body.dataset.scroll = root.scrollWidth;
          document.body.dataset.wide = wide.map(
            (element) => element.tagName + "." + element.className).join(" ");
          document.body.dataset.drawings = [...view.querySelectorAll("svg")].filter(
            (element) => element.getBoundingClientRect().width > 100).length;
          const style = (element) => frame.contentWindow.getComputedStyle(element);
          document.body.dataset.ink = style(view.body).color;
          document.body.dataset.paper = style(view.body).backgroundColor;
          document.body.dataset.label = style(view.querySelector("svg text")).fill;
        }};
        </script>"""
    )
    return frame


def measured(seen: Seen) -> dict[str, str]:
    """Return what a framed page has written down."""
    return dict(re.findall(r'data-(\w+)="([^"]*)"', seen.dom))
