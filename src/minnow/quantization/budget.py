"""Which part of a student gets how many bits, so that the whole stays within a number of bytes and
loses least.

The damages of parts are taken to add up, which holds while each is small: what one part does to the
logits is then hardly changed by what another does.
"""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from minnow.core.files import MANIFEST, read_json
from minnow.errors import MinnowError, listed
from minnow.models import embeddings, folders
from minnow.models.anatomy import is_position_table
from minnow.models.batching import Encoded
from minnow.models.schemes import FLOAT, Scheme
from minnow.quantization.quantize import (
    Quantized,
    Recipe,
    check_saved,
    layers_to_quantize,
    write_quantized,
)

# Choices kept while they are built up. Layers of equal shape have equal bytes, so students have far
# fewer, and the best choice is exact; beyond it, choices of nearly the same bytes are thinned to
# the one that loses least.
MOST_CHOICES = 20_000
GRAIN = 64
# Indentation, quotes, comma and line break around a name in config.json.
LINE = 10


@dataclass(frozen=True)
class Option:
    """A format that a part may have: its name, the bytes that it takes, and what it costs, in nats
    of mean KL.
    """

    format: str
    bytes: int
    damage: float


@dataclass(frozen=True, order=True)
class Choice:
    """One option for each part, by number, with the sums of their bytes and damages."""

    bytes: int
    damage: float
    numbers: tuple[int, ...]


def best_choices(options: Sequence[Sequence[Option]]) -> list[Choice]:
    """Return, by rising bytes and falling damage, every choice that no other beats in one without
    losing in the other.

    The multiple-choice knapsack, by dynamic programming over the parts (Nemhauser & Ullmann 1969):
    a choice for the first parts that another beats is never a part of the best one for all.
    """
    front = [Choice(0, 0.0, ())]
    for part in options:
        longer = [
            Choice(
                choice.bytes + option.bytes,
                choice.damage + option.damage,
                (*choice.numbers, number),
            )
            for choice in front
            for number, option in enumerate(part)
        ]
        front = fewer_choices(unbeaten(longer), MOST_CHOICES)
    return front


