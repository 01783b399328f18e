"""What of a model's making needs more than a template: who it learned from, what kept more bits,
how the data were split.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from minnow.core.made import Made
from minnow.evaluation.results import DataReport
from minnow.layout import SPLITS
from minnow.release.provenance import MoreTexts, Origin, SpentBudget
from minnow.report.formatting import megabytes
from minnow.report.markdown import code

# How the student's vocabulary came about, by student.vocabulary.method.
VOCABULARIES = {
    "keep": "",
    "trim": " with only the tokens that its training texts use often enough",
    "train": " with a vocabulary of its own, byte pairs of its training texts",
}
# Parts that kept more bits than the others, named by the card.
MOST_PARTS = 6
SPLIT_METHODS = {
    "domain": "by registered domain, so that no domain of them stands in train",
    "time": (
        "by time, so that all of them are later than train, as what the model will see is later"
        " than what it learned from"
    ),
    "random": (
        "at random by row, so that URLs of one site may stand on both sides, which flatters every"
        " model"
    ),
}


def making(origin: Origin) -> dict[str, str]:
    """Return how teacher, student and quantized student came about."""
    teacher = origin.teacher
    return {
        "teacher": f"comes from {teacher.words}" if teacher else "was built without pretraining",
        "student": beginning(origin),
        "learned": learned(origin),
        "scheme": origin.scheme,
        "tables": packed_tables(origin),
        "budget": more_bits(origin.budget),
        "recovery": recovery(origin),
    }


def beginning(origin: Origin) -> str:
    """Return what the student began as."""
    if origin.made.init == "teacher":
        start = f"{'narrowed ' if origin.made.narrowing else ''}layers of the teacher"
    elif origin.student:
        start = f"a smaller cut of {origin.student.words}"
    else:
        start = "built without pretraining"
    return start + VOCABULARIES[origin.made.vocabulary]


def teachers_share(made: Made, logits: str) -> list[str]:
    """Return what the student learned from its teacher, whose logits are called `logits`."""
    return ([logits] if made.soft_weight else []) + (
        ["the states inside the teacher"] if made.whitebox else []
    )


def learned(origin: Origin) -> str:
    """Return what the student learned from."""
    made = origin.made
    temperature = "" if made.loss == "mse" else f", temperature {made.temperature:g}"
    logits = f"the teacher's logits ({made.loss}{temperature}, weight {made.soft_weight:g})"
    sources = teachers_share(made, logits)
    labels = " and the labels" if made.soft_weight < 1 else ", **not** from the labels"
    words = f"learned from {', '.join(sources)}{labels}"
    if not sources:
        words = "learned from the labels alone, **not** from the teacher (weight 0)"
    if origin.unlabelled is None:
        return words
    teacher = " and ".join(teachers_share(made, "the teacher's logits"))
    return words + more_text(origin.unlabelled, teacher)


def more_text(texts: MoreTexts, teacher: str) -> str:
    """Return on how many rows without labels the student learned from its teacher alone."""
    parts = []
    if texts.file:
        name = code(PurePosixPath(texts.file.name).name)
        parts.append(f"{texts.file.kept:,} of the file {name}")
    if texts.copies and texts.copies.kept:
        parts.append(f"{texts.copies.kept:,} altered copies of URLs")
    rows = f"{texts.rows:,} URLs without labels"
    return f"; and from {teacher} alone on {rows}, {' and '.join(parts)}"


def packed_tables(origin: Origin) -> str:
    """Return what became of the embeddings, and that some parts kept more bits."""
    tables = f" and its embeddings to {origin.embeddings} by Minnow" if origin.embeddings else ""
    raised = origin.budget and origin.budget.raised
    return tables + (", but for the parts named below" if raised else "")


def recovery(origin: Origin) -> str:
    """Return what the student learnt after it was quantized, nothing where it did not."""
    if not origin.recovered:
        return ""
    beside = (
        f"; low-rank adapters (rank {origin.adapters}) lie beside the packed weights"
        if origin.adapters
        else ""
    )
    weight = origin.made.soft_weight
    sources = (["logits"] if weight else []) + (["labels"] if weight < 1 else [])
    return (
        f" Then it learned\n   again from the same {' and '.join(sources)}, to recover what that"
        f" had cost{beside}."
    )


def more_bits(budget: SpentBudget | None) -> str:
    """Return which parts kept more bits than the others under a budget of bytes."""
    if budget is None:
        return ""
    raised = [f"{code(name)} ({kept})" for name, kept in budget.raised.items()]
    most = f"The budget of {megabytes(budget.bytes / 1e6)} MB"
    if not raised:
        return f"\n   {most} left no part more bits."
    rest = f" and {len(raised) - MOST_PARTS} more" if raised[MOST_PARTS:] else ""
    return (
        f"\n   {most} left more bits to what loses most by having few:"
        f" {', '.join(raised[:MOST_PARTS])}{rest}. `manifest.json` says it of each part."
    )


def source(data: DataReport) -> str:
    """Return where the rows come from."""
    if data.source == "synthetic":
        return "**Synthetic** URLs, made up by Minnow's generator."
    if data.source == "file":
        return f"A file of the maker's own, {code(data.file or '')}."
    if data.id and data.commit:
        return f"{code(data.id)} @ {code(data.commit)}."
    return "A data set of the maker's own."


def splitting(carved: Sequence[str], method: str) -> str:
    """Return how the splits came about; `carved` are those that Minnow made, the others were
    published or given.
    """
    if not carved:
        return "The splits are as published or given."
    whole = {"validation", "test"} <= set(carved)
    rest = "" if whole else " The other split is as published or given."
    names = " and ".join(split for split in SPLITS if split in carved)
    return f"Minnow split off {names} {SPLIT_METHODS[method]}.{rest}"


def licence(data: DataReport, origin: Origin) -> str:
    """Return what the weights derive from, which the user must look up before giving them away."""
    sources = [base.words for base in dict.fromkeys((origin.teacher, origin.student)) if base]
    if data.source != "synthetic":
        published = f"the data set {code(data.id or '')}"
        sources.append(published if data.commit else "the maker's own data")
    if not sources:
        return "They derive from no other model and from generated data alone."
    return (
        f"They derive from {' and '.join(sources)}, whose licences and terms have not been checked"
        " here."
    )
