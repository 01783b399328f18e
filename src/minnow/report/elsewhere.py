"""Further test sets to plain words: what the worst of them says of the quantized student, and which
thresholds hold on none of them.
"""

from collections.abc import Callable, Mapping

from minnow.evaluation.records import WHOLE_WAY, Estimate, ExtraResult, Hop, Transfer, between
from minnow.report.formatting import bounds, count, interval_text, percent, short, signed
from minnow.text.display import plain

FINAL = WHOLE_WAY[1]
Spell = Callable[[str], str]


def worst(extra: Mapping[str, ExtraResult]) -> str | None:
    """Return the further test set on which the whole way lost most F1, of equal ones that where the
    quantized student raises more false alarms; None where it was measured on none.
    """
    rank = {
        name: (hop.f1.difference, -result.models[FINAL].fpr.value, name)
        for name, result in extra.items()
        if (hop := between(result.hops, *WHOLE_WAY)) is not None
    }
    return min(rank, key=rank.__getitem__, default=None)


def clause(extra: Mapping[str, ExtraResult], spell: Spell = plain) -> str:
    """Return what the quantized student loses and how often it is wrong about safe URLs on the
    worst further test set, as a clause; nothing without any. `spell` spells the set's name.
    """
    name = worst(extra)
    if name is None:
        return ""
    result = extra[name]
    hop = between(result.hops, *WHOLE_WAY)
    assert hop is not None, "it is the worst by this hop"
    among = f", the worst of {count(len(extra))} further test sets," if len(extra) > 1 else ""
    there = result.models[FINAL].fpr
    decision = result.thresholds.get(FINAL, {}).get("decision")
    beside = f", against {percent(decision.test_fpr.value)} on test" if decision else ""
    return (
        f"on {spell(name)}{among} it {loss(hop, result.margin)} and calls {percent(there.value)} of"
        f" the safe URLs phishing{beside}"
    )


def loss(hop: Hop, margin: float) -> str:
    """Return what the whole way cost on a further test set, with the figures."""
    allowed = f"the margin of {short(margin)}"
    said = {
        "better": "is better than the teacher",
        "non_inferior": f"keeps the teacher’s F1 within {allowed}",
        "inferior": f"loses more of the teacher’s F1 than {allowed} allows",
        "worse_margin_open": f"loses some of the teacher’s F1, perhaps more than {allowed}",
        "undecided": f"is not shown to keep the teacher’s F1 within {allowed}",
    }[hop.verdict]
    return f"{said} ({signed(hop.f1.difference)}, {interval_text(hop.f1)})"


def broken_thresholds(result: ExtraResult, model: str, subject: str) -> list[str]:
    """Return in a sentence each which thresholds of a model are shown not to carry over to a
    further test set; `subject` is how a sentence speaks of the model.
    """
    found = result.thresholds.get(model, {})
    return [broken(each, subject) for each in found.values() if each.exceeds]


def broken(transfer: Transfer, subject: str) -> str:
    """Return that a threshold does not carry over, with its false-positive rates."""
    here = f"calls {rate(transfer.fpr)} of the safe URLs phishing here"
    if transfer.wanted is None:
        return (
            f"The threshold of {subject} does not carry over: it {here}, and"
            f" {rate(transfer.test_fpr)} on test."
        )
    return (
        f"The threshold of {subject} for {100 * transfer.wanted:g} % false alarms on validation"
        f" does not carry over: it {here}."
    )


def rate(estimate: Estimate) -> str:
    """Return a rate in per cent with its interval."""
    if (estimate.low, estimate.high) == (0, 1):
        return f"{percent(estimate.value)} ({bounds(estimate)})"
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"
