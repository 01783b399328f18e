"""Results to plain words: the verdict in one sentence, what each hop's figures mean, and numbers for readers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from minnow.layout import BASELINE

Hop = Mapping[str, Any]

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
# How a sentence speaks of the models.
SUBJECTS = {
    BASELINE: "the plain baseline",
    "teacher": "the teacher",
    "student": "the student",
    "quantized": "the quantized student",
    "no_teacher": "the student without teacher",
}
# What a model is compared with rather than made from: nothing is lost on the way, so no margin is allowed.
RIVALS = (BASELINE, "no_teacher")
# A hop's verdict in a word or three, and the role of its colour.
WORDS = {
    "non_inferior": ("within the margin", "good"),
    "inferior": ("beyond the margin", "bad"),
    "inconclusive": ("cannot be told", "open"),
}
AGAINST_RIVAL = {
    "beats": ("beats it", "good"),
    "worse": ("worse", "bad"),
    "open": ("not shown better", "open"),
}


def number(value: float | None, decimals: int = 4) -> str:
    """Return a number with a true minus sign; a dash for none."""
    return NONE if value is None else f"{value:.{decimals}f}".replace("-", MINUS)


def signed(value: float, decimals: int = 4) -> str:
    """Return a difference with its sign; zero has none."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def interval(found: Mapping[str, Any], decimals: int = 4) -> str:
    """Return an interval of differences, `low to high`."""
    return f"{signed(found['low'], decimals)} to {signed(found['high'], decimals)}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share in per cent."""
    return NONE if share is None else f"{100 * share:.{decimals}f} %"


def count(rows: float) -> str:
    """Return a count with its thousands apart."""
    return f"{rows:,.0f}"


def p_value(p: float) -> str:
    """Return `p = 0.0310`, or that it lies below what four decimals can say."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def short(value: float) -> str:
    """Return a number without needless decimals."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def capital(sentence: str) -> str:
    """Return a sentence with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


def subject(model: str) -> str:
    """Return how a sentence speaks of a model."""
    return SUBJECTS.get(model, model)


def between(hops: Sequence[Hop], before: str, after: str) -> Hop | None:
    """Return the hop between two models, None if nobody measured it."""
    return next((hop for hop in hops if (hop["before"], hop["after"]) == (before, after)), None)


def against_rival(hop: Hop) -> str:
    """Return `beats` or `worse` where the whole interval of the difference of f1 says so, else `open`."""
    if hop["f1"]["low"] > 0:
        return "beats"
    return "worse" if hop["f1"]["high"] < 0 else "open"


def headline(hops: Sequence[Hop], margin: float, rows: int) -> str:
    """Return the whole verdict in one sentence; it begins with the baseline where that is not beaten."""
    found = {after: between(hops, BASELINE, after) for after in ("teacher", "quantized")}
    standing = {after: against_rival(hop) for after, hop in found.items() if hop is not None}
    clauses = [cost(between(hops, "teacher", "quantized"), margin, rows), baseline_clause(standing)]
    if set(standing.values()) - {"beats"}:
        clauses.reverse()
    return capital("; ".join(clause for clause in clauses if clause)) + "."


def baseline_clause(standing: Mapping[str, str]) -> str:
    """Return which of teacher and quantized student is shown to beat the baseline; `standing` by model."""
    if not standing:
        return ""
    beaten_by = [model for model, found in standing.items() if found == "beats"]
    others = [model for model in standing if model not in beaten_by]
    if not others:
        return "both beat the plain baseline" if len(beaten_by) == 2 else f"{subject(beaten_by[0])} beats the baseline"
    if len(others) == 2:
        if set(standing.values()) == {"worse"}:
            return "the teacher and the quantized student are both worse than the plain baseline"
        return "neither the teacher nor the quantized student is shown to beat the plain baseline"
    does = "is worse than" if standing[others[0]] == "worse" else "is not shown to beat"
    but = f", which {subject(beaten_by[0])} beats" if beaten_by else ""
    return f"{subject(others[0])} {does} the plain baseline{but}"


def cost(hop: Hop | None, margin: float, rows: int) -> str:
    """Return what the whole way from teacher to quantized student cost, as a clause."""
    if hop is None:
        return ""
    who = subject("quantized")
    if hop["better_than_before"]:
        return f"{who} is better than the teacher"
    return {
        "non_inferior": f"{who} keeps the teacher’s F1 within the margin of {short(margin)}",
        "inferior": f"{who} loses more of the teacher’s F1 than the margin of {short(margin)} allows",
        "inconclusive": f"{count(rows)} test rows cannot tell whether {who} keeps the teacher’s F1 within the margin "
        f"of {short(margin)}",
    }[hop["verdict"]]


def label(hop: Hop) -> tuple[str, str]:
    """Return a hop's verdict in a word or three, and the role of its colour."""
    if hop["before"] in RIVALS:
        return AGAINST_RIVAL[against_rival(hop)]
    return ("better", "good") if hop["better_than_before"] else WORDS[hop["verdict"]]


def meaning(hop: Hop, margin: float, rows: int) -> str:
    """Return in a sentence or two what a hop's figures mean."""
    f1, after, before = hop["f1"], capital(subject(hop["after"])), subject(hop["before"])
    if hop["before"] in RIVALS:
        return {
            "beats": f"{after} beats {before}: the whole interval lies above zero.",
            "worse": f"{after} is worse than {before}: the whole interval lies below zero.",
            "open": f"{after} is not shown to beat {before}: the interval holds zero.",
        }[against_rival(hop)]
    if hop["better_than_before"]:
        return f"{after} is better than {before}: the whole interval lies above zero."
    return {
        "non_inferior": f"If {subject(hop['after'])} loses any F1, then less than the margin of {short(margin)}.",
        "inferior": f"{after} loses at least {number(-f1['high'])} of F1, more than the margin of {short(margin)}.",
        "inconclusive": f"With {count(rows)} rows it stays open whether the loss of F1 is below the margin of "
        f"{short(margin)}. {needed(hop['rows_needed'])}",
    }[hop["verdict"]]


def needed(rows: int | None) -> str:
    """Return how many rows would settle an open verdict."""
    if rows is None:
        return "The difference is the margin itself, so no number of rows would settle it."
    return f"About {count(rows)} would settle it, if the difference stayed what it is."
