"""same_results: after a run, say in a line that metrics differ from the committed ones, and why.

Quiet where nothing differs, and where code, data or params differ too: then that is the reason.
"""

import subprocess
from pathlib import Path

from minnow.errors import tell

RESULTS = ("metrics", "reports", "dvc.lock")
REASONS = ("src", "params.yaml", "dvc.yaml", "data", "constraints.txt", "pyproject.toml")


def main(root: Path) -> None:
    """Print at most one line."""
    results, reasons = changed(root, RESULTS), changed(root, REASONS)
    if results and not reasons:
        tell(
            f"{len(results)} committed results differ from those of this machine: its CPU or its"
            " kernels give other weights; docs/reproducibility.md says what that is worth, `git"
            " checkout -- .` takes the committed ones back"
        )


def changed(root: Path, places: tuple[str, ...]) -> list[str]:
    """Return the tracked files below these places that differ from HEAD; none outside git."""
    command = ["git", "diff", "--name-only", "HEAD", "--", *places]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return shown.stdout.splitlines() if shown.returncode == 0 else []
