"""Slices of the test rows: which row lies where, what is said of them, and that none is lost."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from helpers.urls import NOTHING, with_domains
from minnow.data import synthetic
from minnow.evaluation import comparison, slices, units
from minnow.evaluation.metrics import Array
from minnow.evaluation.outcomes import Outcome
from minnow.evaluation.slice_records import SliceHop, Slices, SliceScore
from minnow.evaluation.units import JudgedRows, Units
from minnow.text.traits import traits

HOPS = (("teacher", "student"), ("student", "quantized"), ("teacher", "quantized"))


def alone(labels: Array) -> JudgedRows:
    return JudgedRows(labels, Units.rows(len(labels)))


def test_slices_are_the_values_that_any_row_has() -> None:
    """Which row has which value of a trait: tests/text/test_traits.py."""
    texts, _ = synthetic.generate(2_000, seed=0, label_noise=0)
    test = with_domains(*texts)
    cut = slices.cut(test, test["domain"].head(500))
    values = dict(traits(test["text"], test["domain"], test["domain"].head(500)))
    filled = [(name, v) for name, rows in values.items() for v in rows if rows[v].any()]
    assert [(one.name, one.value) for one in cut] == filled
    for one in cut:
        assert one.rows.dtype == bool
        assert np.array_equal(one.rows, values[one.name][one.value].to_numpy())


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
OUTCOMES = {
    model: Outcome(margins, margins, THRESHOLDS[model]) for model, margins in MARGINS.items()
}
CUT = [
    slices.Slice("path", "with path", np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool)),
    slices.Slice("path", "without path", np.array([0, 0, 0, 1, 1, 0, 0], dtype=bool)),
    slices.Slice("host", "name", np.array([0, 0, 0, 0, 0, 1, 1], dtype=bool)),
]


def hop(before: str, after: str, change: float, worse: int, better: int) -> SliceHop:
    """With so few flips p is 0.5 for two of a kind, else 1."""
    p = 0.5 if {worse, better} == {0, 2} else 1.0
    return SliceHop(
        before,
        after,
        change,
        worse=worse,
        better=better,
        mcnemar_p=p,
        clustered_p=1.0,
        adjusted_p=None,
    )


def test_a_report_by_hand() -> None:
    found = slices.report(CUT, alone(LABELS), OUTCOMES, HOPS)
    assert found.small_below == 100
    both, safe, phishing = found.slices
    assert both == SliceScore(
        slice="path",
        value="with path",
        rows=3,
        effective_rows=3,
        domains=None,
        safe=1,
        phishing=2,
        small=True,
        measure="f1",
        # student: 1 found, 1 missed, 1 false alarm; quantized: 2 found, 1 false alarm; baseline
        # finds none
        models={"baseline": 0.0, "teacher": 1.0, "student": 0.5, "quantized": 0.8},
        hops=(
            hop("teacher", "student", -0.5, 2, 0),
            hop("student", "quantized", 0.3, 0, 1),
            hop("teacher", "quantized", -0.2, 1, 0),
        ),
        hurt=False,
    )
    assert (safe.measure, safe.rows, safe.safe, safe.phishing) == (
        "specificity",
        2,
        2,
        0,
    )
    assert safe.models == {"baseline": 0.5, "teacher": 1.0, "student": 0.5, "quantized": 0.0}
    assert (phishing.measure, phishing.safe, phishing.phishing) == ("recall", 0, 2)
    # a margin on the threshold is below it
    assert phishing.models == {"baseline": 1.0, "teacher": 0.5, "student": 1.0, "quantized": 0.0}
    assert phishing.hops[2] == hop("teacher", "quantized", -0.5, 1, 0)


def test_scores_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    rows = 1_000
    labels = random.integers(0, 2, rows)
    margins: dict[str, Array] = {
        name: random.normal(size=rows) + labels for name in ("teacher", "student")
    }
    thresholds = {"teacher": 0.2, "student": -0.1}
    outcomes = {name: Outcome(each, each, thresholds[name]) for name, each in margins.items()}
    cut = [
        slices.Slice("some", str(number), random.random(rows) < number / 10)
        for number in range(1, 10)
    ]
    cut += [slices.Slice("one class", str(label), labels == label) for label in (0, 1)]
    for part, each in zip(
        cut, slices.report(cut, alone(labels), outcomes, HOPS).slices, strict=True
    ):
        for name, score in each.models.items():
            guesses = (margins[name] > thresholds[name])[part.rows].astype(int)
            actual = labels[part.rows]
            if each.measure == "f1":
                expected = f1_score(actual, guesses)
            else:
                expected = recall_score(
                    actual, guesses, pos_label=1 if each.measure == "recall" else 0
                )
            assert score == round(expected, 4)
        (only,) = each.hops
        assert (only.before, only.after) == (
            "teacher",
            "student",
        ), "the other hops' models are not there"
        assert each.small == ((each.safe if each.measure == "specificity" else each.phishing) < 100)


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
    teacher = Outcome(labels - 0.5, labels - 0.5, 0.0)
    (each,) = slices.report(cut, alone(labels), {"teacher": teacher}, HOPS).slices
    assert (each.small, each.models, each.hops) == (small, {"teacher": 1.0}, ())


def test_flips_of_a_trait_add_up() -> None:
    texts, labels = synthetic.generate(1_000, seed=0, label_noise=0)
    random = np.random.default_rng(1)
    actual = np.array(labels)
    margins = {
        name: random.normal(size=len(actual)) + actual
        for name in ("teacher", "student", "quantized")
    }
    outcomes = {name: Outcome(each, each, 0.5) for name, each in margins.items()}
    found = slices.report(
        slices.cut(with_domains(*texts), NOTHING), alone(actual), outcomes, HOPS
    ).slices
    right = {name: (each > 0.5) == actual for name, each in margins.items()}
    for name in ("length", "path", "top-level domain"):
        for number, (before, after) in enumerate(HOPS):
            hops = [each.hops[number] for each in found if each.slice == name]
            assert sum(each.worse for each in hops) == (right[before] & ~right[after]).sum()
            assert sum(each.better for each in hops) == (~right[before] & right[after]).sum()


def test_the_plots_rows() -> None:
    found = slices.report(CUT[:1], alone(LABELS), OUTCOMES, HOPS)
    table = slices.slices_table(found)
    assert table.columns == ["slice", "model", "score"]
    assert table.rows()[:2] == [
        ("path: with path (2 phishing)", "baseline", 0.0),
        ("path: with path (2 phishing)", "teacher", 1.0),
    ]
    (safe,) = slices.report(CUT[1:2], alone(LABELS), OUTCOMES, HOPS).slices
    assert slices.plot_label(safe).endswith(" (2 safe)")
    large = replace(found.slices[0], small=False)
    assert slices.slices_table(Slices(100, (large,)))["slice"].unique().to_list() == [
        "path: with path"
    ]
    assert slices.slices_table(Slices(100, ())).rows() == []


def test_a_label_can_open_no_tag_in_the_plots_page() -> None:
    (one,) = slices.report(CUT[:1], alone(LABELS), OUTCOMES, HOPS).slices
    hostile = replace(one, slice="top-level domain", value=".<!--<script>", small=False)
    assert slices.plot_label(hostile) == "top-level domain: .!--script>"


def flipped(worse: int, better: int, rows: int = 400) -> SliceScore:
    """A slice of phishing alone, of whose rows so many turn wrong and right on the whole way."""
    before = np.repeat([1.0, -1.0, 1.0], [worse, better, rows - worse - better])
    after = np.repeat([-1.0, 1.0, 1.0], [worse, better, rows - worse - better])
    outcomes = {
        "teacher": Outcome(before, before, 0.0),
        "quantized": Outcome(after, after, 0.0),
    }
    cut = [slices.Slice("path", "with path", np.ones(rows, dtype=bool))]
    (one,) = slices.report(cut, alone(np.ones(rows, dtype=np.int64)), outcomes, HOPS).slices
    return one


@pytest.mark.parametrize(
    ("worse", "better", "hurt"),
    [
        (12, 3, True),
        (12, 5, False),  # z = 7 / √17, p = 0.09
        (3, 12, False),  # for the better
        (7, 7, False),
        (9, 0, False),  # too few to say
        (10, 0, True),
    ],
)
def test_a_slice_is_hurt_only_beyond_chance(worse: int, better: int, hurt: bool) -> None:
    one = flipped(worse, better)
    (hop,) = one.hops
    assert (hop.worse, hop.better, one.hurt) == (worse, better, hurt)
    assert hop.mcnemar_p == round(comparison.mcnemar(worse, better), 4)
    net = np.repeat([-1, 1], [worse, better])
    assert hop.clustered_p == hop.adjusted_p == round(units.clustered_p(net), 4)


def test_rows_of_one_domain_that_flip_together_are_no_proof() -> None:
    rows = 400
    before = np.ones(rows)
    after = np.repeat([-1.0, 1.0], [40, rows - 40])
    outcomes = {"teacher": Outcome(before, before, 0.0), "quantized": Outcome(after, after, 0.0)}
    cut = [slices.Slice("path", "with path", np.ones(rows, dtype=bool))]
    of = np.where(np.arange(rows) < 40, 0, np.arange(rows) - 39).astype(np.int32)
    together = JudgedRows(np.ones(rows, dtype=np.int64), Units(of, 361, of.astype(str)))
    (one,) = slices.report(cut, together, outcomes, HOPS).slices
    assert one.hops[0].mcnemar_p == 0.0
    assert (one.hops[0].clustered_p, one.hurt) == (1.0, False)
    assert one.domains is not None
    assert (one.domains.count, one.domains.largest_share) == (361, 0.1)
    assert one.effective_rows < 20


def test_p_is_corrected_for_the_slices_that_are_large_enough() -> None:
    """Benjamini and Hochberg: the smallest of four p is multiplied by 4, the second by 4 / 2."""
    flips = [(30, 8), (22, 8), (12, 10), (10, 12)]
    parts = [flipped(*each) for each in flips]
    small = flipped(30, 8, rows=99)
    found = slices.judged([*parts, small])
    raw = [one.hops[0].clustered_p for one in parts]
    assert found[0].hops[0].adjusted_p == pytest.approx(4 * raw[0], abs=1e-4)
    assert found[1].hops[0].adjusted_p == pytest.approx(2 * raw[1], abs=1e-4)
    assert found[4].hops[0].adjusted_p is None
    assert [one.hurt for one in found] == [True, True, False, False, False]
    many = slices.judged([flipped(22, 8), *[flipped(10, 10)] * 9])
    assert parts[1].hurt, "alone it would be"
    assert not many[0].hurt, "as one of ten it is not"


def test_a_small_slice_is_never_called_hurt() -> None:
    assert flipped(12, 3, rows=100).hurt
    assert not flipped(12, 3, rows=99).hurt


def test_only_the_whole_way_decides_who_is_hurt() -> None:
    """What distillation loses, quantization may give back."""
    rows = 200
    right, wrong = np.ones(rows), np.repeat([-1.0, 1.0], [20, rows - 20])
    margins = {"teacher": right, "student": wrong, "quantized": right}
    outcomes = {model: Outcome(each, each, 0.0) for model, each in margins.items()}
    cut = [slices.Slice("path", "with path", np.ones(rows, dtype=bool))]
    (one,) = slices.report(cut, alone(np.ones(rows, dtype=np.int64)), outcomes, HOPS).slices
    assert one.hops[0].mcnemar_p < 0.05
    assert not one.hurt
