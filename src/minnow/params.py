"""params.yaml: read here and nowhere else, and turned into one frozen, validated object per stage.

A stage's file holds its `Params` class. Each field of it is a `Block` marked with where that block stands:

    class Params(StageParams):
        student: Annotated[StudentParams, "presets.*.student"]
        distill: Annotated[DistillParams, "distill"]

`*` is the active preset. dvc.yaml lists the same places; tests/test_contract.py holds the two together.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from minnow.errors import MinnowError, listed, nearest
from minnow.layout import Layout

Architecture = Literal["bert", "distilbert"]
Precision = Literal["auto", "float32", "bfloat16"]
Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Block(BaseModel):
    """A block of params.yaml: frozen, unknown keys refused, and no number taken for a string or the reverse."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RuntimeParams(Block):
    """How models are run; the same for every stage of a preset."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Precision
    threads: Annotated[int, Field(ge=1)] | None


class TrainingParams(Block):
    """What `training.fit` needs to know; teacher and student have one each."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]


class BuildParams(Block):
    """The shape of a model that is built from its config instead of taken from a checkpoint."""

    architecture: Architecture
    layers: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=16)]
    intermediate_size: Annotated[int, Field(ge=16)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads is {self.heads}, which does not divide hidden_size {self.hidden_size}")
        return self


class StageParams(BaseModel):
    """Base of every stage's `Params`: its fields are blocks, each annotated with its place in params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str

    @classmethod
    def places(cls) -> dict[str, tuple[str, type[Block]]]:
        """Return field name → (place in params.yaml, its class), in the order of declaration."""
        return {
            name: (
                next(place for place in field.metadata if isinstance(place, str)),
                _block(field.annotation),
            )
            for name, field in cls.model_fields.items()
            if name != "preset"
        }

    @classmethod
    def load(cls, root: Path) -> Self:
        """Read `root/params.yaml` and return this stage's params.

        Raises:
            MinnowError: one line naming the key, what was given, what is allowed and the nearest legal name.
        """
        document = read(Layout(root).params)
        preset = active_preset(document)
        blocks = {
            name: validated(block, pick(document, at(place, preset)), at(place, preset))
            for name, (place, block) in cls.places().items()
        }
        return cls(preset=preset, **blocks)


BlockT = TypeVar("BlockT", bound=Block)


def _block(annotation: Any) -> type[Block]:
    assert isinstance(annotation, type), annotation
    assert issubclass(annotation, Block), annotation
    return annotation


def at(place: str, preset: str) -> str:
    """Return the dotted key of `place` for the active preset."""
    return place.replace("*", preset)


def read(path: Path) -> Mapping[str, Any]:
    """Return the document in `path`.

    Raises:
        MinnowError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MinnowError(f"{path} is missing; bring it back with `git checkout -- {path.name}`") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "the file is not text in UTF-8"
        raise MinnowError(f"{path.name}{line} is not valid YAML: {problem}") from None
    if not isinstance(document, dict):
        raise MinnowError(f"{path.name} must be a mapping of names to values, not {type(document).__name__}")
    return document


def active_preset(document: Mapping[str, Any]) -> str:
    """Return the name of the preset in force, which must stand under `presets`."""
    presets = pick(document, "presets")
    preset = pick(document, "preset")
    if preset not in presets:
        raise MinnowError(
            f"params.yaml: preset is {preset!r}; allowed: {listed(presets)}{nearest(preset, map(str, presets))}"
        )
    return str(preset)


def pick(document: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a dotted key.

    Raises:
        MinnowError: a part of the key is missing; names the nearest one there is.
    """
    found: Any = document
    for depth, part in enumerate(key.split(".")):
        if not isinstance(found, dict) or part not in found:
            near = nearest(part, map(str, found)) if isinstance(found, dict) else ""
            raise MinnowError(f"params.yaml: {'.'.join(key.split('.')[: depth + 1])} is missing{near}")
        found = found[part]
    return found


def validated(block: type[BlockT], raw: Any, place: str) -> BlockT:
    """Return `raw` as a `block`; `place` is the dotted key that errors name.

    Raises:
        MinnowError: one line with every complaint.
    """
    if not isinstance(raw, dict):
        raise MinnowError(f"params.yaml: {place} must be a mapping of names to values, given {raw!r}")
    try:
        return block.model_validate(raw)
    except ValidationError as error:
        raise MinnowError(
            "params.yaml: " + "; ".join(_complaint(detail, block, place) for detail in error.errors())
        ) from None


def _complaint(detail: ErrorDetails, block: type[Block], place: str) -> str:
    parts = [str(part) for part in detail["loc"]]
    key = ".".join([place, *parts])
    if detail["type"] == "extra_forbidden":
        allowed = list(_fields(block, parts[:-1]))
        return f"{key} is unknown; allowed: {listed(allowed, 20)}{nearest(parts[-1], allowed)}"
    if detail["type"] == "missing":
        return f"{key} is missing"
    if detail["type"] == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    given = detail["input"]
    hint = ""
    if detail["type"] == "literal_error":
        hint = nearest(given, detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    elif isinstance(given, str) and _is_number(given):
        hint = "; YAML reads 1e-4 as text, write 1.0e-4"
    return f"{key} is {given!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}{hint}"


def _fields(block: type[Block], path: list[str]) -> Iterator[str]:
    """Yield the legal keys of the block at `path` below `block`."""
    inner: Any = block
    for part in path:
        annotation = inner.model_fields[part].annotation if part in inner.model_fields else None
        inner = next((kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)), None)
    yield from getattr(inner, "model_fields", {})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
