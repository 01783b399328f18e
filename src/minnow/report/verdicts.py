"""Results to plain words: the verdict in one sentence, and what each hop's figures mean."""

from collections.abc import Mapping

from minnow.evaluation.records import BEYOND_CHANCE, WHOLE_WAY, Hop, Hops, between
from minnow.layout import BASELINE
from minnow.report.formatting import capital, count, number, short

# How a sentence speaks of the models.
SUBJECTS = {
    BASELINE: "the plain baseline",
    "teacher": "the teacher",
    "student": "the student",
    "quantized": "the quantized student",
    "no_teacher": "the student without teacher",
}
# What a model is compared with rather than made from: nothing is lost on the way, so no margin is
# allowed.
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


def subject(model: str) -> str:
    """Return how a sentence speaks of a model."""
    return SUBJECTS.get(model, model)


def against_rival(hop: Hop) -> str:
    """Return `beats` or `worse` where the whole interval of the difference of f1 says so, else
    `open`.
    """
    if hop.better_than_before:
        return "beats"
    return "worse" if hop.f1.high < 0 else "open"


def sentence(report: Hops) -> str:
    """Return the whole verdict in one sentence; it begins with the baseline where that is not
    beaten.
    """
    standing = {
        after: against_rival(hop)
        for after in WHOLE_WAY
        if (hop := between(report.hops, BASELINE, after)) is not None
    }
    whole_way = between(report.hops, *WHOLE_WAY)
    clauses = [cost(whole_way, report.margin, report.rows), baseline_clause(standing)]
    if set(standing.values()) - {"beats"}:
        clauses.reverse()
    return capital("; ".join(clause for clause in clauses if clause)) + "."


def baseline_clause(standing: Mapping[str, str]) -> str:
    """Return which of teacher and quantized student is shown to beat the baseline; `standing` by
    model.
    """
    if not standing:
        return ""
    beaten_by = [model for model in standing if standing[model] == "beats"]
    others = [model for model in standing if model not in beaten_by]
    if not others:
        return (
            "both beat the plain baseline"
            if len(beaten_by) == 2
            else f"{subject(beaten_by[0])} beats the baseline"
        )
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
    if hop.better_than_before:
        return f"{who} is better than the teacher"
    return {
        "non_inferior": f"{who} keeps the teacher’s F1 within the margin of {short(margin)}",
        "inferior": (
            f"{who} loses more of the teacher’s F1 than the margin of {short(margin)} allows"
        ),
        "inconclusive": (
            f"{count(rows)} test rows cannot tell whether {who} keeps the teacher’s F1 within the"
            f" margin of {short(margin)}"
        ),
    }[hop.verdict]


def label(hop: Hop) -> tuple[str, str]:
    """Return a hop's verdict in a word or three, and the role of its colour."""
    if hop.before in RIVALS:
        return AGAINST_RIVAL[against_rival(hop)]
    return ("better", "good") if hop.better_than_before else WORDS[hop.verdict]


def meaning(hop: Hop, margin: float, rows: int) -> str:
    """Return in a sentence or two what a hop's figures mean."""
    f1, after, before = hop.f1, capital(subject(hop.after)), subject(hop.before)
    if hop.before in RIVALS:
        return {
            "beats": f"{after} beats {before}: the whole interval lies above zero.",
            "worse": f"{after} is worse than {before}: the whole interval lies below zero.",
            "open": f"{after} is not shown to beat {before}: the interval holds zero.",
        }[against_rival(hop)]
    if hop.better_than_before:
        return f"{after} is better than {before}: the whole interval lies above zero."
    at_all = (
        f"If {subject(hop.after)} loses any F1, then"
        if f1.high >= 0
        else f"{after} loses some F1, but"
    )
    return {
        "non_inferior": f"{at_all} less than the margin of {short(margin)}.",
        "inferior": (
            f"{after} loses at least {number(-f1.high)} of F1, more than the margin of"
            f" {short(margin)}."
        ),
        "inconclusive": (
            f"With {count(rows)} rows it stays open whether the loss of F1 is below the margin of "
            f"{short(margin)}.{rows_wanted(hop.rows_needed)}"
        ),
    }[hop.verdict]


def rows_wanted(rows: int | None) -> str:
    """Return how many rows would settle an open verdict, after a blank; nothing where no such
    number is known.
    """
    if rows is None:
        return ""
    return (
        f" About {count(rows)} rows would settle it in 4 of 5 cases, if the difference stayed what"
        " it is."
    )


def chance_of_slices(watched_slices: int) -> str:
    """Return what chance does to a list of slices that are shown to be hurt, in a sentence or
    two.
    """
    looked_at = "1 slice was" if watched_slices == 1 else f"{count(watched_slices)} slices were"
    return (
        f"{looked_at} looked at. A slice is shown to be hurt where more rows turned wrong than"
        f" right and McNemar’s exact test gives p < {BEYOND_CHANCE}. Even where compression does no"
        f" harm, chance does this to up to one slice in {2 / BEYOND_CHANCE:.0f}, and to more where"
        " rows of one domain flip together."
    )
