"""Every number, text and list in params.yaml has an upper bound, whichever class it is in."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from minnow.core import bounds
from minnow.stages import validate

BLOCKS = dict(validate.declared())
UPPER = {"integer": ("maximum", "exclusiveMaximum"), "number": ("maximum", "exclusiveMaximum")}


def unbounded(schema: Any, where: str) -> Iterator[str]:
    """Yield the places in a JSON schema that a value of any size fits."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from unbounded(part, f"{where}.{number}")
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    wanted = {**UPPER, "string": ("maxLength", "enum", "const"), "array": ("maxItems", "enum")}
    closed = kind == "array" and "enum" in schema.get("items", {})
    limits = wanted.get(kind, ()) if isinstance(kind, str) and not closed else ()
    if limits and not any(key in schema for key in limits):
        yield where
    for key, part in schema.items():
        if key not in ("default", "enum", "const"):
            yield from unbounded(part, f"{where}.{key}")


@pytest.mark.parametrize("place", BLOCKS)
def test_every_value_has_an_upper_bound(place: str) -> None:
    assert list(unbounded(BLOCKS[place].model_json_schema(), place)) == []


def test_the_law_notices_a_field_without_one() -> None:
    class Loose(BaseModel):
        size: int
        names: list[str]

    assert len(list(unbounded(Loose.model_json_schema(), "loose"))) == 3


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "~/x", "../x", "a/../../b", "a/..", "x" * 256, "é" * 128, "a/" * 600]
)
def test_a_path_stays_in_the_project_and_is_one_that_a_disk_can_hold(path: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(bounds.Place).validate_python(path)


@pytest.mark.parametrize("path", ["data/raw/file/a b.csv", "owner/name", "...", "a..b", "x" * 255])
def test_an_ordinary_path_is_taken(path: str) -> None:
    assert TypeAdapter(bounds.Place).validate_python(path) == path
