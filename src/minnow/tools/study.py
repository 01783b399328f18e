"""study: run a recipe, params.yaml as it stands, over seeds of teacher, student and split, and keep
the margins of each run under a name.

Each run is an experiment of DVC's in a folder of its own (`dvc exp run --temp`): runs share the
cache, so that a teacher is trained once. Kept runs are not run again, so the same call goes on
where it was broken off, and a larger one adds what it lacks.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minnow.core.files import read_json
from minnow.core.params import active_preset, read_params
from minnow.errors import MinnowError, command, shortened
from minnow.experiments import study_tables
from minnow.experiments.kept_margins import RunSeeds, read_or_empty
from minnow.layout import JUDGED, Layout
from minnow.tools import dvc
from minnow.tools.keep import DEFAULT, KEPT_SPLITS, SEED_KEYS, keep_run, params_digest, require_name
from minnow.tools.repository import require_commit, require_git
from minnow.tools.same_results import REASONS
from minnow.tools.statistics import write_statistics

# The most teachers of a split, and students of a teacher: seeds are numbered by hundreds.
MOST = 100
# The stages that write what is kept; none of the two comes after the other.
TARGETS = ("teacher_eval", "evaluate")


def main(
    root: Path,
    name: str = "",
    recipe: str = DEFAULT,
    teachers: str = "3",
    students: str = "3",
    splits: str = "1",
) -> None:
    """Run what is not kept yet, then write the statistics and print their tables.

    Raises:
        MinnowError: a wrong name or number; no git repository with a commit; runs of other
        params are kept under this recipe; DVC fails.
    """
    require_name("STUDY", name)
    require_name("RECIPE", recipe)
    plan = planned(
        seed_count("SPLITS", splits),
        seed_count("TEACHERS", teachers),
        seed_count("STUDENTS", students),
    )
    require_git(root)
    require_commit(root)
    layout = Layout(root)
    path = layout.kept_margins(name)
    require_same_params(layout, path, recipe)
    for place, seeds in enumerate(plan, 1):
        if read_or_empty(path).find(recipe, seeds):
            continue
        print(f"run {place} of {len(plan)}, {recipe}: {told(seeds)}", flush=True)
        experiment = run_experiment(root, f"{name}-{recipe}-{seeds}", seeds)
        with tempfile.TemporaryDirectory(prefix="minnow-study-") as folder:
            fetched = fetch(root, experiment, Path(folder))
            print(keep_run(fetched, path, recipe), flush=True)
    print(write_statistics(layout, name))
    found = read_json(layout.results / f"{name}_study.json")
    for part in ("study_models", "study_hops", "study_parts"):
        print("", getattr(study_tables, part)(found[part]), sep="\n")


def seed_count(what: str, given: str) -> int:
    """Return how many seeds are asked for.

    Raises:
        MinnowError: it is no number from 1 to MOST.
    """
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= MOST):
        raise MinnowError(f"{what} is {shortened(given)!r}; give a number from 1 to {MOST}")
    return int(given)


def planned(splits: int, teachers: int, students: int) -> list[RunSeeds]:
    """Return the seeds of all runs. No seed of teachers or of students is used twice, so that what
    is nested is independent, and a larger plan holds every smaller one.
    """
    return [
        RunSeeds(split, MOST * split + teacher, MOST * (MOST * split + teacher) + student)
        for split in range(splits)
        for teacher in range(teachers)
        for student in range(students)
    ]


def told(seeds: RunSeeds) -> str:
    """Return the seeds in words."""
    return f"split seed {seeds.split}, teacher seed {seeds.teacher}, student seed {seeds.student}"


def require_same_params(layout: Layout, path: Path, recipe: str) -> None:
    """Refuse to mix runs of unlike params under one recipe.

    Raises:
        MinnowError: what is kept of this recipe was made with other params.
    """
    now = params_digest(read_params(layout.params))
    others = [run for run in read_or_empty(path).runs if run.recipe == recipe and run.params != now]
    if others:
        raise MinnowError(
            f"{path} keeps {len(others)} runs of the recipe {recipe!r} that were made with other"
            " params than params.yaml has now; give another RECIPE, or put params.yaml back"
        )


# Experiments


def run_experiment(root: Path, name: str, seeds: RunSeeds) -> str:
    """Return the name of the experiment with these seeds, run now if there is none of this code.

    Raises:
        MinnowError: it fails.
    """
    experiment = f"{name}-{state_of(root)}"
    if experiment in experiments_named(root, experiment):
        return experiment
    preset = active_preset(read_params(Layout(root).params))
    changes = [f"{at.format(preset)}={getattr(seeds, each)}" for each, at in SEED_KEYS.items()]
    sets = [word for change in changes for word in ("--set-param", change)]
    words = [dvc(), "exp", "run", "--temp", "--name", experiment, *sets, *TARGETS]
    if subprocess.run(words, cwd=root).returncode:
        raise MinnowError(
            f"the experiment {experiment} failed, and its message stands above; mend that and call"
            " `make study` again: it goes on from here"
        )
    return experiment


def state_of(root: Path) -> str:
    """Return a digest of the commit, and of what differs from it of all that runs depend on."""
    shown = (
        subprocess.run(words, cwd=root, capture_output=True, check=True).stdout
        for words in (
            ["git", "rev-parse", "HEAD"],
            ["git", "diff", "--binary", "HEAD", "--", *REASONS],
        )
    )
    return hashlib.sha256(b"\n".join(shown)).hexdigest()[:8]


def experiments_named(root: Path, name: str) -> Iterator[str]:
    """Yield the experiments with exactly this name."""
    words = ["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"]
    shown = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    yield from (line.rpartition("/")[2] for line in shown.splitlines())


def fetch(root: Path, experiment: str, folder: Path) -> Layout:
    """Lay out in a folder what is kept of an experiment, and return its layout.

    Raises:
        MinnowError: the experiment or DVC's cache lacks a file.
    """
    from dvc.api import DVCFileSystem

    layout, here = Layout(folder), Layout(Path())
    files = [here.params, here.evidence("calibration"), *map(here.metrics, JUDGED)]
    files += [here.split(split) for split in KEPT_SPLITS]
    files += [here.logits_of(model, split) for model in JUDGED for split in KEPT_SPLITS]
    checkout = DVCFileSystem(str(root), rev=experiment)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        try:
            checkout.get_file(file.as_posix(), str(folder / file))
        except OSError:
            forget = command("dvc exp remove", Path(experiment))
            raise MinnowError(
                f"the experiment {experiment} has no {file} in DVC's cache; {forget} has it run"
                " again by `make study`"
            ) from None
    return layout
