"""same_results: after a run, say in a line that metrics differ from the committed ones, and why.

Quiet where nothing differs, and where code, data or params differ too, from those committed or from
those that the committed results were made with: then that is the reason.
"""

from pathlib import Path
from typing import Any

from minnow.errors import tell
from minnow.layout import Layout
from minnow.recorded import locked
from minnow.tools import git

RESULTS = ("metrics", "reports", "dvc.lock")
REASONS = ("src", "params.yaml", "dvc.yaml", "data", "constraints.txt", "pyproject.toml")
# What of it no stage makes.
SUPPLIED = ("src/", "data/raw/", "data/base/")


def main(root: Path) -> None:
    """Print at most one line."""
    results, reasons = changed(root, RESULTS), changed(root, REASONS)
    if results and not reasons and ran_on(committed_lock(root)) == ran_on(written_lock(root)):
        tell(
            f"{len(results)} committed results differ from those of this machine: its CPU or its"
            " kernels give other weights; docs/reproducibility.md says what that is worth, `git"
            " checkout -- .` takes the committed ones back"
        )


def ran_on(lock: bytes) -> dict[str, Any]:
    """Return by stage the code, the supplied data and the params that a dvc.lock says it ran on."""
    return {
        name: (
            stage.get("params"),
            [dep for dep in stage.get("deps", []) if dep["path"].startswith(SUPPLIED)],
        )
        for name, stage in (locked(lock) if lock else {}).items()
    }


def committed_lock(root: Path) -> bytes:
    """Return the content of dvc.lock at HEAD, empty where there is none."""
    return git(root, "show", "HEAD:./dvc.lock").stdout


def written_lock(root: Path) -> bytes:
    """Return the content of dvc.lock as it is now, empty where there is none."""
    lock = Layout(root).lock
    return lock.read_bytes() if lock.exists() else b""


def changed(root: Path, places: tuple[str, ...]) -> list[str]:
    """Return the tracked files below these places that differ from HEAD; none outside git."""
    shown = git(root, "diff", "--name-only", "HEAD", "--", *places)
    return shown.stdout.decode(errors="replace").splitlines() if shown.returncode == 0 else []
