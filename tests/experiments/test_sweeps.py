"""Sweeps: which runs count, means and deviations worked by hand, the Pareto law, and what the tool
says and writes.
"""

import copy
import itertools
import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minnow.errors import MinnowError
from minnow.experiments import sweep_charts, sweeps
from minnow.experiments.sweeps import Point, Run
from minnow.tools import dvc
from minnow.tools import sweeps as sweeps_tool
from minnow.tools.sweeps import main

# --- What DVC 3.67.1 printed for a sweep of a toy pipeline, its params and metrics cut short ------


def entry(
    rev: str, name: str | None, params: Any, metrics: Any, error: Any = None
) -> dict[str, Any]:
    files = {"params.yaml": {"data": params}} if params is not None else {}
    data = {"rev": rev, "timestamp": "2026-11-21T10:05:21", "params": files, "metrics": metrics}
    data |= {"deps": {}, "outs": {}, "meta": {}}
    return {"rev": rev, "name": name, "data": data, "error": error, "experiments": None}


def document(**distill: Any) -> dict[str, Any]:
    return {
        "preset": "embedded",
        "distill": {"temperature": 2.0, "soft_weight": 0.5, "seed": 0, **distill},
        "controls": [],
        "presets": {"embedded": {"data": {"rows": 30000}}, "hub": {"data": {"rows": None}}},
    }


def files(student: tuple[Any, Any], quantized: tuple[Any, Any]) -> dict[str, Any]:
    keys = ("f1", "validation_f1")
    return {
        "metrics/student.json": {"data": {**dict(zip(keys, student, strict=True)), "size_mb": 2.1}},
        "metrics/quantized.json": {
            "data": {**dict(zip(keys, quantized, strict=True)), "size_mb": 0.6}
        },
    }


HEAD = files((0.9166, 0.9296), (0.9185, 0.9166))
MISSING = {
    "type": "FileNotFoundError",
    "msg": "[Errno 2] No such file or directory: 'metrics/student.json'",
}
FAILED = {"msg": "Experiment run failed", "type": ""}
SHOWN: list[dict[str, Any]] = [
    entry("workspace", None, document(), HEAD),
    {
        **entry("72ee1afef", "master", document(), HEAD),
        "experiments": [
            {
                "revs": [
                    entry(
                        "22b4691f8",
                        "q6",
                        document(temperature=6.0),
                        files((0.9162, 0.9171), (0.9136, 0.9119)),
                    )
                ],
                "executor": {
                    "state": "success",
                    "name": "dvc-task",
                    "local": {"pid": 8338, "returncode": 0},
                },
                "name": "q6",
            },
            {
                "revs": [
                    entry(
                        "6392d62e8",
                        "hub",
                        {**document(), "preset": "hub"},
                        files((0.9113, 0.9194), (0.918, 0.91)),
                    )
                ],
                "executor": None,
                "name": "hub",
            },
            {
                "revs": [entry("d3d46e47d", "waiting", document(temperature=7.0), {})],
                "executor": {
                    "state": "queued",
                    "name": "dvc-task",
                    "local": {"pid": None, "returncode": None},
                },
                "name": "waiting",
            },
            {
                "revs": [entry("93c535e30", "bad", document(temperature=13), HEAD, FAILED)],
                "executor": {
                    "state": "failed",
                    "name": None,
                    "local": {"pid": 8332, "returncode": 255},
                },
                "name": "bad",
            },
            {
                "revs": [
                    entry(
                        "16e2d0d2e",
                        "running",
                        document(),
                        {"metrics/student.json": {"error": MISSING}},
                    )
                ],
                "executor": {"state": "running", "name": "tempdir", "local": None},
                "name": "running",
            },
        ],
    },
]


def with_experiments(*added: dict[str, Any]) -> list[dict[str, Any]]:
    shown = copy.deepcopy(SHOWN)
    shown[1]["experiments"] += [
        {"revs": [each], "executor": None, "name": each["name"]} for each in added
    ]
    return shown


