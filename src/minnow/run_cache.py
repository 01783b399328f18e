"""What DVC's run-cache holds of a stage that DVC is about to run all the same.

Where dvc.lock knows the stage with these very inputs, DVC 3 looks for the outs that the lock names
and nowhere else (dvc/stage/cache.py, `StageCache.restore`). After a run on another CPU and
`git checkout -- .` the lock names outs that this cache never held, although the run-cache holds
those of that run: without this module what takes an hour would be trained again.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import reason, tell, warn

if TYPE_CHECKING:
    from dvc.repo import Repo

# What takes long enough to be looked for; of all else DVC's own way is enough.
STAGES = ("teacher", "distill", "recover", "control")


def restored(root: Path) -> bool:
    """Check out what an earlier run gave of the stage that DVC is running, if there was one.

    False too where the cache holds what dvc.lock names: then somebody forces the stage to run.
    """
    name = os.environ.get("DVC_STAGE")
    if name is None:
        return False
    from dvc.exceptions import DvcException

    try:
        return _checked_out(root, name)
    except DvcException as error:
        warn(f"DVC's run-cache cannot be read ({reason(error)}): {name} runs anew")
        return False


def _checked_out(root: Path, name: str) -> bool:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        (stage,) = repo.stage.collect(name)
        if not any(out.use_cache and out.changed_cache() for out in stage.outs):
            return False
        stage.save_deps()
        for run in earlier_runs(repo, stage):
            if run.outs_cached():
                for out in run.outs:
                    out.checkout()
                tell(f"{name} has run with these inputs before: its outs come from DVC's run-cache")
                return True
    return False


def earlier_runs(repo: "Repo", stage: Any) -> Iterator[Any]:
    """Yield earlier runs of a stage with the same command and inputs, the latest first."""
    from dvc.stage.cache import _get_stage_hash

    cache = repo.stage_cache
    key = _get_stage_hash(stage)
    folder = Path(cache._get_cache_dir(key))
    entries = (
        sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime) if folder.is_dir() else []
    )
    for entry in reversed(entries):
        if lock := cache._load_cache(key, entry.name):
            yield cache._create_stage(lock, wdir=stage.wdir)
