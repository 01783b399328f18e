"""params.yaml: read here and nowhere else, and turned into one frozen, validated object per stage.

A stage's file holds its `Params` class. Each field of it is a `Block`, a `Names`, a `OneName` or a
`Raw`, marked with where it stands:

    class Params(StageParams):
        student: Annotated[StudentParams, "presets.*.student"]
        distill: Annotated[DistillParams, "distill"]

`*` is the active preset. dvc.yaml lists the same places; tests/test_contract.py holds the two
together.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from minnow.core.bounds import Share, Threads
from minnow.core.plain_yaml import is_plain_number, read_yaml
from minnow.errors import MinnowError, listed, nearest, shortened, together
from minnow.layout import Layout

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Kernels = Literal["native", "portable"]
# What becomes the name of a file or folder.
PLAIN_NAME = r"[A-Za-z0-9_-]{1,64}"
# How pydantic marks what a value could have been that may be text or a number.
SCALARS = ("str", "int", "float", "bool")
# What pydantic says of text that should be something else, and how that is written.
WRITTEN = {"int_type": "300", "float_type": "0.05 or 5e-2", "bool_type": "true or false"}


class Block(BaseModel):
    """A block of params.yaml: frozen, unknown keys refused, and no number taken for a string or the
    reverse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


NameT = TypeVar("NameT", bound=str)


class Names(RootModel[list[NameT]], Generic[NameT]):
    """A list in params.yaml of names from a closed set, `Names[Literal[...]]`, none twice."""

    model_config = ConfigDict(frozen=True, strict=True)

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.root)) < len(self.root):
            raise ValueError(f"names {listed(self.root, 20)}, one of them twice")
        return self


class OneName(RootModel[NameT], Generic[NameT]):
    """One name in params.yaml from a closed set, `OneName[Literal[...]]`."""

    model_config = ConfigDict(frozen=True, strict=True)


class Raw(RootModel[Any]):
    """A block that a stage shows as it stands, and does not read."""

    model_config = ConfigDict(frozen=True)


class RuntimeParams(Block):
    """How models are run; the same for every stage of a preset."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Precision
    threads: Threads | None
    kernels: Kernels

    @model_validator(mode="after")
    def _portable_is_for_cpus(self) -> Self:
        if self.kernels == "portable" and self.device == "cuda":
            raise ValueError(
                "kernels 'portable' are for CPUs: set device to cpu or kernels to native"
            )
        return self


# What chooses epochs, recovery and sweeps, on validation.
SelectName = Literal["f1", "average_precision", "roc_auc", "accuracy", "log_loss"]
Select = OneName[SelectName]


class PrecisionParams(Block):
    """A share of what is called phishing that shall be phishing, where `prevalence` of the URLs
    are.
    """

    wanted: Share
    prevalence: Share


class ThresholdParams(Block):
    """From where on a URL counts as phishing: probability 0.5, or what validation says of a rate
    of false alarms, of F1, or of a precision.
    """

    fpr: Share | None
    f1: bool
    precision: PrecisionParams | None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in ("fpr", "f1", "precision") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are given, and one rule sets the threshold: keep one, set"
                " fpr and precision to null and f1 to false otherwise"
            )
        return self


EVEN_ODDS = ThresholdParams(fpr=None, f1=False, precision=None)


class StageParams(BaseModel):
    """Base of every stage's `Params`: its fields are blocks, each annotated with its place in
    params.yaml.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str

    @classmethod
    def places(cls) -> dict[str, tuple[str, type[BaseModel]]]:
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
            MinnowError: one line naming the key, what was given, what is allowed and the nearest
            legal name.
        """
        document = read_params(Layout(root).params)
        preset = active_preset(document)
        blocks = {
            name: validated(block, pick(document, at(place, preset)), at(place, preset))
            for name, (place, block) in cls.places().items()
        }
        return cls(preset=preset, **blocks)


ModelT = TypeVar("ModelT", bound=BaseModel)


def _block(annotation: Any) -> type[BaseModel]:
    assert isinstance(annotation, type), annotation
    assert issubclass(annotation, Block | RootModel), annotation
    return annotation


def at(place: str, preset: str) -> str:
    """Return the dotted key of `place` for the active preset."""
    return place.replace("*", preset)


def read_params(path: Path) -> Mapping[str, Any]:
    """Return the document in `path`.

    Raises:
        MinnowError: the file is missing, is not YAML, is not a mapping, or holds what no field
        takes.
    """
    return read_yaml(path)


def active_preset(document: Mapping[str, Any]) -> str:
    """Return the name of the preset in force, which must stand under `presets`.

    It is a part of paths, `data/raw/<preset>`, and so no name may be more than a plain one.
    """
    presets = pick(document, "presets")
    preset = pick(document, "preset")
    if not isinstance(presets, dict):
        raise MinnowError(
            "params.yaml: presets must be a mapping from names, which are text, to blocks"
        )
    for name in presets:
        if not re.fullmatch(PLAIN_NAME, name):
            raise MinnowError(
                f"params.yaml: presets has the name {_shown(name)}, which is a folder's too; use at"
                " most 64 letters, digits, - and _"
            )
    if not isinstance(preset, str) or preset not in presets:
        raise MinnowError(
            f"params.yaml: preset is {_shown(preset)}; allowed:"
            f" {listed(presets)}{nearest(preset, presets)}"
        )
    return preset


def pick(document: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a dotted key.

    Raises:
        MinnowError: a part of the key is missing; names the nearest one there is.
    """
    block: Any = document
    for depth, part in enumerate(key.split(".")):
        if not isinstance(block, dict) or part not in block:
            near = nearest(part, map(str, block)) if isinstance(block, dict) else ""
            raise MinnowError(
                f"params.yaml: {'.'.join(key.split('.')[: depth + 1])} is missing{near}"
            )
        block = block[part]
    return block