# --- Which runs count -----------------------------------------------------------------------------


def test_commits_and_finished_experiments_count() -> None:
    """A failed experiment is shown with the metrics of its commit, a running one without any."""
    runs, left_out = sweeps.finished_runs(SHOWN)
    assert [(run.preset, run.params["distill.temperature"]) for run in runs] == [
        ("embedded", "2"),
        ("embedded", "6"),
        ("hub", "2"),
    ]
    assert left_out == {"queued": 1, "failed": 1, "running": 1}
    assert runs[1].metrics["student"] == {"f1": 0.9162, "validation_f1": 0.9171, "size_mb": 2.1}


def test_other_presets_and_what_moves_no_metric_are_no_params() -> None:
    runs, _ = sweeps.finished_runs(
        with_experiments(
            entry(
                "1",
                "a",
                {**document(seed=1), "evaluate": {"threshold": {"fpr": 0.01}, "seed": 3}},
                HEAD,
            )
        )
    )
    assert set(runs[-1].params) == {
        "distill.temperature",
        "distill.soft_weight",
        "distill.seed",
        "presets.embedded.data.rows",
        "evaluate.threshold.fpr",
    }


@pytest.mark.parametrize(
    "changes",
    [{"compare": {"model": "teacher"}}, {"controls": ["no_teacher"]}, {"evaluate": {"seed": 1}}],
)
def test_a_run_that_differs_only_in_what_moves_no_metric_counts_once(
    changes: dict[str, Any],
) -> None:
    """Otherwise `make compare` would make three runs without deviation out of one."""
    runs, left_out = sweeps.finished_runs(
        with_experiments(entry("1", "again", document() | changes, HEAD))
    )
    assert len(runs) == 3
    assert left_out["repeated"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        entry("1", "x", document(temperature=9), {}),
        entry(
            "1",
            "x",
            document(temperature=9),
            {"metrics/student.json": HEAD["metrics/student.json"]},
        ),
        entry("1", "x", document(temperature=9), files((None, 0.9), (0.9, 0.9))),
        entry("1", "x", document(temperature=9), files((0.9, "nan"), (0.9, 0.9))),
        entry(
            "1",
            "x",
            document(temperature=9),
            {**HEAD, "metrics/quantized.json": {"error": MISSING}},
        ),
        entry("1", "x", None, HEAD),
        entry("1", "x", document(temperature=9), HEAD, FAILED),
        {**entry("1", "x", document(), HEAD, FAILED), "data": None},
    ],
)
def test_a_run_without_its_metrics_is_left_out(broken: dict[str, Any]) -> None:
    runs, left_out = sweeps.finished_runs(with_experiments(broken))
    assert len(runs) == 3
    assert left_out["without metrics"] == 1


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (0.5, 0.5),
        (3, 3.0),
        ("0.91", 0.91),
        (None, None),
        ("", None),
        ("nan", None),
        (math.inf, None),
        (True, None),
        ([1], None),
    ],
)
def test_numbers_come_in_several_shapes(given: Any, number: float | None) -> None:
    assert sweeps.as_number(given) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4, "4"),
        (4.0, "4"),
        (1e-05, "1e-05"),
        (None, "null"),
        (True, "true"),
        ("nf4", "nf4"),
        ([0, 1], "[0, 1]"),
        (10**6 + 1, "1000001"),
    ],
)
def test_values_are_told_apart_by_their_text(value: Any, text: str) -> None:
    assert sweeps.as_text(value) == text


# --- Means and deviations -------------------------------------------------------------------------


def run(student: float, quantized: float = 0.8, *, preset: str = "embedded", **params: Any) -> Run:
    """A run whose test F1 is its validation F1 less 0.1."""
    keys = {f"distill.{key}": sweeps.as_text(value) for key, value in params.items()}
    metrics = {
        model: {"validation_f1": score, "f1": score - 0.1, "size_mb": size}
        for model, score, size in (("student", student, 2.0), ("quantized", quantized, 0.5))
    }
    return Run(preset, keys, metrics)


