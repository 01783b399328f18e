"""Which stages run again when a param changes, by a real `dvc repro` on tiny models."""

import json
from pathlib import Path

import polars as pl
import pytest

from helpers.pipeline import (
    AFTER_DISTILL,
    AFTER_QUANTIZE,
    AFTER_RECOVER,
    JUDGED,
    NEW_URLS,
    edit,
    metrics,
    run,
    stages_run,
)

pytestmark = pytest.mark.pipeline


def test_a_new_temperature_never_runs_the_teacher(project: Path) -> None:
    before = metrics(project)
    output = run(project, "dvc", "exp", "run", "-S", "distill.temperature=4")
    assert set(stages_run(output)) == {"distill"} | AFTER_DISTILL
    after = metrics(project)
    assert after["metrics/teacher.json"] == before["metrics/teacher.json"]
    assert (
        after["metrics/plots/student_training.csv"] != before["metrics/plots/student_training.csv"]
    )


def test_more_text_runs_the_teacher_on_that_alone_and_once(project: Path) -> None:
    (project / "data/raw/embedded/more.csv").write_text("\n".join(["text", *NEW_URLS]) + "\n")
    more = (
        "-S",
        "teacher_unlabelled.file=data/raw/embedded/more.csv",
        "-S",
        "teacher_unlabelled.copies=1",
    )
    run(project, "dvc", "repro", "prepare")  # the folder changed, not what comes out of it
    output = run(project, "dvc", "exp", "run", *more, "distill")
    assert stages_run(output) == ["teacher_unlabelled", "distill"]
    report = json.loads((project / "data/unlabelled/report.json").read_text())
    assert report["file"]["kept"] == len(NEW_URLS)
    output = run(project, "dvc", "exp", "run", *more, "-S", "distill.temperature=4", "distill")
    assert stages_run(output) == ["distill"]
    output = run(project, "dvc", "exp", "run", *more, "-S", "distill.temperature=4")
    again = {"predict_exported", *(f"predict_extra@{model}" for model in JUDGED)}
    assert set(stages_run(output)) == AFTER_DISTILL | again
    card = (project / "models/release/README.md").read_text().replace("\n", " ")
    assert f"{len(NEW_URLS)} of the file `more.csv`" in card


def test_no_teacher_and_pure_imitation_both_run(project: Path) -> None:
    curves = {(project / "metrics/plots/student_training.csv").read_bytes()}
    for weight in ("0.0", "1.0"):
        output = run(project, "dvc", "exp", "run", "-S", f"distill.soft_weight={weight}", "distill")
        assert stages_run(output) == ["distill"]
        curves.add((project / "metrics/plots/student_training.csv").read_bytes())
    assert len(curves) == 3


def test_stored_states_of_the_teacher_outlive_a_new_weight(project: Path) -> None:
    stored = ["-S", "teacher_states.layers=[1]"]
    weights = [["-S", f"distill.relation_weight={weight}"] for weight in (1.0, 2.0)]
    output = run(project, "dvc", "exp", "run", *stored, *weights[0], "distill")
    assert stages_run(output) == ["teacher_states", "distill"]
    assert "the teacher's hidden states of" in output
    assert (project / "data/states/teacher/layer_01.npy").is_file()
    assert stages_run(run(project, "dvc", "exp", "run", *weights[1], "distill")) == ["distill"]


def test_an_edit_of_an_inactive_preset_runs_nothing(project: Path) -> None:
    edit(project, presets__hub__teacher__seed=7, presets__file__student__layers=2)
    assert stages_run(run(project, "dvc", "repro", "--dry")) == []


def test_quantization_alone_follows_its_params(project: Path) -> None:
    output = run(
        project,
        "dvc",
        "exp",
        "run",
        "-S",
        "quantize.scheme=int8",
        "-S",
        "quantize.double_quantization=false",
    )
    assert set(stages_run(output)) == {"sensitivity", "quantize"} | AFTER_QUANTIZE
    config = json.loads((project / "models/quantized/config.json").read_text())
    assert config["quantization_config"]["load_in_8bit"] is True


