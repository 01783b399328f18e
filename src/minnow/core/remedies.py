"""What to type where an artefact is damaged."""

import shlex
from pathlib import Path

from minnow.layout import Layout


def damaged(path: Path, what: str) -> str:
    """Return the line for an artefact, file or folder, that is not what its stage wrote.

    DVC restores a damaged object of its cache without a word as long as the object is read-only,
    and takes a file that is damaged in place for what it was as long as size and time are the same.
    So the artefact goes, and the cache is made writable: then DVC checks each object before it
    takes it, drops the damaged ones, and runs their stages.
    """
    return (
        f"{what}, and DVC's cache may hold the same damage; `{renewal(path)}` makes DVC check its"
        " cache and build anew what is bad"
    )


def renewal(path: Path) -> str:
    """Return the command that has an artefact built anew, to be typed at the root of its
    checkout.
    """
    remove = f"rm -rf {shlex.quote(str(_removed(path)))}"
    return f'{remove} && chmod -R u+w "$(dvc cache dir)" && dvc repro'


def _removed(path: Path) -> Path:
    """Return what has to go, relative to the root where there is one."""
    path = path.absolute()
    roots = (parent for parent in path.parents if (parent / "dvc.yaml").exists())
    if (root := next(roots, None)) is None:
        return path
    scratches = Layout(root).control_scratch("any").parent
    if not path.is_relative_to(scratches):
        return path.relative_to(root)
    scratch = scratches / path.relative_to(scratches).parts[0]
    if (shared := path.resolve()).is_relative_to(scratch.resolve()):
        # A control remembers which of its stages are done: it begins anew.
        return scratch.relative_to(root)
    return shared.relative_to(root.resolve())
