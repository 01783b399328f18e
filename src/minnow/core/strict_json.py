"""JSON that others may have written: no name twice, no nesting without end."""

import json
from typing import Any


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
