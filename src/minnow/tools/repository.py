"""repository: say what to do where DVC cannot work, before it says less.

`experiments` as argument asks whether temporary experiments work too.
"""

import os
import subprocess
from pathlib import Path

from minnow.errors import MinnowError, choice, command, shortened
from minnow.tools import dvc, git

EXPERIMENTS = "experiments"


def main(root: Path, use: str = "") -> None:
    """End without a word if the checkout is one that DVC can work in.

    Raises:
        MinnowError: there is no git repository that git works in, or for experiments no commit in
        it, or DVC could not name its cache in a temporary experiment.
    """
    require_git(root)
    if use:
        choice("repository", use, [EXPERIMENTS])
        require_commit(root)
        require_plain_cache(cache_of(root))


def require_git(root: Path) -> None:
    """Refuse a folder that git does not take for a repository, such as an unpacked archive.

    Raises:
        MinnowError: says how it becomes one.
    """
    found = git(root, "rev-parse", "--show-toplevel")
    said = found.stderr.decode(errors="replace").strip()
    if b"safe.directory" in found.stderr:
        trust = command("git config --global --add safe.directory", root)
        raise MinnowError(
            f"git does not work in {root}, which belongs to another user; if you trust whoever"
            f" wrote it, run {trust}, or make it yours with chown"
        )
    if not os.path.lexists(root / ".git"):
        raise MinnowError(
            f"{root} is no git repository, and DVC works in nothing else; make it one with"
            f" {first_commit(root)}, or clone the project with git"
        )
    if found.returncode or not Path(os.fsdecode(found.stdout).rstrip("\n")).samefile(root):
        told = f" (git says: {shortened(said.splitlines()[0], 80)})" if said else ""
        raise MinnowError(
            f"{root / '.git'} is damaged{told}; move it away and make a new one with"
            f" {first_commit(root)}, or clone the project anew"
        )


def require_commit(root: Path) -> None:
    """Refuse a repository without a commit: temporary experiments start from one.

    Raises:
        MinnowError: says how it gets one.
    """
    if git(root, "rev-parse", "--verify", "HEAD").returncode:
        raise MinnowError(
            f"{root} has no commit yet, and DVC's experiments start from one; make it with"
            f" {first_commit(root)}"
        )


def first_commit(root: Path) -> str:
    """Return the command that makes a folder a repository, also for who has told git no name."""
    known = git(Path(root.anchor), "var", "GIT_COMMITTER_IDENT").returncode == 0
    who = "" if known else " -c user.name=me -c user.email=me@localhost"
    return command(f"git init && git add --all && git{who} commit --message start")


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
