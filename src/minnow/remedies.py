"""What to type where an artefact is damaged."""

import shlex
from pathlib import Path

from minnow.layout import Layout


def damaged_line(path: Path, what: str) -> str:
    """Return the line for an artefact, file or folder, that is not what its stage wrote.

    DVC restores an object of its cache unread as long as the object is read-only, or as long as its
    time is the one that DVC remembers; the same goes for the artefact itself. So the artefact goes,
    and the objects become writable and new: then DVC checks each one before it takes it, drops the
    damaged ones, and runs their stages.
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
    objects = 'find "$(dvc cache dir)" -type f'
    return f"{remove} && {objects} -exec chmod u+w {{}} + -exec touch {{}} + && dvc repro"


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
