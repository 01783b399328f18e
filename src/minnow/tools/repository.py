"""repository: say what to do where DVC cannot work, before it says less.

`experiments` as argument asks whether temporary experiments work too.
"""

import subprocess
from pathlib import Path

from minnow.errors import MinnowError, choice, command, shortened
from minnow.tools import dvc

EXPERIMENTS = "experiments"


def main(root: Path, use: str = "") -> None:
    """End without a word if the checkout is one that DVC can work in.

    Raises:
        MinnowError: there is no git repository, or DVC could not name its cache in a temporary
        experiment.
    """
    require_git(root)
    if use:
        choice("repository", use, [EXPERIMENTS])
        require_plain_cache(cache_of(root))


def require_git(root: Path) -> None:
    """Refuse a folder that is no git repository, such as an unpacked archive.

    Raises:
        MinnowError: says how it becomes one.
    """
    if not (root / ".git").exists():
        start = command("git init && git add --all && git commit --message start")
        raise MinnowError(
            f"{root} is no git repository, and DVC works in nothing else; make it one with {start},"
            " or clone the project with git"
        )


def cache_of(root: Path) -> Path:
    """Return the folder of DVC's cache."""
    done = subprocess.run([dvc(), "cache", "dir"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise MinnowError(f"`dvc cache dir` failed: {shortened(done.stderr.strip(), 120)}")
    return root / done.stdout.strip()


def require_plain_cache(cache: Path) -> None:
    """Refuse a cache whose path has letters beyond ASCII: DVC writes it into the configuration of
    each temporary experiment, as ASCII alone.

    Raises:
        MinnowError: says how the cache moves to another path.
    """
    if not str(cache).isascii():
        move = command("dvc cache dir --local /path/of/plain/letters")
        raise MinnowError(
            "DVC's temporary experiments need a cache whose path has no letters beyond ASCII, and"
            f" {shortened(str(cache), 90)} has some; give it another place with {move}, or move"
            " the checkout"
        )
