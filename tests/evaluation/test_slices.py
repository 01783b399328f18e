"""Slices of the test rows: what stands about them, and that no row is lost."""

import json
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from helpers.urls import NOTHING, with_domains
from minnow.data import synthetic
from minnow.evaluation import slices
from minnow.evaluation.metrics import Array

HOPS = (("teacher", "student"), ("student", "quantized"), ("teacher", "quantized"))


def test_every_row_has_one_value_of_every_trait() -> None:
    texts, _ = synthetic.generate(2_000, seed=0, label_noise=0)
    test = with_domains(*texts)
    cut = slices.cut(test, test["domain"].head(500))
    names = [name for name, _ in groupby(cut, key=lambda part: part.name)]
    assert names == ["length", "path", "host", "hosting", "punycode", "domain", "top-level domain"]
    for name in names:
        inside = np.sum([part.rows for part in cut if part.name == name], axis=0)
        assert np.array_equal(inside, np.ones(len(test))), name
    assert all(part.rows.any() and part.rows.dtype == bool for part in cut)


# --- Scores ---------------------------------------------------------------------------------------

# Seven rows: three in the first slice (both classes), two safe ones in the second, two phishing
# ones in the third.
LABELS = np.array([1, 1, 0, 0, 0, 1, 1])
MARGINS = {
    "baseline": np.array([-1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0]),
    "teacher": np.array([1.0, 1.0, -1.0, -1.0, -1.0, 1.0, -1.0]),
    "student": np.array([1.0, -1.0, 1.0, -1.0, 1.0, 0.5, 1.0]),
    "quantized": np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.4]),
}
THRESHOLDS = {"baseline": 0.0, "teacher": 0.0, "student": 0.0, "quantized": 0.5}
CUT = [
    slices.Slice("path", "with path", np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool)),
    slices.Slice("path", "without path", np.array([0, 0, 0, 1, 1, 0, 0], dtype=bool)),
    slices.Slice("host", "name", np.array([0, 0, 0, 0, 0, 1, 1], dtype=bool)),
]


def hop(before: str, after: str, change: float, worse: int, better: int) -> dict[str, Any]:
    return {"before": before, "after": after, "change": change, "worse": worse, "better": better}


def test_a_report_by_hand() -> None:
    found = slices.report(CUT, LABELS, MARGINS, THRESHOLDS, HOPS)
    assert found["small_below"] == 100
    both, safe, phishing = found["slices"]
    assert both == {
        "slice": "path",
        "value": "with path",
        "rows": 3,
        "safe": 1,
        "phishing": 2,
        "small": True,
        "measure": "f1",
        # student: 1 found, 1 missed, 1 false alarm; quantized: 2 found, 1 false alarm; baseline
        # finds none
        "models": {"baseline": 0.0, "teacher": 1.0, "student": 0.5, "quantized": 0.8},
        "hops": [
            hop("teacher", "student", -0.5, 2, 0),
            hop("student", "quantized", 0.3, 0, 1),
            hop("teacher", "quantized", -0.2, 1, 0),
        ],
    }
    assert (safe["measure"], safe["rows"], safe["safe"], safe["phishing"]) == (
        "specificity",
        2,
        2,
        0,
    )
    assert safe["models"] == {"baseline": 0.5, "teacher": 1.0, "student": 0.5, "quantized": 0.0}
    assert (phishing["measure"], phishing["safe"], phishing["phishing"]) == ("recall", 0, 2)
    # a margin on the threshold is below it
    assert phishing["models"] == {"baseline": 1.0, "teacher": 0.5, "student": 1.0, "quantized": 0.0}
    assert phishing["hops"][2] == hop("teacher", "quantized", -0.5, 1, 0)
    assert json.loads(json.dumps(found)) == found


