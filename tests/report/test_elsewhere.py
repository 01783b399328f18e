"""What further test sets add to the first sentence, and thresholds that do not carry over."""

from typing import Any

import pytest

from helpers import results as made_up
from helpers.results import record
from minnow.evaluation.records import ExtraResult, Hops
from minnow.release.card_tables import broken_lines
from minnow.report import elsewhere, verdicts
from minnow.report.markdown import code


def extra_set(low: float, high: float, fpr: float = 0.3812, **changes: Any) -> ExtraResult:
    """Return a further test set with an interval of the whole way and false alarms."""
    found = made_up.extra()["next_year"]
    found["hops"] = [made_up.hop(*names, low, high, margin=0.02) for names in made_up.HOPS]
    found["models"]["quantized"]["fpr"] = made_up.estimate(fpr)
    return record(ExtraResult, found | changes)


@pytest.mark.parametrize(
    ("low", "high", "clause"),
    [
        (0.002, 0.02, "is better than the teacher (+0.0110, +0.0020 to +0.0200)"),
        (-0.01, 0.004, "keeps the teacher’s F1 within the margin of 0.02 (−0.0030, −0.0100 to"),
        (-0.05, -0.03, "loses more of the teacher’s F1 than the margin of 0.02 allows (−0.0400,"),
        (-0.03, -0.01, "loses some of the teacher’s F1, perhaps more than the margin of 0.02 ("),
        (-0.03, 0.01, "is not shown to keep the teacher’s F1 within the margin of 0.02 (−0.0100,"),
    ],
)
def test_the_clause_names_the_set_its_loss_and_its_false_alarms(
    low: float, high: float, clause: str
) -> None:
    said = elsewhere.clause({"next_year": extra_set(low, high)})
    assert said.startswith(f"on next_year it {clause}")
    assert said.endswith("and calls 38.1 % of the safe URLs phishing, against 8.3 % on test")


def test_the_worst_set_lost_most_and_of_equal_ones_raises_more_false_alarms() -> None:
    mild, bad = extra_set(-0.01, 0.004), extra_set(-0.05, -0.03)
    worse = extra_set(-0.05, -0.03, fpr=0.5)
    assert elsewhere.worst({}) is None
    assert elsewhere.worst({"a": mild, "b": bad}) == "b"
    assert elsewhere.worst({"a": bad, "b": worse, "c": mild}) == "b"
    assert elsewhere.worst({"a": mild, "b": extra_set(-1, -1, hops=[])}) == "a"
    said = elsewhere.clause({"a": mild, "b": worse, "c": bad})
    assert said.startswith("on b, the worst of 3 further test sets, it loses more")
    assert "calls 50.0 % of the safe URLs phishing" in said


def test_the_first_sentence_has_the_worst_set_between_cost_and_baseline() -> None:
    hops, extra = record(Hops, made_up.hops()), {"next_year": extra_set(-0.05, -0.03)}
    cost, both = verdicts.sentence(hops, {}).split("; ")
    clause = elsewhere.clause(extra)
    assert verdicts.sentence(hops, extra) == f"{cost}; {clause}; {both}"
    assert "; on `next_year` it loses" in verdicts.sentence(hops, extra, code)


def test_an_unbeaten_baseline_still_stands_first() -> None:
    given = made_up.hops()
    given["hops"][-1] = made_up.hop("baseline", "quantized", -0.01, 0.01)
    said = verdicts.sentence(record(Hops, given), {"next_year": extra_set(-0.05, -0.03)})
    parts = said.split("; ")
    assert parts[0].startswith("The quantized student is not shown to beat the plain baseline")
    assert parts[-1].startswith("on next_year it loses")


def test_thresholds_that_do_not_carry_over_are_told_with_their_figures() -> None:
    found = elsewhere.broken_thresholds(extra_set(-0.02, 0.01), "quantized", "the student")
    assert found == [
        "The threshold of the student does not carry over: it calls 38.1 % (36.1 % to 40.1 %) of"
        " the safe URLs phishing here, and 8.3 % (7.5 % to 9.1 %) on test.",
        "The threshold of the student for 1 % false alarms on validation does not carry over: it"
        " calls 12.0 % (10.5 % to 13.5 %) of the safe URLs phishing here.",
    ]


def test_thresholds_that_hold_are_not_mentioned() -> None:
    held = {name: each | {"exceeds": False} for name, each in made_up.transfers().items()}
    result = extra_set(-0.02, 0.01, thresholds={"quantized": held})
    assert elsewhere.broken_thresholds(result, "quantized", "the student") == []
    assert elsewhere.broken_thresholds(result, "teacher", "the teacher") == []
    assert broken_lines({"next_year": result}) == ""


def test_the_card_lists_those_of_the_quantized_student() -> None:
    lines = broken_lines({"b": extra_set(-0.02, 0.01), "a": extra_set(-0.02, 0.01)}).split("\n")
    assert [line[:6] for line in lines] == ["- `a`:", "- `a`:", "- `b`:", "- `b`:"]
    assert all("The threshold of the quantized student" in line for line in lines)
