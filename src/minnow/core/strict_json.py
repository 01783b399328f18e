"""JSON that others may have written: no name twice, no nesting and no length without end."""

import json
from pathlib import Path
from typing import Any

# Longer than any file of ours, or config of a model: what is longer is not read, lest it fill the
# memory. A sparse file of any length takes no room on disk.
LONGEST_JSON = 50_000_000


def bounded_text(file: Path) -> str:
    """Return the text of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too long, or no UTF-8.
    """
    if (size := file.stat().st_size) > LONGEST_JSON:
        raise ValueError(
            f"it has {size / 1e6:,.0f} MB, and {LONGEST_JSON / 1e6:.0f} MB are the most"
        )
    return file.read_text(encoding="utf-8")


def parsed_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or names something twice, of which readers
        would take one or the other.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it names {name[:60]!r} twice")
        found[name] = value
    return found
