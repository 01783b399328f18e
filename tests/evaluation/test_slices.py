"""Slices of the test rows: which row lies where, what is said of them, and that none is lost."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, recall_score

from minnow.data import synthetic
from minnow.evaluation import comparison, slices
from minnow.evaluation.evidence import Outcome
from minnow.evaluation.metrics import Array
from minnow.evaluation.records import SliceHop, Slices, SliceScore
from minnow.text import urls

HOPS = (("teacher", "student"), ("student", "quantized"), ("teacher", "quantized"))
NOTHING = pl.Series("domain", [], dtype=pl.String)


def split(*texts: str) -> pl.DataFrame:
    column = pl.Series("text", texts, dtype=pl.String)
    return pl.DataFrame({"text": column, "domain": urls.registered_domain(urls.host(column))})


def values_of(text: str, *, train: pl.Series = NOTHING) -> dict[str, str]:
    """Return the one value of each trait of a URL."""
    found = slices.cut(split(text), train)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each.value for each in found}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a" * 15 + ".com", "length", "under 20"),
        ("a" * 16 + ".com", "length", "20 to 39"),
        ("https://" + "a" * 15 + ".com", "length", "under 20"),
        ("a.com/" + "b" * 33, "length", "20 to 39"),
        ("a.com/" + "b" * 34, "length", "40 to 79"),
        ("a.com/" + "b" * 73, "length", "40 to 79"),
        ("a.com/" + "b" * 74, "length", "80 and more"),
        ("a.com/" + "é" * 14, "length", "20 to 39"),
        ("a.com/" + "é" * 13, "length", "under 20"),
        ("", "length", "under 20"),
        ("a.com", "path", "without path"),
        ("a.com/", "path", "without path"),
        ("http://a.com//", "path", "without path"),
        ("a.com/#top", "path", "without path"),
        ("a.com?", "path", "without path"),
        ("a.com:8080", "path", "without path"),
        ("a.com/x", "path", "with path"),
        ("a.com\\x", "path", "with path"),
        ("a.com?q=1", "path", "with path"),
        ("10.0.0.1/x", "host", "IP address"),
        ("http://user@10.0.0.1:80/", "host", "IP address"),
        ("[::1]:80/x", "host", "IP address"),
        ("10.0.0.256", "host", "name"),
        ("10.0.0.1.com", "host", "name"),
        ("1.2.3", "host", "name"),
        ("a.com/10.0.0.1", "host", "name"),
        ("me.github.io/x", "hosting", "free"),
        ("a.b.web.app", "hosting", "free"),
        ("github.com/me", "hosting", "own domain or address"),
        ("example.co.uk", "hosting", "own domain or address"),
        ("10.0.0.1", "hosting", "own domain or address"),
        ("a.com/me.github.io", "hosting", "own domain or address"),
        ("xn--pypal-4ve.com", "punycode", "in the host"),
        ("www.XN--pypal-4ve.com", "punycode", "in the host"),
        ("axn--b.com", "punycode", "none"),
        ("a.com/xn--b", "punycode", "none"),
        ("a.b.co.uk", "top-level domain", ".uk"),
        ("A.COM./x", "top-level domain", ".com"),
        ("10.0.0.1", "top-level domain", "other"),
        ("[::1]", "top-level domain", "other"),
        ("localhost", "top-level domain", "other"),
        ("", "top-level domain", "other"),
    ],
)
def test_where_a_url_lies(text: str, name: str, value: str) -> None:
    assert values_of(text)[name] == value


def test_domains_of_train_are_registered_ones() -> None:
    train = pl.Series("domain", ["a.co.uk", "me.github.io"])
    assert values_of("x.a.co.uk/y", train=train)["domain"] == "seen in train"
    assert values_of("b.co.uk", train=train)["domain"] == "unseen in train"
    assert values_of("you.github.io", train=train)["domain"] == "unseen in train"


def test_every_row_has_one_value_of_every_trait() -> None:
    texts, _ = synthetic.generate(2_000, seed=0, label_noise=0)
    test = split(*texts)
    found = slices.cut(test, test["domain"].head(500))
    names = [name for name, _ in groupby(found, key=lambda each: each.name)]
    assert names == ["length", "path", "host", "hosting", "punycode", "domain", "top-level domain"]
    for name in names:
        inside = np.sum([each.rows for each in found if each.name == name], axis=0)
        assert np.array_equal(inside, np.ones(len(test))), name
    assert all(each.rows.any() and each.rows.dtype == bool for each in found)


def test_the_scheme_moves_no_row() -> None:
    texts, _ = synthetic.generate(500, seed=0, label_noise=0)
    bare = urls.split_scheme(pl.Series(texts))[1].to_list()
    for one, other in zip(
        slices.cut(split(*bare), NOTHING),
        slices.cut(split(*(f"http://{text}" for text in bare)), NOTHING),
        strict=True,
    ):
        assert (one.name, one.value) == (other.name, other.value)
        assert np.array_equal(one.rows, other.rows), (one.name, one.value)


def test_top_level_domains_are_ordered_by_rows_and_then_by_name() -> None:
    counts = {
        "com": 5,
        "zz": 3,
        "aa": 3,
        "net": 4,
        "b1": 2,
        "b3": 2,
        "b2": 2,
        "c1": 1,
        "c3": 1,
        "c2": 1,
    }
    texts = [f"x{number}.{name}" for name, rows in counts.items() for number in range(rows)]
    expected = {
        ".com": 5,
        ".net": 4,
        ".aa": 3,
        ".zz": 3,
        ".b1": 2,
        ".b2": 2,
        ".b3": 2,
        ".c1": 1,
        "other": 2,
    }
    for given in (texts, texts[::-1]):
        found = [
            each for each in slices.cut(split(*given), NOTHING) if each.name == "top-level domain"
        ]
        assert [(each.value, int(each.rows.sum())) for each in found] == list(expected.items())


def test_private_suffixes_are_told_from_the_registries() -> None:
    hosts = [
        "me.github.io",
        "github.io",
        "a.web.app",
        "app",
        "a.com",
        "co.uk",
        "10.0.0.1",
        "",
        "me.github.io",
    ]
    found = urls.has_private_suffix(pl.Series("host", hosts))
    assert found.to_list() == [True, True, True, False, False, False, False, False, True]


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
    return SliceHop(before, after, change, worse=worse, better=better, mcnemar_p=p)


def test_a_report_by_hand() -> None:
    found = slices.report(CUT, LABELS, OUTCOMES, HOPS)
    assert found.small_below == 100
    both, safe, phishing = found.slices
    assert both == SliceScore(
        slice="path",
        value="with path",
        rows=3,
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
    for part, each in zip(cut, slices.report(cut, labels, outcomes, HOPS).slices, strict=True):
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
    (each,) = slices.report(cut, labels, {"teacher": teacher}, HOPS).slices
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
    found = slices.report(slices.cut(split(*texts), NOTHING), actual, outcomes, HOPS).slices
    right = {name: (each > 0.5) == actual for name, each in margins.items()}
    for name in ("length", "path", "top-level domain"):
        for number, (before, after) in enumerate(HOPS):
            hops = [each.hops[number] for each in found if each.slice == name]
            assert sum(each.worse for each in hops) == (right[before] & ~right[after]).sum()
            assert sum(each.better for each in hops) == (~right[before] & right[after]).sum()


def test_the_plots_rows() -> None:
    found = slices.report(CUT[:1], LABELS, OUTCOMES, HOPS)
    table = slices.table(found)
    assert table.columns == ["slice", "model", "score"]
    assert table.rows()[:2] == [
        ("path: with path (2 phishing)", "baseline", 0.0),
        ("path: with path (2 phishing)", "teacher", 1.0),
    ]
    (safe,) = slices.report(CUT[1:2], LABELS, OUTCOMES, HOPS).slices
    assert slices.plot_label(safe).endswith(" (2 safe)")
    large = replace(found.slices[0], small=False)
    assert slices.table(Slices(100, (large,)))["slice"].unique().to_list() == ["path: with path"]
    assert slices.table(Slices(100, ())).rows() == []


def test_a_label_can_open_no_tag_in_the_plots_page() -> None:
    (one,) = slices.report(CUT[:1], LABELS, OUTCOMES, HOPS).slices
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
    (one,) = slices.report(cut, np.ones(rows, dtype=np.int64), outcomes, HOPS).slices
    return one


@pytest.mark.parametrize(
    ("worse", "better", "hurt"),
    [
        (12, 3, True),
        (12, 4, False),  # p = 0.077
        (3, 12, False),  # for the better
        (7, 7, False),
        (6, 0, True),  # 2 / 2⁶ = 0.031
        (5, 0, False),
    ],
)
def test_a_slice_is_hurt_only_beyond_chance(worse: int, better: int, hurt: bool) -> None:
    one = flipped(worse, better)
    (hop,) = one.hops
    assert (hop.worse, hop.better, one.hurt) == (worse, better, hurt)
    assert hop.mcnemar_p == round(comparison.mcnemar(worse, better), 4)


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
    (one,) = slices.report(cut, np.ones(rows, dtype=np.int64), outcomes, HOPS).slices
    assert one.hops[0].mcnemar_p < 0.05
    assert not one.hurt
