"""The quick part of `make faults`: stages in forks, struck in mid-training, starved and damaged."""

import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from faults.forks import Forked, Forks
from faults.judging import differences, leftovers, refusals, results, wordy
from faults.stand import flip, wait_for
from helpers.stage import TRAINING, edit, new_project

BEFORE = ("prepare", "teacher_states", "teacher_unlabelled", "teacher_logits")
OUT = {"teacher": "models/teacher", "distill": "models/student"}
Begin = Callable[..., Forked]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def base(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which teacher and student were trained undisturbed. Not to be changed."""
    root = new_project(tmp_path_factory.mktemp("faults") / "base")
    longer = {**TRAINING, "epochs": 3, "batch_size": 8}
    edit(root, {f"{each}.training": longer for each in ("teacher", "student")}, "embedded")
    for stage in ("prepare", "teacher", *BEFORE[1:], "distill"):
        run = forks.begin(root, stage, root.with_name("log"))
        assert run.wait() == 0, run.text()
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    """A copy, whose models are to be made again."""
    return Path(shutil.copytree(base, tmp_path / "project"))


@pytest.fixture
def begin(forks: Forks, root: Path) -> Begin:
    def start(stage: str, **options: object) -> Forked:
        return forks.begin(root, stage, root.with_name("log"), **options)  # type: ignore[arg-type]

    return start


def checkpoints(root: Path) -> list[Path]:
    return list((root / ".minnow" / "checkpoints").glob("*.pt"))


def in_training(begin: Begin, root: Path, stage: str) -> Forked:
    """Return a stage that has written a checkpoint, a seeded moment after that."""
    run = begin(stage, checkpoint_seconds=0.0)
    assert wait_for(lambda: checkpoints(root) or run.poll() is not None)
    assert run.poll() is None, run.text()
    time.sleep(Random(stage).uniform(0.0, 0.05))
    return run


def recovers(begin: Begin, root: Path, base: Path, stage: str) -> str:
    """Run the stage undisturbed: the bytes of the base, and nothing left. Return what it said."""
    run = begin(stage)
    assert run.wait() == 0, run.text()
    assert differences(results(root), results(base)) == []
    assert leftovers(root) == []
    assert {path.name for path in root.parent.iterdir()} == {root.name, "log"}
    return run.text()


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("teacher", signal.SIGKILL),
        ("distill", signal.SIGKILL),
        ("teacher", signal.SIGTERM),
        ("distill", signal.SIGINT),
    ],
)
def test_a_struck_training_goes_on_to_the_same_bytes(
    begin: Begin, root: Path, base: Path, stage: str, number: int
) -> None:
    run = in_training(begin, root, stage)
    run.send_signal(number)
    assert run.wait() != 0
    assert "Traceback" not in run.text()
    assert results(root, [OUT[stage]]) == results(base, [OUT[stage]])  # the former one, whole
    assert "resuming a killed training" in recovers(begin, root, base, stage)


@pytest.mark.parametrize("limit", ["FSIZE", "AS"])
def test_a_training_without_room_ends_in_one_line(
    begin: Begin, root: Path, base: Path, limit: str
) -> None:
    """No file may grow any more, as on a full disk, or no more memory is to be had."""
    run = in_training(begin, root, "teacher")
    resource.prlimit(run.pid, getattr(resource, f"RLIMIT_{limit}"), (100_000, 100_000))
    assert run.wait() != 0
    assert wordy(run.text()) == ""
    assert results(root, [OUT["teacher"]]) == results(base, [OUT["teacher"]])
    recovers(begin, root, base, "teacher")


@pytest.mark.parametrize("damage", ["flipped", "cut short", "a folder"])
def test_a_damaged_checkpoint_is_told_and_trained_around(
    begin: Begin, root: Path, base: Path, damage: str
) -> None:
    run = in_training(begin, root, "teacher")
    run.send_signal(signal.SIGKILL)
    run.wait()
    for file in checkpoints(root):
        content = file.read_bytes()
        if damage == "flipped":
            flip(file, Random(0))
        elif damage == "cut short":
            file.write_bytes(content[: len(content) // 2])
        else:
            file.unlink()
            file.mkdir()
    assert "damaged" in recovers(begin, root, base, "teacher")


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("teacher", "data/prepared/train.parquet"),
        ("distill", "data/prepared/validation.parquet"),
        ("distill", "data/logits/teacher/train.parquet"),
        ("distill", "models/teacher/model.safetensors"),
    ],
)
def test_a_flipped_bit_is_never_believed(begin: Begin, root: Path, stage: str, name: str) -> None:
    flip(root / name, Random(name))
    before = results(root)
    run = begin(stage)
    assert run.wait() != 0, "it was believed"
    assert wordy(run.text()) == ""
    assert name in refusals(run.text())[0]
    assert results(root) == before
