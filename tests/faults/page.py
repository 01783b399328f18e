"""docs/security.md: its tables, from the JSON files that `make faults` writes to docs/faults/."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "faults"
PAGE = ROOT / "docs" / "security.md"
OUTCOMES, SECONDS, FUZZ = "outcomes.json", "seconds.json", "fuzz.json"
BLOCK = re.compile(r"(<!-- faults:(\w+) -->\n).*?(<!-- /faults -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def matrix(found: Mapping[str, Mapping[str, str]]) -> str:
    """Return the faults as rows and the stages as columns."""
    stages = list(dict.fromkeys(stage for cells in found.values() for stage in cells))
    rows = [[fault, *(cells.get(each, "") for each in stages)] for fault, cells in found.items()]
    return table(["fault", *stages], rows)


def fuzzed(found: Mapping[str, Mapping[str, int]]) -> str:
    """Return how the cases of each kind of input ended."""
    rows = [
        [
            {"params": "params.yaml", "data": "data files", "release": "release folders"}[kind],
            f"{sum(counts.values()):,}",
            *(f"{counts.get(how, 0):,}" for how in ("fine", "refused", "broken")),
        ]
        for kind, counts in found.items()
    ]
    return table(["input", "cases", "ended well", "one line", "otherwise"], rows)


RENDERERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "matrix": (OUTCOMES, matrix),
    "fuzz": (FUZZ, fuzzed),
}


def rendered(text: str) -> str:
    """Return a page with the table between each pair of markers made anew."""

    def block(found: re.Match[str]) -> str:
        name, render = RENDERERS[found[2]]
        return f"{found[1]}{render(json.loads((FOLDER / name).read_text()))}\n{found[3]}"

    return BLOCK.sub(block, text)


def write() -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
