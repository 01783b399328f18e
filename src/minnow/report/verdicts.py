"""Results to plain words: the verdict in one sentence, and what each hop's figures mean."""

from collections.abc import Mapping
from dataclasses import replace

from minnow.evaluation.params import Unit
from minnow.evaluation.records import RIVALS, WHOLE_WAY, ExtraResult, Hop, Hops, Verdict, between
from minnow.evaluation.slice_records import BEYOND_CHANCE
from minnow.layout import BASELINE
from minnow.report import elsewhere
from minnow.report.formatting import capital, count, harmless_domain, number, short
from minnow.text.display import plain

# How a sentence speaks of the models.
SUBJECTS = {
    BASELINE: "the plain baseline",
    "teacher": "the teacher",
    "student": "the student",
    "quantized": "the quantized student",
    "exported": "the exported model",
    "no_teacher": "the student without teacher",
}
# A hop's verdict in a word or three, and the role of its colour.
WORDS = {
    "better": ("better", "good"),
    "non_inferior": ("within the margin", "good"),
    "worse_margin_open": ("worse, margin open", "bad"),
    "inferior": ("beyond the margin", "bad"),
    "undecided": ("undecided", "open"),
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
    """Return `beats` or `worse` where the verdict says so, else `open`."""
    if hop.verdict in ("inferior", "worse_margin_open"):
        return "worse"
    return "beats" if hop.verdict == "better" else "open"


def sentence(report: Hops, extra: Mapping[str, ExtraResult], spell: elsewhere.Spell = plain) -> str:
    """Return the whole verdict in one sentence, with what the worst further test set says; it
    begins with the baseline where that is not beaten. `spell` spells the set's name.
    """
    standing = {
        after: against_rival(hop)
        for after in WHOLE_WAY
        if (hop := between(report.hops, BASELINE, after)) is not None
    }
    whole_way = between(report.hops, *WHOLE_WAY)
    clauses = [
        cost(whole_way, report.margin, report.rows),
        elsewhere.clause(extra, spell),
        baseline_clause(standing),
    ]
    if set(standing.values()) - {"beats"}:
        clauses.insert(0, clauses.pop())
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
    who, allowed = subject("quantized"), f"the margin of {short(margin)}"
    return {
        "better": f"{who} is better than the teacher",
        "non_inferior": f"{who} keeps the teacher’s F1 within {allowed}",
        "inferior": f"{who} loses more of the teacher’s F1 than {allowed} allows",
        "worse_margin_open": (
            f"{who} loses some of the teacher’s F1, and {count(rows)} test rows cannot tell whether"
            f" it is more than {allowed}"
        ),
        "undecided": (
            f"{count(rows)} test rows cannot tell whether {who} keeps the teacher’s F1 within"
            f" {allowed}"
        ),
    }[hop.verdict]


def label(hop: Hop) -> tuple[str, str]:
    """Return a hop's verdict in a word or three, and the role of its colour."""
    return AGAINST_RIVAL[against_rival(hop)] if hop.before in RIVALS else WORDS[hop.verdict]


def as_word(verdict: Verdict, hop: Hop) -> str:
    """Return in a word or three what a verdict would be of this hop."""
    return label(replace(hop, verdict=verdict))[0]


def meaning(hop: Hop, margin: float, rows: int) -> str:
    """Return in a few sentences what a hop's figures mean."""
    said = beside_rival(hop) if hop.before in RIVALS else at_margin(hop, margin, rows)
    return " ".join(filter(None, (said, rows_wanted(hop), by_itself(hop), one_domain(hop))))


def beside_rival(hop: Hop) -> str:
    """Return what a hop from a rival means."""
    after, before = capital(subject(hop.after)), subject(hop.before)
    return {
        "beats": f"{after} beats {before}: the whole interval lies above zero.",
        "worse": f"{after} is worse than {before}: the whole interval lies below zero.",
        "open": f"{after} is not shown to beat {before}.",
    }[against_rival(hop)]


def at_margin(hop: Hop, margin: float, rows: int) -> str:
    """Return what a hop between a model and what was made of it means."""
    after, before = capital(subject(hop.after)), subject(hop.before)
    allowed = f"the margin of {short(margin)}"
    at_all = (
        f"If {subject(hop.after)} loses any F1, then"
        if hop.f1.high >= 0
        else f"{after} loses some F1, but"
    )
    return {
        "better": f"{after} is better than {before}: the whole interval lies above zero.",
        "non_inferior": f"{at_all} less than {allowed}.",
        "inferior": f"{after} loses at least {number(-hop.f1.high)} of F1, more than {allowed}.",
        "worse_margin_open": (
            f"{after} loses some F1: the whole interval lies below zero. With {count(rows)} rows it"
            f" stays open whether the loss is below {allowed}."
        ),
        "undecided": (
            f"With {count(rows)} rows it stays open whether the loss of F1 is below {allowed}."
        ),
    }[hop.verdict]


def rows_wanted(hop: Hop) -> str:
    """Return how many rows would settle an open verdict, and how; nothing where no such number is
    known.
    """
    if hop.rows_needed is None or hop.verdict not in ("undecided", "worse_margin_open"):
        return ""
    kept = hop.more_rows_show == "non_inferior"
    shown = (
        ("better" if kept else "worse")
        if hop.before in RIVALS
        else ("non-inferior" if kept else "inferior")
    )
    return (
        f"About {count(hop.rows_needed)} rows would show it {shown} in 4 of 5 cases, if the"
        " difference stayed what it is."
    )


def by_itself(hop: Hop) -> str:
    """Return what the hop's interval alone would say, where the correction takes it back."""
    if hop.verdict == hop.uncorrected:
        return ""
    return (
        f"By its interval alone it would be “{as_word(hop.uncorrected, hop)}”; among so many"
        f" verdicts in one table, that may be chance (p {number(hop.p)}, corrected"
        f" {number(hop.adjusted_p)})."
    )


def one_domain(hop: Hop) -> str:
    """Return that one domain decides the hop, nothing where none does."""
    one = hop.decisive
    if one is None:
        return ""
    without = (
        f", and without it the verdict would be “{as_word(one.verdict_without, hop)}”"
        if one.verdict_without
        else ""
    )
    return (
        f"One domain decides: {harmless_domain(one.domain)} has {count(one.worse)} of the"
        f" {count(hop.worse)} flips to wrong and {count(one.better)} of the {count(hop.better)} to"
        f" right{without}."
    )


def chance_of_slices(watched_slices: int, unit: Unit) -> str:
    """Return what chance does to a list of slices that are shown to be hurt, in a sentence or
    two.
    """
    looked_at = "1 slice was" if watched_slices == 1 else f"{count(watched_slices)} slices were"
    return (
        f"{looked_at} looked at. A slice is shown to be hurt where more rows turned wrong than"
        f" right, and p by {unit}, corrected for the number of slices, lies below {BEYOND_CHANCE}:"
        f" of the slices that are named, one in {1 / BEYOND_CHANCE:.0f} on average may be there by"
        " chance (the false discovery rate)."
    )