SWEEP = [
    run(0.90, 0.86, temperature=1, seed=0),
    run(0.92, 0.88, temperature=1, seed=1),
    run(0.97, 0.90, temperature=1, seed=2),
    run(0.94, 0.91, temperature=4, seed=0),
    run(0.96, 0.89, temperature=4, seed=1),
    run(0.80, 0.70, temperature=16, seed=0),
]


def scored(by: str, score: float, f1: float, **params: Any) -> Run:
    """A run that selects by another number than F1."""
    plain = run(f1, f1, **params)
    metrics = {model: {**each, "validation_score": score} for model, each in plain.metrics.items()}
    return Run("embedded", {**plain.params, "select": by}, metrics)


def test_what_select_names_orders_the_groups_and_has_a_column() -> None:
    runs = [
        scored("log_loss", -0.30, 0.95, temperature=1),
        scored("log_loss", -0.20, 0.90, temperature=4),
    ]
    groups = sweeps.grouped(runs, ["distill.temperature"])
    assert [group.values for group in groups] == [("4",), ("1",)], "by F1 it were the other way"
    (best,) = sweeps.front([p for p in sweeps.points(runs) if p.model == "student"])
    assert (best.label, best.score) == ("temperature 4", -0.2)
    text = sweeps.markdown(runs, {})
    assert "| student, validation log_loss | student, validation F1 | student, test F1 |" in text
    assert "| 4 | 1 | -0.2000" in text


def test_runs_that_select_by_unlike_numbers_are_ordered_by_f1() -> None:
    runs = [
        scored("log_loss", -0.1, 0.90, temperature=1),
        scored("roc_auc", 0.99, 0.95, temperature=4),
        run(0.92, temperature=2),
    ]
    for some in (runs, runs[:2]):
        assert sweeps.chooser(some) == "validation_f1"
    first, *_ = sweeps.grouped(runs, ["distill.temperature"])
    assert first.values == ("4",)
    assert "log_loss |" not in sweeps.markdown(runs[:2], {}).replace("| log_loss |", "")


def test_mean_and_sample_deviation_by_hand() -> None:
    """0.90, 0.92, 0.97: mean 0.93, squares 0.0009 + 0.0001 + 0.0016 = 0.0026, over 2: 0.0013."""
    groups = sweeps.grouped(SWEEP, ["distill.temperature"])
    assert [(group.values, len(group.runs)) for group in groups] == [
        (("4",), 2),
        (("1",), 3),
        (("16",), 1),
    ]
    assert groups[1].spread("student", "validation_f1").mean == pytest.approx(0.93)
    assert groups[1].spread("student", "validation_f1").sd == pytest.approx(math.sqrt(0.0013))
    assert groups[1].spread("student", "f1").mean == pytest.approx(0.83)
    assert groups[2].spread("student", "f1").sd is None
    assert str(groups[2].spread("quantized", "validation_f1")) == "0.7000 ± \u2013"


def test_the_order_is_by_the_students_validation_then_the_quantizeds() -> None:
    """A sweep of the quantization alone leaves the student as it is."""
    schemes = [
        run(0.9, score, scheme=name) for name, score in (("fp4", 0.7), ("int8", 0.89), ("nf4", 0.8))
    ]
    assert [group.values[0] for group in sweeps.grouped(schemes, ["distill.scheme"])] == [
        "int8",
        "nf4",
        "fp4",
    ]


def test_the_mean_of_equal_numbers_is_that_number() -> None:
    """Otherwise a student that a sweep of the quantization leaves alone would sort at random."""
    for number, times in itertools.product((0.95, 0.7, 0.1, 0.9166), range(1, 9)):
        assert sweeps.Spread.of([number] * times).mean == number


