"""Controls: what is changed, what is kept, what is left alone, and that a killed run goes on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import yaml

from helpers.paths import ROOT
from helpers.stage import edit, new_project, tree
from minnow.controls import definitions
from minnow.controls import scratch as scratch_module
from minnow.controls.scratch import Step, scratch_of
from minnow.core.files import read_json
from minnow.core.tables import read_table, write_table
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.stages import (
    control,
    distill,
    prepare,
    teacher,
    teacher_logits,
    teacher_states,
    teacher_unlabelled,
    validate,
)
from minnow.training import loop

PIPELINE: list[Step] = [
    prepare.main,
    teacher.main,
    teacher_logits.main,
    teacher_states.main,
    teacher_unlabelled.main,
    distill.main,
    control.predict_student,
]


def controlled(root: Path, preset: str = "embedded") -> Path:
    """Lay out a project that asks for every control."""
    new_project(root, preset)
    edit(root, {"controls": list(definitions.CONTROLS)})
    validate.main(root)
    return root


def in_order(root: Path, steps: list[Step]) -> Path:
    for step in steps:
        step(root)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project whose pipeline ran up to the student's logits. Not to be changed: copy it."""
    return in_order(controlled(tmp_path_factory.mktemp("controls") / "project"), PIPELINE)


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project"))


def scratch(root: Path, name: str) -> Path:
    return Layout(root).control_scratch(name)


# --- What it computes -----------------------------------------------------------------------------


