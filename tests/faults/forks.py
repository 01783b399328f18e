"""Stages in processes of their own that pay for no imports: a server imports once and then forks.

A fork is killed, limited and judged like any other process, and costs a second where
`python src/stage.py` costs six.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
SRC = TESTS.parent / "src"
CRASHED = 70


@dataclass
class Forked:
    """A stage that runs in a fork, and the file that it prints into."""

    server: "Forks"
    pid: int
    log: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative after a signal, or None while it runs."""
        if self.code is None:
            self.code = self.server.ask({"poll": self.pid})
        return self.code

    def wait(self, seconds: float = 120.0) -> int:
        """Return its exit code; one that does not end is killed, and an error says so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (code := self.poll()) is not None:
                return code
            time.sleep(0.01)
        self.send_signal(9)
        raise AssertionError(f"still running after {seconds} s: {self.text()[-500:]}")

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Forks:
    """The server's other end; close it when done."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sys.path[:0] = [path for path in (str(SRC), str(TESTS)) if path not in sys.path]
        from minnow.core.kernels import VARIABLES

        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **VARIABLES, "OMP_WAIT_POLICY": "PASSIVE", **self.environment},
            text=True,
        )

    def ask(self, order: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def begin(
        self,
        root: Path,
        command: str,
        log: Path,
        *,
        checkpoint_seconds: float = 60.0,
        limits: Mapping[str, int] | None = None,
    ) -> Forked:
        """Start a stage on a project; `limits` are names of RLIMIT_… with their values."""
        order = {"root": str(root), "command": command, "log": str(log), "limits": limits or {}}
        return Forked(self, self.ask({**order, "checkpoint_seconds": checkpoint_seconds}), log)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


# --- The server -----------------------------------------------------------------------------------


def serve() -> None:
    """Import what stages need, then fork one for each order, until the other end is closed."""
    sys.path[:0] = [str(SRC), str(TESTS)]
    import polars  # noqa: F401  # imported, not used: its threads would not outlive a fork
    import torch

    import minnow.data.splits
    import minnow.distill.whitebox
    import minnow.models.pretrained
    import minnow.quantization.recovery
    import minnow.student.origin
    import minnow.teacher.origin
    import minnow.training.fitting  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            pid, status = os.waitpid(order["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork() or run(order)
        print(json.dumps(answer), flush=True)


def run(order: Mapping[str, Any]) -> None:
    """Run one stage in this fork, and end it as the interpreter would."""
    from helpers.stage import entry_point
    from minnow.training import loop

    code: Any = CRASHED
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.chdir(order["root"])
        for name, value in order["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        loop.CHECKPOINT_SECONDS = order["checkpoint_seconds"]
        stage = entry_point()
        stage.ROOT = Path(order["root"])  # type: ignore[attr-defined]
        code = stage.main(order["command"].split())
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        os._exit(code if isinstance(code, int) else CRASHED)


if __name__ == "__main__":
    serve()