def test_scores_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    rows = 1_000
    labels = random.integers(0, 2, rows)
    margins: dict[str, Array] = {
        name: random.normal(size=rows) + labels for name in ("teacher", "student")
    }
    thresholds = {"teacher": 0.2, "student": -0.1}
    cut = [
        slices.Slice("some", str(number), random.random(rows) < number / 10)
        for number in range(1, 10)
    ]
    cut += [slices.Slice("one class", str(label), labels == label) for label in (0, 1)]
    for part, each in zip(
        cut, slices.report(cut, labels, margins, thresholds, HOPS)["slices"], strict=True
    ):
        for name, score in each["models"].items():
            guesses = (margins[name] > thresholds[name])[part.rows].astype(int)
            actual = labels[part.rows]
            if each["measure"] == "f1":
                expected = f1_score(actual, guesses)
            else:
                expected = recall_score(
                    actual, guesses, pos_label=1 if each["measure"] == "recall" else 0
                )
            assert score == round(expected, 4)
        (only,) = each["hops"]
        assert (only["before"], only["after"]) == (
            "teacher",
            "student",
        ), "the other hops' models are not there"
        assert each["small"] == (
            each["safe" if each["measure"] == "specificity" else "phishing"] < 100
        )


@pytest.mark.parametrize(
    ("safe", "phishing", "small"),
    [
        (900, 99, True),
        (900, 100, False),
        (1, 100, False),
        (0, 99, True),
        (0, 100, False),
        (99, 0, True),
        (100, 0, False),
    ],
)
def test_a_slice_is_small_by_the_rows_that_its_measure_counts(
    safe: int, phishing: int, small: bool
) -> None:
    """A thousand rows do not help an F1 that hangs on a few phishing ones."""
    labels = np.repeat([0, 1], [safe, phishing])
    cut = [slices.Slice("path", "with path", np.ones(len(labels), dtype=bool))]
    (each,) = slices.report(cut, labels, {"teacher": labels - 0.5}, {"teacher": 0.0}, HOPS)[
        "slices"
    ]
    assert (each["small"], each["models"], each["hops"]) == (small, {"teacher": 1.0}, [])


def test_flips_of_a_trait_add_up() -> None:
    texts, labels = synthetic.generate(1_000, seed=0, label_noise=0)
    random = np.random.default_rng(1)
    actual = np.array(labels)
    margins = {
        name: random.normal(size=len(actual)) + actual
        for name in ("teacher", "student", "quantized")
    }
    found = slices.report(
        slices.cut(with_domains(*texts), NOTHING),
        actual,
        margins,
        dict.fromkeys(margins, 0.5),
        HOPS,
    )["slices"]
    right = {name: (each > 0.5) == actual for name, each in margins.items()}
    for name in ("length", "path", "top-level domain"):
        for number, (before, after) in enumerate(HOPS):
            hops = [each["hops"][number] for each in found if each["slice"] == name]
            assert sum(each["worse"] for each in hops) == (right[before] & ~right[after]).sum()
            assert sum(each["better"] for each in hops) == (~right[before] & right[after]).sum()


def test_the_plots_rows() -> None:
    found = slices.report(CUT[:1], LABELS, MARGINS, THRESHOLDS, HOPS)
    table = slices.table(found)
    assert table.columns == ["slice", "model", "score"]
    assert table.rows()[:2] == [
        ("path: with path (2 phishing)", "baseline", 0.0),
        ("path: with path (2 phishing)", "teacher", 1.0),
    ]
    assert slices.label(
        slices.report(CUT[1:2], LABELS, MARGINS, THRESHOLDS, HOPS)["slices"][0]
    ).endswith(" (2 safe)")
    large = {**found["slices"][0], "small": False}
    assert slices.table({"slices": [large]})["slice"].unique().to_list() == ["path: with path"]
    assert slices.table({"slices": []}).rows() == []


def test_a_label_can_open_no_tag_in_the_plots_page() -> None:
    each = {"slice": "top-level domain", "value": ".<!--<script>", "small": False, "measure": "f1"}
    assert slices.label(each) == "top-level domain: .!--script>"
