"""Names and numbers to Markdown."""

import re
from collections.abc import Iterable, Sequence

from minnow.errors import shortened
from minnow.evaluation.records import Measured, Unmeasured
from minnow.report.formatting import NONE, bounds, number


def code(text: str) -> str:
    """Return text of a user's or of the data's as a code span, short, and without what would end
    it.
    """
    harmless = re.sub(r"[^\w .,:;=+/@()-]", "?", text).strip()
    return f"`{shortened(harmless, 80) or '?'}`"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column to the left, the others to the right."""
    ruler = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ruler, *rows])


def estimate(metric: Measured) -> str:
    """Return `value (low to high)`, or a dash where the value could not be measured."""
    if isinstance(metric, Unmeasured):
        return NONE
    return f"{number(metric.value)} ({bounds(metric)})"