def test_no_teacher_is_what_distill_gives_without_soft_weight(
    project: Path, tmp_path: Path
) -> None:
    """Byte for byte, weights made in other processes and in a folder of another name."""
    control.main(project, "no_teacher")
    other = Path(shutil.copytree(project, tmp_path / "other"))
    edit(other, {"distill.soft_weight": 0.0})
    shutil.copytree(
        ROOT / "src", other / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    for command in (["distill"], ["predict", "student"]):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(
            [sys.executable, "src/stage.py", *command],
            cwd=other,
            env=environment,
            check=True,
            timeout=120,
        )
    for split in definitions.KEPT_SPLITS:
        kept = (Layout(project).control("no_teacher") / "student" / f"{split}.parquet").read_bytes()
        assert kept == Layout(other).logits_of("student", split).read_bytes()
        assert kept != Layout(project).logits_of("student", split).read_bytes()


def test_random_split_is_the_pipeline_with_a_random_split(project: Path, tmp_path: Path) -> None:
    """Byte for byte, though here five stages share a process with whatever ran before."""
    control.main(project, "random_split")
    other = new_project(tmp_path / "other")
    edit(other, {"data.split": "random"}, "embedded")
    in_order(other, PIPELINE)
    kept, ordinary = Layout(project).control("random_split"), Layout(other)
    for split in definitions.KEPT_SPLITS:
        for model in ("teacher", "student"):
            wanted = ordinary.logits_of(model, split).read_bytes()
            assert (kept / model / f"{split}.parquet").read_bytes() == wanted
        rows = read_table(kept / "prepared" / f"{split}.parquet")
        assert rows.equals(read_table(ordinary.split(split)).select("id", "label", "domain"))
    facts, report = read_json(kept / "facts.json"), read_json(ordinary.metrics("prepare"))
    assert facts["leak"] == report["leak"]
    assert facts["rows"] == {
        split: sum(counts.values()) for split, counts in report["kept"].items()
    }


def test_the_reader_gives_labels_and_logits_of_the_same_rows(project: Path) -> None:
    control.main(project, "no_teacher")
    layout = Layout(project)
    run = definitions.read_control(layout, "no_teacher")
    assert run.facts == {
        "control": "no_teacher",
        "changed": {"distill.soft_weight": 0.0},
        "rows": {
            split: read_table(layout.split(split)).height
            for split in ("train", "validation", "test")
        },
        "leak": 0.0,
        "pipeline_leak": 0.0,
    }
    assert set(run.logits) == {"student"}
    for split, rows in run.rows.items():
        table = read_table(layout.split(split))
        assert rows.equals(table.select("id", "label", "domain"))
        stored = read_table(layout.control("no_teacher") / "student" / f"{split}.parquet")
        wanted = (
            table.select("id").join(stored, on="id", maintain_order="left").drop("id").to_numpy()
        )
        assert np.array_equal(run.logits["student"][split], wanted)


def test_the_reader_refuses_logits_of_other_rows(project: Path) -> None:
    control.main(project, "no_teacher")
    labels = Layout(project).control("no_teacher") / "prepared" / "test.parquet"
    write_table(
        labels, read_table(labels).with_columns(pl.lit("0123456789abcdef").alias("id")).head(1)
    )
    with pytest.raises(MinnowError, match="belongs to other rows"):
        definitions.read_control(Layout(project), "no_teacher")


# --- What it leaves alone -------------------------------------------------------------------------


@pytest.mark.parametrize("name", definitions.CONTROLS)
def test_it_adds_its_folder_and_nothing_else(project: Path, name: str) -> None:
    before = tree(project)
    control.main(project, name)
    after = tree(project)
    assert before.items() <= after.items()
    assert {path for path in after if path not in before and path != "data/controls"} == {
        path for path in after if path.startswith(f"data/controls/{name}")
    }
    suffixes = {path.suffix for path in Layout(project).control(name).rglob("*") if path.is_file()}
    assert suffixes == {".parquet", ".json"}, "no weights and no pickle"
    assert not scratch(project, name).exists()


def test_a_second_run_gives_the_same_bytes(project: Path) -> None:
    control.main(project, "no_teacher")
    before = tree(project)
    control.main(project, "no_teacher")
    assert tree(project) == before


def test_only_the_named_keys_are_changed(project: Path) -> None:
    edit(project, {"distill.temperature": 3.5, "distill.seed": 7})
    edit(project, {"student.training.learning_rate": 1.0e-05}, "embedded")
    for name in definitions.CONTROLS:
        layout = scratch_of(Layout(project), name, "params")
        ours, theirs = (
            yaml.safe_load(place.params.read_text()) for place in (Layout(project), layout)
        )
        assert ours != theirs
        for key, value in scratch_module.changed_params(Layout(project), name).items():
            *parents, last = key.split(".")
            block = ours
            for parent in parents:
                block = block[parent]
            block[last] = value
        assert ours == theirs


# --- Killed in the middle -------------------------------------------------------------------------


def run_log(monkeypatch: pytest.MonkeyPatch, name: str, stop: Callable[[], str]) -> list[str]:
    """Log the control's steps, and end the process before the one that `stop` names, as SIGTERM
    does.
    """
    ran: list[str] = []

    def logged(each: Step) -> Step:
        def run(root: Path) -> None:
            if each.__module__.endswith(stop()):
                sys.exit(143)
            ran.append(each.__module__.rpartition(".")[2])
            each(root)

        return run

    monkeypatch.setitem(control.STEPS, name, [logged(each) for each in control.STEPS[name]])
    return ran


@pytest.mark.parametrize("edited", [False, True])
def test_a_killed_run_goes_on_unless_something_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    """What stands at the end is what a run in one piece gives."""
    stop = ["distill"]
    ran = run_log(monkeypatch, "random_split", lambda: stop[0])
    with pytest.raises(SystemExit):
        control.main(project, "random_split")
    assert not Layout(project).control("random_split").exists()
    first = [
        "prepare",
        "scratch",
        "teacher",
        "teacher_logits",
        "teacher_states",
        "teacher_unlabelled",
    ]
    assert ran == first
    if edited:
        edit(project, {"data.seed": 1}, "embedded")
    stop[0] = "nothing"
    control.main(project, "random_split")
    assert ran == first + (first if edited else []) + ["distill", "control"]
    resumed = tree(Layout(project).control("random_split"))
    shutil.rmtree(Layout(project).control("random_split"))
    control.main(project, "random_split")
    assert tree(Layout(project).control("random_split")) == resumed
    assert not scratch(project, "random_split").exists()


def test_a_training_killed_halfway_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its checkpoint in the scratch, to the same bytes."""
    control.main(project, "no_teacher")
    whole = tree(Layout(project).control("no_teacher"))
    shutil.rmtree(Layout(project).control("no_teacher"))
    save, steps = loop._Run.save_if_due, []

    def killed(run: loop._Run) -> None:
        save(run)
        steps.append(run)
        if len(steps) == 3:
            sys.exit(143)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(loop._Run, "save_if_due", killed)
    with pytest.raises(SystemExit):
        control.main(project, "no_teacher")
    left = Layout(scratch(project, "no_teacher")).checkpoints.glob("student-*.pt")
    assert sorted(len(file.suffixes) for file in left) == [1, 2]  # the last, and the one before
    control.main(project, "no_teacher")
    assert "resuming a killed training at epoch 1, batch 4" in capsys.readouterr().err
    assert tree(Layout(project).control("no_teacher")) == whole


def test_a_checkpoint_outlives_a_change_elsewhere(project: Path) -> None:
    """Its own name says whether it still fits; all else in the scratch is made anew."""
    layout = scratch_of(Layout(project), "no_teacher", "params")
    layout.checkpoints.mkdir(parents=True)
    (layout.checkpoints / "student-0.pt").touch()
    (layout.root / "models" / "student").mkdir()
    again = scratch_of(Layout(project), "no_teacher", "other params")
    assert (again.checkpoints / "student-0.pt").exists()
    assert not again.model("student").exists()
    assert again.model("teacher").resolve() == Layout(project).model("teacher").resolve()
    assert (Layout(project).model("teacher") / "manifest.json").exists(), (
        "a link is removed, not what it shows"
    )


@pytest.mark.parametrize(("file", "kept"), [("report/svg.py", True), ("models/folders.py", False)])
def test_a_scratch_depends_on_the_code_that_its_stages_run(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, kept: bool
) -> None:
    code = tmp_path / "minnow"
    shutil.copytree(scratch_module.PACKAGE, code)
    monkeypatch.setattr(scratch_module, "PACKAGE", code)
    layout = scratch_of(Layout(project), "no_teacher", "params")
    (layout.root / "models" / "student").mkdir()
    with (code / file).open("a") as opened:
        opened.write("changed = True\n")
    again = scratch_of(Layout(project), "no_teacher", "params")
    assert again.model("student").exists() == kept


# --- Refusals -------------------------------------------------------------------------------------


def test_an_unknown_control_is_refused_with_the_nearest(project: Path) -> None:
    with pytest.raises(
        MinnowError,
        match="takes one of no_teacher, random_split, given 'no_teachers'; did you mean",
    ):
        control.main(project, "no_teachers")


@pytest.mark.parametrize(
    ("name", "changes", "preset", "said"),
    [
        (
            "no_teacher",
            {"distill.soft_weight": 0},
            "",
            "distill.soft_weight 0.0, .*copies 0, teacher_states.layers null, as it is already",
        ),
        (
            "random_split",
            {"data.split": "random"},
            "embedded",
            "presets.embedded.data.split random, as it is already",
        ),
    ],
)
def test_a_control_that_changes_nothing_is_refused(
    project: Path, name: str, changes: dict[str, Any], preset: str, said: str
) -> None:
    edit(project, changes, preset)
    with pytest.raises(MinnowError, match=said):
        control.main(project, name)
    assert not scratch(project, name).exists()


@pytest.mark.parametrize(
    "published", [{"split_column": "split"}, {"test_path": "data/raw/file/test.csv"}]
)
def test_a_published_test_split_is_refused_before_anything_is_trained(
    tmp_path: Path, published: dict[str, str]
) -> None:
    root = controlled(tmp_path / "project", "file")
    rows = [
        (f"site{number}.example/{number}", number % 2, ("train", "test")[number % 4 > 1])
        for number in range(80)
    ]
    table = pl.DataFrame(rows, schema=["url", "label", "split"], orient="row")
    for name in ("urls.csv", "test.csv"):
        table.write_csv(Layout(root).raw("file") / name)
    edit(root, {f"data.{key}": value for key, value in published.items()}, "file")
    if "test_path" in published:
        table.with_columns(pl.col("url") + "/other").write_csv(
            Layout(root).raw("file") / "test.csv"
        )
    with pytest.raises(
        MinnowError, match="brings a test split of its own, which is kept; take random_split off"
    ):
        control.main(root, "random_split")
    assert not Layout(root).control("random_split").exists()


# --- On and off -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", definitions.CONTROLS)
def test_one_that_is_not_asked_for_leaves_a_note_alone(tmp_path: Path, name: str) -> None:
    """What an earlier run left is gone, so that nothing of it can be evaluated."""
    root = new_project(tmp_path / "project")
    layout = Layout(root)
    (layout.control(name) / "student").mkdir(parents=True)
    validate.main(root)
    control.main(root, name)
    assert [file.name for file in layout.control(name).rglob("*")] == ["facts.json"]
    assert read_json(layout.control(name) / "facts.json") == {"control": name, "asked": False}
    assert not scratch(root, name).exists()


def test_to_ask_for_one_changes_nothing_that_the_other_depends_on(tmp_path: Path) -> None:
    layout = Layout(new_project(tmp_path / "project"))
    edit(layout.root, {"controls": ["random_split"]})
    validate.main(layout.root)
    before = layout.asked("random_split").read_bytes()
    edit(layout.root, {"controls": ["no_teacher", "random_split"]})
    validate.main(layout.root)
    assert layout.asked("random_split").read_bytes() == before
    assert read_json(layout.asked("no_teacher")) == {"asked": True}


def test_names_are_those_of_params_and_of_the_stage() -> None:
    from minnow.evaluation import params

    (literal,) = [get_args(item)[0] for item in [params.Controls.model_fields["root"].annotation]]
    assert set(get_args(literal)) == set(definitions.CONTROLS) == set(control.STEPS)