def test_recovery_trains_what_was_quantized(project: Path) -> None:
    files = sorted(file.name for file in (project / "models/packed").iterdir())
    for name in files:
        assert (project / "models/quantized" / name).read_bytes() == (
            project / "models/packed" / name
        ).read_bytes()
    output = run(
        project,
        "dvc",
        "exp",
        "run",
        "-S",
        "recover.training.epochs=1",
        "-S",
        "recover.training.learning_rate=0.002",
    )
    assert set(stages_run(output)) - AFTER_RECOVER == {"recover"}
    told = json.loads((project / "models/quantized/manifest.json").read_text())["recovery"]
    assert told["kept"] == (told["validation_f1_after"] > told["validation_f1_before"])
    curve = (project / "metrics/plots/recovery_training.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve] == ["epoch", "0", "1"]


def test_a_budget_is_kept_without_measuring_anew(project: Path) -> None:
    size = json.loads((project / "metrics/quantized.json").read_text())["size_mb"]
    output = run(project, "dvc", "exp", "run", "-S", f"quantize.budget_mb={size + 0.02}")
    assert set(stages_run(output)) == {"quantize"} | AFTER_QUANTIZE
    assert (
        size
        < json.loads((project / "metrics/quantized.json").read_text())["size_mb"]
        <= size + 0.02
    )
    formats = json.loads((project / "models/quantized/manifest.json").read_text())["formats"]
    assert {"nf4", "bfloat16"} == {each for name, each in formats.items() if ".layer." in name}
    shipped = json.loads((project / "models/release/manifest.json").read_text())["formats"]
    assert shipped == formats
    assert "left more bits to" in (project / "models/release/README.md").read_text()


def test_an_evaluation_knob_trains_and_runs_no_model(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "evaluate.margin=0.01")
    assert set(stages_run(output)) == {"evaluate", "report", "package"}
    assert json.loads((project / "metrics/evidence/hops.json").read_text())["margin"] == 0.01


def test_a_threshold_chooses_the_epochs_too(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "evaluate.threshold.fpr=0.1")
    assert {"teacher", "teacher_eval", "distill", "recover", "evaluate"} <= set(stages_run(output))
    decision = json.loads((project / "metrics/evidence/calibration.json").read_text())["models"][
        "quantized"
    ]["decision"]
    assert decision["validation_fpr"] <= 0.1


def test_a_further_test_set_runs_the_teacher_on_that_alone(project: Path) -> None:
    """Rows that stand in train are removed and counted, whatever their scheme."""
    seen = pl.read_parquet(project / "data/prepared/train.parquet").head(5)["text"].to_list()
    rows = [
        f"{text},{number % 2}"
        for number, text in enumerate([*(f"http://{url}" for url in seen), *NEW_URLS])
    ]
    (project / "data/raw/embedded/new.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    output = run(project, "dvc", "exp", "run", "-S", "+extra.new=data/raw/embedded/new.csv")
    again = {f"predict_extra@{model}" for model in JUDGED}
    again |= {"predict_exported", "evaluate", "report", "package"}
    assert set(stages_run(output)) - {"prepare", "teacher_unlabelled", "compare"} == again
    found = json.loads((project / "metrics/evidence/extra.json").read_text())["new"]
    assert (found["rows"], found["removed_seen"]) == (len(NEW_URLS), 5)
    assert set(found["models"]) == set(JUDGED)


def test_a_validation_set_of_other_origin_trains_anew_and_judges_nothing(project: Path) -> None:
    names = [f"{kind}-{number}.example{number}.net" for number in range(40) for kind in ("a", "b")]
    rows = [f"{name}/{number},{number % 2}" for number, name in enumerate(names)]
    (project / "data/raw/embedded/other.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    before = json.loads((project / "metrics/prepare.json").read_text())
    output = run(
        *(project, "dvc", "exp", "run"),
        *("-S", "evaluate.validation_extra=data/raw/embedded/other.csv"),
    )
    assert {"prepare", "teacher", "distill", "recover", "evaluate"} <= set(stages_run(output))
    report = json.loads((project / "metrics/prepare.json").read_text())
    assert report.pop("validation_extra")["kept"] == {"safe": 40, "phishing": 40}
    assert report == before
    for name in ("teacher", "student"):
        curve = pl.read_csv(project / f"metrics/plots/{name}_training.csv")
        assert curve.columns[-2:] == ["validation_score", "validation_extra_score"]
    assert "best on it and its extra part" in (project / "reports/report.html").read_text()


def test_a_control_is_made_on_demand_before_it_is_evaluated(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "controls=[no_teacher]")
    order = stages_run(output, "control@no_teacher")
    assert order.index("control@no_teacher") < order.index("evaluate")
    assert not {"teacher", "teacher_logits", "distill"} & set(order)
    found = json.loads((project / "metrics/evidence/controls.json").read_text())["no_teacher"]
    assert [(hop["before"], hop["after"]) for hop in found["hops"]] == [("no_teacher", "student")]
