"""What `make` calls beside the pipeline."""

import subprocess
import sys
from pathlib import Path

from minnow.errors import MinnowError


def dvc() -> str:
    """Return the dvc of this environment."""
    return str(Path(sys.executable).parent / "dvc")


def git(root: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run git in a folder and return what it said.

    Raises:
        MinnowError: there is no git.
    """
    try:
        return subprocess.run(["git", *words], cwd=root, capture_output=True)
    except (FileNotFoundError, PermissionError):
        raise MinnowError(
            "there is no program git on PATH, and this project needs it: install it (`apt install"
            " git`), or put its folder on PATH"
        ) from None