def validated(block: type[ModelT], raw: Any, place: str) -> ModelT:
    """Return `raw` as a `block`, or as `Names`; `place` is the dotted key that errors name.

    Raises:
        MinnowError: one line with as many complaints as one reads, and a count of the others.
    """
    if issubclass(block, Block) and not isinstance(raw, dict):
        raise MinnowError(f"params.yaml: {place} is {_shown(raw)}: must be {_shape(block)}")
    try:
        return block.model_validate(raw)
    except ValidationError as error:
        complaints = (_complaint(detail, block, place) for detail in _precise(error.errors()))
        raise MinnowError(f"params.yaml: {together(complaints)}") from None


def _precise(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors, unknown keys first, as they explain what is missing; without those of the
    other kinds where a value, which may be text or a number, is of one kind and breaks its rule,
    such as the length of text.
    """
    broken = {detail["loc"][:-1] for detail in details if _of_scalars(detail) and _rule(detail)}
    told = [
        detail
        for detail in details
        if not _of_scalars(detail) or _rule(detail) or detail["loc"][:-1] not in broken
    ]
    return sorted(told, key=lambda detail: detail["type"] != "extra_forbidden")


def _of_scalars(detail: ErrorDetails) -> bool:
    return bool(detail["loc"]) and str(detail["loc"][-1]).removeprefix("constrained-") in SCALARS


def _rule(detail: ErrorDetails) -> bool:
    """Say whether an error is of a rule, and not of the value's kind."""
    return not detail["type"].endswith("_type")


def _complaint(detail: ErrorDetails, block: type[BaseModel], place: str) -> str:
    parts = [shortened(str(part)) for part in detail["loc"]]
    if _of_scalars(detail):
        parts.pop()
        if not _rule(detail):
            key = ".".join([place, *parts])
            return f"{key} is {_shown(detail['input'])}: must be text, a number, true or false"
    key = ".".join([place, *parts])
    if detail["type"] == "extra_forbidden":
        allowed = list(_block_at(block, parts[:-1]).model_fields)
        return f"{key} is unknown; allowed: {listed(allowed, 20)}{nearest(parts[-1], allowed)}"
    if detail["type"] == "missing":
        return f"{key} is missing"
    if detail["type"] == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    value = detail["input"]
    rule = detail["msg"].replace("Input should be", "must be")
    hint = ""
    if detail["type"] == "model_type":
        rule = f"must be {_shape(_block_at(block, parts))}"
    elif detail["type"] == "literal_error":
        rule += ", or null" if _takes_null(block, parts) else ""
        hint = nearest(
            value, detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        )
    elif isinstance(value, str) and detail["type"] in WRITTEN:
        hint = _spelling(value, detail["type"])
    return f"{key} is {_shown(value)}: {rule}{hint}"


def _shown(value: Any) -> str:
    """Return a value as params.yaml spells it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return shortened(repr(value), 62)


def _shape(block: type[BaseModel]) -> str:
    """Return what a block must be; one without keys of its own holds names that the user gives."""
    if not block.model_fields:
        return "a block of names and what each stands for, {} for none"
    return f"a block with the keys {listed(block.model_fields, 9)}"


def _block_at(block: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """Return the class of the block at `path` below `block`."""
    for part in path:
        annotation = block.model_fields[part].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        block = next(kind for kind in kinds if issubclass(kind, Block))
    return block


def _takes_null(block: type[BaseModel], path: Sequence[str]) -> bool:
    """Return whether null may stand at `path` below `block`; of parts of lists, that it may not."""
    kinds: tuple[Any, ...] = (block,)
    for part in path:
        blocks = (each for each in kinds if isinstance(each, type) and issubclass(each, Block))
        field = next((one.model_fields[part] for one in blocks if part in one.model_fields), None)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    return type(None) in kinds


def _spelling(text: str, error: str) -> str:
    """Return how to write what was read as text."""
    if is_plain_number(text) and error != "bool_type":
        return "; it is text, take off the quotes"
    return f"; it is text, write for example {WRITTEN[error]} without quotes"
