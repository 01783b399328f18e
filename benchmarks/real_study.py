"""One recipe each for three sizes of student, the same on both sets of real URLs, over seeds of
teacher and student; each run's margins are kept in docs/results/margins.

    python benchmarks/real_study.py psu --base MINILM --work /tmp/minnow_study

Also `hannousse`. `--base` is the folder of a pretrained base model, as for real_data.py. Each call
goes on in the clone that lies in the work folder: what is kept is not run again, and the plans grow
from one student a teacher to `--students`, so that a call that is broken off has all recipes alike.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "benchmarks")]

from compression import SMALLEST, narrow  # noqa: E402
from minnow.controls.scratch import with_changes  # noqa: E402
from minnow.core.params import read_params  # noqa: E402
from minnow.core.plain_yaml import as_yaml  # noqa: E402
from minnow.layout import Layout  # noqa: E402
from real_data import BASE, BASE_FILES, CASES, RAW, Case, Clone, overrides  # noqa: E402

# Students of 9.9, 3.85 and 1.99 MB. Temperature and loss are those of params.yaml on both sets.
RECIPES: dict[str, Mapping[str, Any]] = {
    "2mb": {**SMALLEST, **narrow(256, "projection")},
    "4mb": SMALLEST,
    "default": {},
}
TEACHERS = 3


def clone_of(case: Case, work: Path, shared: Path, base: Path) -> Clone:
    """Return the case's clone of HEAD, with data and base committed there: experiments in folders
    of their own see what git and DVC know.
    """
    clone = Clone(work / case.name)
    if clone.root.exists():
        return clone
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone.root)], check=True)
    clone.track(shared / case.file, RAW)
    (clone.root / BASE).mkdir(parents=True)
    for name in BASE_FILES:
        shutil.copyfile(base / name, clone.root / BASE / name)
    clone.run("dvc", "add", BASE)
    clone.run("git", "add", "data")
    clone.run("git", "commit", "--quiet", "--message", f"Data and base of {case.name}")
    return clone


def write_recipe(case: Case, clone: Clone, name: str) -> None:
    """Write params.yaml of a recipe. One thread a run: two runs beside each other get more done."""
    clone.restore("params.yaml")
    changed = {
        **overrides(case),
        "quantize.embeddings": "nf4",
        "presets.file.runtime.threads": 1,
        **RECIPES[name],
    }
    preset = changed.pop("preset")
    path = Layout(clone.root).params
    path.write_text(as_yaml({**with_changes(read_params(path), changed), "preset": preset}))


def study(case: Case, clone: Clone, recipe: str, students: int) -> None:
    """Run what is not kept of a recipe, and copy all that is kept to this checkout."""
    layout, ours = Layout(clone.root), Layout(PROJECT).kept_margins(case.name)
    theirs = layout.kept_margins(case.name)
    theirs.parent.mkdir(parents=True, exist_ok=True)
    if ours.exists() and not theirs.exists():
        shutil.copyfile(ours, theirs)
    write_recipe(case, clone, recipe)
    seeds = (str(TEACHERS), str(students), "1")
    clone.run(sys.executable, "src/stage.py", "study", case.name, recipe, *seeds)
    ours.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(theirs, ours)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipes of one case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=CASES)
    parser.add_argument("recipes", nargs="*", help="of these alone; all if none is given")
    parser.add_argument("--students", type=int, default=3, help="seeds a teacher")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared" / "data")
    parser.add_argument("--base", type=Path, required=True, help="folder of the pretrained MiniLM")
    parser.add_argument("--work", type=Path, default=Path("/tmp/minnow_study"))
    options = parser.parse_args(arguments)
    case = CASES[options.name]
    options.work.mkdir(parents=True, exist_ok=True)
    folders = options.work.resolve(), options.shared.resolve(), options.base.resolve()
    clone = clone_of(case, *folders)
    for students in range(1, options.students + 1):
        for recipe in options.recipes or RECIPES:
            study(case, clone, recipe, students)


if __name__ == "__main__":
    main()
