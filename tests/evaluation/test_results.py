"""The records of metrics/*.json: the same bytes back, and one line for what is not theirs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import results as made_up
from helpers.paths import ROOT
from minnow.core.files import read_json, write_json
from minnow.errors import MinnowError
from minnow.evaluation import results
from minnow.evaluation.calibration_records import Calibrations
from minnow.evaluation.records import (
    ControlResult,
    Estimate,
    Estimates,
    ExtraResult,
    Headline,
    Hop,
    Hops,
    Intervals,
    OperatingPoint,
    Unmeasured,
)
from minnow.evaluation.results import DataReport, Sensitivity
from minnow.evaluation.slice_records import SliceHop, Slices, SliceScore
from minnow.layout import Layout

FILES: dict[str, tuple[Any, Any]] = {
    "student": (Headline, made_up.headline("student")),
    "intervals": (Intervals, made_up.intervals()),
    "hops": (Hops, made_up.hops()),
    "calibration": (Calibrations, made_up.calibration()),
    "slices": (Slices, made_up.slices()),
    "sizes": (dict[str, dict[str, int]], made_up.sizes()),
    "extra": (dict[str, ExtraResult], made_up.extra()),
    "controls": (dict[str, ControlResult], made_up.controls()),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_read_is_written_back_as_the_same_bytes(name: str, tmp_path: Path) -> None:
    record, content = FILES[name]
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    write_json(first, content)
    write_json(again, results.as_json(results.read_record(record, first)))
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_foreign_file_ends_in_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    record, _ = FILES[name]
    path = tmp_path / f"{name}.json"
    write_json(path, {"one": {"two": "three"}})
    with pytest.raises(MinnowError) as refusal:
        results.read_record(record, path)
    assert str(path) in str(refusal.value)
    assert "`dvc repro` makes it anew" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"low": "0.1"}, "low: Input should be a valid number"),
        ({"middle": 0.1}, "middle: Unexpected"),
        ({"low": float("nan")}, "low: Input should be a finite number"),
        ({"low": None}, "low: Input should be a valid number"),
        ({"low": True}, "low: Input should be a valid number"),
    ],
)
def test_a_value_of_another_kind_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(MinnowError, match=f"some.json is not what this version reads: {words}"):
        results.from_json(Estimate, {"value": 0.2, "low": 0.1, "high": 0.3} | change, "some.json")


def test_a_missing_key_is_named_with_its_place() -> None:
    content = made_up.hops()
    del content["hops"][1]["f1"]["low"]
    with pytest.raises(MinnowError, match=r"hops\.1\.f1\.low: Field required"):
        results.from_json(Hops, content, "hops.json")


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match=r"hops\.json is missing; `dvc repro` makes it"):
        results.read_record(Hops, tmp_path / "hops.json")


def test_a_metric_is_measured_or_has_a_reason() -> None:
    estimates = results.from_json(Estimates, made_up.estimates(0.9), "x")
    assert isinstance(estimates.tpr_at_fpr_1pct, OperatingPoint)
    assert estimates.tpr_at_fpr_1pct.test_fpr.value == 0.0131
    assert isinstance(estimates.tpr_at_fpr_0_1pct, Unmeasured)
    with pytest.raises(MinnowError, match="tpr_at_fpr_1pct"):
        results.from_json(
            Estimates, made_up.estimates(0.9) | {"tpr_at_fpr_1pct": made_up.estimate(0.9)}, "x"
        )


def test_files_of_other_steps_may_hold_more() -> None:
    report = results.from_json(DataReport, made_up.prepare() | {"new": [1]}, "prepare.json")
    assert report.kept["test"].total == 4508
    sensitivity = results.from_json(Sensitivity, made_up.sensitivity(), "sensitivity.json")
    assert sensitivity.parts[0].in_bits["4"].kl == 0.00112


def test_a_record_cannot_be_changed() -> None:
    hop = results.from_json(Hop, made_up.hop("teacher", "student", -0.1, 0.1), "x")
    with pytest.raises(AttributeError):
        hop.worse = 0  # type: ignore[misc]


def test_evidence_is_written_whole(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    evidence = made_up.evidence()
    results.write_evidence(layout, evidence)
    assert results.read_evidence(layout) == evidence
    names = {path.stem for path in layout.evidence_folder.iterdir()}
    assert names == {name for name in FILES if name != "student"}
    layout.evidence("stale").write_text("{}")
    results.write_evidence(layout, evidence)
    assert not layout.evidence("stale").exists()
    assert read_json(layout.evidence("hops")) == made_up.hops()


def test_who_is_hurt_comes_by_loss_and_who_is_watched_is_large() -> None:
    def lost(value: str, change: float, *, hurt: bool, small: bool = False) -> SliceScore:
        p = {"mcnemar_p": 0.0352, "clustered_p": 0.0201, "adjusted_p": 0.0402}
        hop = SliceHop("teacher", "quantized", change, worse=12, better=3, **p)
        content = made_up.one_slice("s", value, 500)
        one = results.from_json(SliceScore, content, "x")
        return replace(one, hops=(hop,), hurt=hurt, small=small)

    slices = Slices(
        100,
        (
            lost("b", -0.01, hurt=True),
            lost("a", -0.01, hurt=True),
            lost("most", -0.03, hurt=True),
            lost("small", -0.2, hurt=False, small=True),
            lost("chance", -0.2, hurt=False),
            replace(lost("unmeasured", 0.0, hurt=False), hops=()),
        ),
    )
    assert [(one.value, hop.change) for one, hop in slices.hurt] == [
        ("most", -0.03),
        ("a", -0.01),
        ("b", -0.01),
    ]
    assert [one.value for one in slices.watched] == ["b", "a", "most", "chance"]


def test_records_are_light() -> None:
    """What only reads results, such as tools, pays for no arrays."""
    code = (
        "import sys, minnow.evaluation.results\n"
        "print({'numpy', 'polars', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