def test_seeds_do_not_vary_and_absent_is_a_value() -> None:
    assert sweeps.varying(SWEEP) == ["distill.temperature"]
    assert sweeps.varying([run(0.9, a=1), run(0.9, a=1, b=2)]) == ["distill.b"]
    assert sweeps.varying(SWEEP[:3]) == []


def test_the_table_of_one_parameter() -> None:
    text = sweeps.markdown(SWEEP, {"failed": 2})
    assert "Runs: 6; left out: 2 failed." in text
    assert "Averaged over: distill.seed." in text
    assert text.count("### distill.temperature") == 1
    assert (
        "| 4 | 2 | 0.9500 ± 0.0141 | 0.8500 ± 0.0141 | 0.9000 ± 0.0141 | 0.8000 ± 0.0141 |" in text
    )
    assert (
        "| 16 | 1 | 0.8000 ± \u2013 | 0.7000 ± \u2013 | 0.7000 ± \u2013 | 0.6000 ± \u2013 |" in text
    )
    assert "One run for each" not in text


def test_several_parameters_have_a_table_each_and_one_of_combinations() -> None:
    square = [
        run(t / 10 + w, temperature=t, soft_weight=w)
        for t, w in itertools.product((1, 2), (0.5, 0.25))
    ]
    text = sweeps.markdown(square, {})
    headings = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert headings[:3] == [
        "distill.soft_weight",
        "distill.temperature",
        "distill.soft_weight, distill.temperature",
    ]
    assert "2 parameters vary, so a table of one of them mixes the others" in text
    assert "| 0.5 | 2 | 1 | 0.7000 ±" in text
    assert "| 0.5 | 2 | 0.6500 ± 0.0707 |" in text
    assert (
        "One run for each: whether a difference is more than chance, only further seeds can tell."
        in text
    )


def test_presets_are_never_mixed_and_synthetic_data_are_called_that() -> None:
    other = run(0.5, preset="hub", temperature=1)
    made_up = Run(
        "embedded",
        {**SWEEP[0].params, "presets.embedded.data.source": "synthetic"},
        SWEEP[0].metrics,
    )
    embedded, hub = sweeps.markdown([made_up, other], {}).split("## Preset hub, runs: 1")
    assert "| 1 | 0.9000 ± \u2013 |" in embedded
    assert "Synthetic data: these figures say nothing about the real world." in embedded
    assert "Synthetic" not in hub
    assert "0.9000" not in hub
    assert "### One setting" in hub


def test_a_value_cannot_break_the_table() -> None:
    text = sweeps.markdown([run(0.9, a="x|y\nz"), run(0.8, a="b")], {})
    assert "| x\\|y z | 1 |" in text


# --- Pareto ---------------------------------------------------------------------------------------


def test_no_point_on_the_front_is_dominated_and_every_other_is() -> None:
    draw = random.Random(0)
    for _ in range(50):
        candidates = [
            Point("student", "", float(draw.randint(1, 6)), draw.randint(1, 6) / 10, draw.random())
            for _ in range(12)
        ]
        best = sweeps.front(candidates)
        assert best
        for point in candidates:
            beaten = any(
                other.size_mb <= point.size_mb
                and other.validation_f1 >= point.validation_f1
                and (other.size_mb, other.validation_f1) != (point.size_mb, point.validation_f1)
                for other in candidates
            )
            assert (point in best) != beaten


def test_the_front_by_hand_is_chosen_on_validation() -> None:
    small, large = Point("quantized", "a", 1, 0.8, 0.1), Point("student", "b", 4, 0.9, 0.2)
    worse, larger = Point("quantized", "c", 1, 0.7, 0.99), Point("teacher", "", 9, 0.9, 0.99)
    assert sweeps.front([small, large, worse, larger]) == [small, large]
    assert sweeps.front([small, small]) == [small, small]