def unbeaten(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that none of fewer or as many bytes beats or equals in damage."""
    front: list[Choice] = []
    for choice in sorted(choices):
        if not front or choice.damage < front[-1].damage:
            front.append(choice)
    return front


def fewer_choices(front: list[Choice], most: int) -> list[Choice]:
    """Return at most so many of these choices: the first, and the last of each interval of
    bytes.
    """
    if len(front) <= most:
        return front
    first, span = front[0], front[-1].bytes - front[0].bytes
    kept = {(choice.bytes - first.bytes) * (most - 1) // (span + 1): choice for choice in front[1:]}
    return [first, *kept.values()]


def best_within(front: Sequence[Choice], limit: int) -> Choice:
    """Return the choice of least damage that takes at most `limit` bytes; the smallest must."""
    return next(choice for choice in reversed(front) if choice.bytes <= limit)


# --- For a student --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """The bytes that a folder may take, in 10⁶, and what they are spent by: the damages of
    metrics/sensitivity.json.

    `tables` is the format of fewest bits that embeddings may have: nf4, int8, or none for bfloat16
    alone.
    """

    megabytes: float
    tables: str
    report: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """The whole bytes; as a float, 4.1 million is a little less than it says."""
        return math.floor(self.megabytes * 1e6 + 1e-6)

    @property
    def table_names(self) -> list[str]:
        """The names of the tables of embeddings."""
        return [part["name"] for part in self.report["parts"] if part["kind"] == "embedding"]


@dataclass(frozen=True)
class Smallest:
    """A student with all parts in their fewest bits: the bytes of its folder, and what its file
    says of its tensors.
    """

    bytes: int
    tensors: Mapping[str, Any]


def options_of(report: Mapping[str, Any], scheme: Scheme, tables: str) -> dict[str, list[Option]]:
    """Return what each part may be stored in, the fewest bits first; report and tables are those of
    a `Budget`.

    A linear layer has the scheme or bfloat16: one BitsAndBytesConfig takes 4 bits or 8, never both.

    Raises:
        MinnowError: the report is no such file.
    """
    try:
        return {part["name"]: _options(part, scheme, tables) for part in report["parts"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MinnowError(
            f"metrics/sensitivity.json is broken ({error!r}): delete it, then `dvc repro` makes it"
            " anew"
        ) from None


def _options(part: Mapping[str, Any], scheme: Scheme, tables: str) -> list[Option]:
    """Return what one part may be stored in."""
    if part["kind"] == "linear":
        allowed = [scheme.bits, 16]
    else:
        allowed = [bits for bits in (4, 8, 16) if bits >= {"nf4": 4, "int8": 8, "none": 16}[tables]]
    formats = [part["in_bits"][str(bits)] for bits in allowed]
    return [Option(str(its["format"]), int(its["bytes"]), float(its["kl"])) for its in formats]


def quantize_within(
    student: Path,
    out: Path,
    recipe: Recipe,
    budget: Budget,
    *,
    probe: Encoded,
    device: torch.device,
) -> None:
    """Write to `out` the student quantized so that its folder stays within the budget and loses
    least.

    The recipe says nothing of tables and precious layers: these are chosen.

    Raises:
        MinnowError: the student is larger in every way, or the budget's report is of another one.
    """
    options = options_of(budget.report, recipe.scheme, budget.tables)
    fewest_bits = replace(recipe, tables=embeddings.SCHEMES.get(budget.tables))
    smallest = smallest_of(student, out.parent, fewest_bits, options, device)
    if smallest.bytes > budget.bytes:
        raise MinnowError(too_small(budget, smallest.bytes, recipe.scheme))
    front = best_choices([added(name, part, smallest.tensors) for name, part in options.items()])

    def written(choice: Choice) -> Quantized:
        formats = formats_of(choice, options)
        facts = {"budget": facts_of(choice, budget, smallest, options)}
        chosen = with_formats(recipe, formats, budget.table_names)
        return write_quantized(student, out, chosen, device=device, facts=facts)

    choice = best_within(front, budget.bytes - smallest.bytes)
    quantized = written(choice)
    while folders.folder_bytes(out) > budget.bytes:
        choice = best_within(front, choice.bytes - 1)
        quantized = written(choice)
    check_saved(quantized, recipe.scheme, probe=probe, device=device)


def smallest_of(
    student: Path,
    beside: Path,
    recipe: Recipe,
    options: Mapping[str, Sequence[Option]],
    device: torch.device,
) -> Smallest:
    """Write the student with all parts in their fewest bits, look at it, and remove it.

    Raises:
        MinnowError: the options are not this student's.
    """
    with tempfile.TemporaryDirectory(dir=beside) as name:
        folder = Path(name)
        write_quantized(student, folder, recipe, device=device)
        check_parts(options, read_json(folder / MANIFEST)["formats"])
        tensors = folders.tensor_facts(folder / "model.safetensors")
        return Smallest(folders.folder_bytes(folder), tensors)


def formats_of(choice: Choice, options: Mapping[str, Sequence[Option]]) -> dict[str, str]:
    """Return the format of each part by name."""
    return {
        name: part[number].format
        for (name, part), number in zip(options.items(), choice.numbers, strict=True)
    }


def with_formats(recipe: Recipe, formats: Mapping[str, str], tables: Sequence[str]) -> Recipe:
    """Return the recipe that stores each part in its format."""
    schemes = {name: embeddings.SCHEMES[formats[name]] for name in tables if formats[name] != FLOAT}
    precious = [name for name, format_name in formats.items() if format_name == FLOAT]
    return replace(recipe, tables=schemes, precious=precious)


def facts_of(
    choice: Choice, budget: Budget, smallest: Smallest, options: Mapping[str, Sequence[Option]]
) -> dict[str, Any]:
    """Return what the manifest says of a choice: the parts that have more than their fewest bits,
    and what it should take and lose.
    """
    raised = {
        name: format_name
        for name, format_name in formats_of(choice, options).items()
        if format_name != options[name][0].format
    }
    predicted = {"bytes": smallest.bytes + choice.bytes, "kl": float(f"{choice.damage:.6g}")}
    return {"bytes": budget.bytes, "predicted": predicted, "raised": raised}


def added(name: str, options: Sequence[Option], saved: Mapping[str, Any]) -> list[Option]:
    """Return a part's options with the bytes that each adds to the smallest folder, whose tensors
    are `saved`.

    The scales of packed layers have entries in that file's header too, which go with them, and what
    stays in bfloat16 a line in config.json. Bytes are rounded up to GRAIN, so that layers of one
    shape agree, whose scales do not quite.
    """
    own = {f"{name}.weight", f"{name}.bias"}
    scales = [
        {key: fact} for key, fact in saved.items() if key.startswith(f"{name}.") and key not in own
    ]
    entries = sum(len(json.dumps(entry, separators=(",", ":"))) - 1 for entry in scales)
    least, *others = options
    more = [
        option.bytes - least.bytes + (len(name) + LINE - entries if option.format == FLOAT else 0)
        for option in others
    ]
    return [
        Option(option.format, -(-size // GRAIN) * GRAIN, option.damage)
        for option, size in zip(options, [0, *more], strict=True)
    ]


def check_parts(options: Mapping[str, Sequence[Option]], formats: Mapping[str, str]) -> None:
    """Make sure that the measured parts are the student's, in the formats that are possible.

    Raises:
        MinnowError: they are not.
    """
    smallest = {name: part[0].format for name, part in options.items()}
    if wrong := sorted(
        name for name in {*smallest, *formats} if smallest.get(name, FLOAT) != formats.get(name)
    ):
        raise MinnowError(
            f"metrics/sensitivity.json belongs to another student or scheme ({listed(wrong, 3)});"
            " `dvc repro` makes it"
        )


def least_bytes(model: PreTrainedModel, recipe: Recipe, *, pieces: int, longest: int) -> int:
    """Return how many bytes the weights alone of a model of this shape take in the fewest bits,
    without scales, tokenizer and config: its folder is larger.

    `pieces` of a vocabulary count, and positions for texts of `longest` tokens.
    """
    layers, _ = layers_to_quantize(model, recipe.scheme, recipe.keep_float)
    bits = {f"{name}.weight": recipe.scheme.bits for name in layers}
    rows: dict[str, int] = {}
    for name, scheme in recipe.table_schemes(model).items():
        bits[f"{name}.weight"] = 4 if scheme.name == "nf4" else 8
    for name, table in embeddings.tables(model).items():
        if table is model.get_input_embeddings():
            rows[f"{name}.weight"] = pieces
        elif is_position_table(name):
            rows[f"{name}.weight"] = min(longest, table.num_embeddings)
    return sum(
        rows.get(name, len(weight)) * weight[0].numel() * bits.get(name, 16) // 8
        for name, weight in model.named_parameters()
        if weight.dim()
    )


def too_small(budget: Budget, least: int, scheme: Scheme, *, more: bool = False) -> str:
    """Return what to say of a budget below the smallest folder, which takes `least` bytes or
    `more`.
    """
    tables = budget.tables
    less = "" if tables == "nf4" else " let embeddings have fewer bits (quantize.embeddings: nf4),"
    return (
        f"quantize.budget_mb is {budget.megabytes:g}, and the smallest that this student can be"
        f" takes {'more than ' if more else ''}{math.ceil(least / 1e3) / 1e3:.3f} MB (linear layers"
        f" {scheme.name}, embeddings {FLOAT if tables == 'none' else tables}): give that or more,"
        f"{less} or distil a smaller student"
    )