def test_points_are_means_over_seeds_and_a_teacher_that_stays_is_one() -> None:
    teacher = {"teacher": {"size_mb": 4.0, "validation_f1": 0.95, "f1": 0.9}}
    runs = [Run(each.preset, each.params, each.metrics | teacher) for each in SWEEP]
    found = sweeps.points(runs)
    assert [(p.model, p.label) for p in found if p.model == "teacher"] == [("teacher", "")]
    (four,) = [p for p in found if (p.model, p.label) == ("student", "temperature 4")]
    assert (four.size_mb, four.validation_f1, four.f1) == pytest.approx((2.0, 0.95, 0.85))
    assert len(found) == 7


def test_a_model_without_a_size_has_no_point() -> None:
    bare = run(0.9, temperature=1)
    del bare.metrics["student"]["size_mb"]
    assert [p.model for p in sweeps.points([bare])] == ["quantized"]


# --- Plot and tool --------------------------------------------------------------------------------


def test_the_plot_has_a_row_per_parameter_and_a_bar_only_for_several_runs() -> None:
    rows = sweep_charts.chart(SWEEP)["vconcat"]
    assert [row["title"]["text"].split(";")[0] for row in rows] == [
        "embedded: distill.temperature",
        "embedded: size against F1",
    ]
    values = rows[0]["data"]["values"]
    (one,) = [
        v
        for v in values
        if (v["value"], v["model"], v["measure"]) == ("4", "student", "validation F1")
    ]
    assert (one["low"], one["mean"], one["high"]) == pytest.approx(
        (0.95 - 0.0002**0.5, 0.95, 0.95 + 0.0002**0.5)
    )
    assert {(v["value"], v["several"]) for v in values} == {("1", True), ("4", True), ("16", False)}
    assert rows[0]["spec"]["layer"][1]["encoding"]["x"]["sort"] == ["1", "4", "16"]


def answered(monkeypatch: pytest.MonkeyPatch, shown: Any) -> None:
    monkeypatch.setattr(sweeps_tool, "experiments", lambda root, options: shown)


def test_the_tool_prints_and_writes_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(monkeypatch, SHOWN)
    main(tmp_path)
    printed = capsys.readouterr().out
    written = {file.name: file.read_bytes() for file in (tmp_path / "reports").iterdir()}
    assert set(written) == {"sweeps.md", "sweeps.svg"}
    assert written["sweeps.md"].decode().startswith(printed)
    assert "left out: 1 failed, 1 queued, 1 running" in printed
    svg = written["sweeps.svg"].decode()
    assert svg.startswith("<svg")
    for words in (
        "embedded: distill.temperature",
        "embedded: size against F1",
        "hub: size against F1",
        "quantized",
    ):
        assert words in svg
    main(tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "reports").iterdir()} == written


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ([], "no finished experiments that began from this commit"),
        (SHOWN[:1], "no finished experiments that began from this commit"),
        (
            [{**SHOWN[1], "data": None, "experiments": SHOWN[1]["experiments"][2:]}],
            r"\(1 without metrics, 1 queued, 1 ",
        ),
    ],
)
def test_without_experiments_it_says_how_to_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: Any, said: str
) -> None:
    answered(monkeypatch, shown)
    with pytest.raises(MinnowError, match=said) as refusal:
        main(tmp_path)
    assert "dvc exp run --queue -S" in str(refusal.value)
    assert not (tmp_path / "reports").exists()


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MinnowError,
        match="sweeps takes nothing, or all for the experiments of all commits; given 'al'",
    ):
        main(tmp_path, "al")


def test_what_dvc_complains_of_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(
        MinnowError,
        match=r"`dvc exp show` failed in .*: ERROR: you are not inside of a DVC repository",
    ):
        main(tmp_path)


def test_a_repository_without_experiments(tmp_path: Path) -> None:
    """Asked of DVC itself."""
    for command in (["git", "init", "-q"], [dvc(), "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(
        MinnowError, match="no finished experiments that began from any commit; make some"
    ):
        main(tmp_path, "all")
