"""Which part of a student gets how many bits, so that the whole stays within a number of bytes and
loses least.

The damages of parts are taken to add up, which holds while each is small: what one part does to the
logits is then hardly changed by what another does.
"""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minnow.core.files import MANIFEST, read_json
from minnow.errors import MinnowError, listed
from minnow.models import embeddings, folders
from minnow.models.batching import Encoded
from minnow.models.schemes import FLOAT, Scheme
from minnow.quantization.quantize import check, write

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
            Choice(each.bytes + option.bytes, each.damage + option.damage, (*each.numbers, number))
            for each in front
            for number, option in enumerate(part)
        ]
        front = thinned(unbeaten(longer), MOST_CHOICES)
    return front


def unbeaten(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that none of fewer or as many bytes beats or equals in damage."""
    front: list[Choice] = []
    for each in sorted(choices):
        if not front or each.damage < front[-1].damage:
            front.append(each)
    return front


def thinned(front: list[Choice], most: int) -> list[Choice]:
    """Return at most so many of these choices: the first, and the last of each interval of
    bytes.
    """
    if len(front) <= most:
        return front
    first, span = front[0], front[-1].bytes - front[0].bytes
    kept = {(each.bytes - first.bytes) * (most - 1) // (span + 1): each for each in front[1:]}
    return [first, *kept.values()]


def best_within(front: Sequence[Choice], limit: int) -> Choice:
    """Return the choice of least damage that takes at most `limit` bytes; the smallest must."""
    return next(each for each in reversed(front) if each.bytes <= limit)


# --- For a student --------------------------------------------------------------------------------
def options_of(told: Mapping[str, Any], scheme: Scheme, tables: str) -> dict[str, list[Option]]:
    """Return what each part may be stored in, the fewest bits first, by what
    metrics/sensitivity.json says.

    A linear layer has the scheme or bfloat16: one BitsAndBytesConfig takes 4 bits or 8, never both.
    `tables` is the format of fewest bits that embeddings may have: nf4, int8, or none for bfloat16
    alone.

    Raises:
        MinnowError: the file says something else.
    """
    try:
        return {part["name"]: _options(part, scheme, tables) for part in told["parts"]}
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
    found = [part["in_bits"][str(bits)] for bits in allowed]
    return [Option(str(each["format"]), int(each["bytes"]), float(each["kl"])) for each in found]


def quantize(
    student: Path,
    out: Path,
    scheme: Scheme,
    *,
    budget_mb: float,
    tables: str,
    told: Mapping[str, Any],
    keep_float: Sequence[str],
    probe: Encoded,
    device: torch.device,
) -> None:
    """Write to `out` the student quantized so that its folder takes at most `budget_mb` (10⁶ bytes)
    and loses least.

    `told` is what metrics/sensitivity.json says of this student; the others are those of
    `quantization.quantize` and `options_of`.

    Raises:
        MinnowError: the student is larger in every way, or `told` is of another one.
    """
    budget = math.floor(budget_mb * 1e6 + 1e-6)  # 4.1 million is a little less than it says
    options, packed = options_of(told, scheme, tables), embeddings.SCHEMES.get(tables)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        smallest = Path(folder)
        write(student, smallest, scheme, keep_float=keep_float, device=device, packed=packed)
        check_parts(options, read_json(smallest / MANIFEST)["formats"])
        least, saved = (
            folders.folder_bytes(smallest),
            folders.tensor_facts(smallest / "model.safetensors"),
        )
    if least > budget:
        raise MinnowError(too_small(budget_mb, least, scheme, tables))
    front = best_choices([added(name, each, saved) for name, each in options.items()])
    choice = best_within(front, budget - least)
    while True:
        formats = {
            name: each[number].format
            for (name, each), number in zip(options.items(), choice.numbers, strict=True)
        }
        raised = {
            name: found for name, found in formats.items() if found != options[name][0].format
        }
        predicted = {"bytes": least + choice.bytes, "kl": float(f"{choice.damage:.6g}")}
        model, names = write(
            student,
            out,
            scheme,
            keep_float=keep_float,
            device=device,
            packed={
                name: embeddings.SCHEMES[formats[name]]
                for name in tables_of(told)
                if formats[name] != FLOAT
            },
            precious=[name for name, found in formats.items() if found == FLOAT],
            facts={"budget": {"bytes": budget, "predicted": predicted, "raised": raised}},
        )
        if folders.folder_bytes(out) <= budget:
            break
        choice = best_within(front, choice.bytes - 1)
    check(model, names, out, scheme, probe=probe, device=device)


def tables_of(told: Mapping[str, Any]) -> list[str]:
    """Return the names of the tables of embeddings."""
    return [part["name"] for part in told["parts"] if part["kind"] == "embedding"]


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
    entries = sum(len(json.dumps(each, separators=(",", ":"))) - 1 for each in scales)
    least, *others = options
    more = [
        each.bytes - least.bytes + (len(name) + LINE - entries if each.format == FLOAT else 0)
        for each in others
    ]
    return [
        Option(each.format, -(-size // GRAIN) * GRAIN, each.damage)
        for each, size in zip(options, [0, *more], strict=True)
    ]


def check_parts(options: Mapping[str, Sequence[Option]], formats: Mapping[str, str]) -> None:
    """Make sure that the measured parts are the student's, in the formats that are possible.

    Raises:
        MinnowError: they are not.
    """
    smallest = {name: each[0].format for name, each in options.items()}
    if wrong := sorted(
        name for name in {*smallest, *formats} if smallest.get(name, FLOAT) != formats.get(name)
    ):
        raise MinnowError(
            f"metrics/sensitivity.json belongs to another student or scheme ({listed(wrong, 3)});"
            " `dvc repro` makes it"
        )


def too_small(budget_mb: float, least: int, scheme: Scheme, tables: str) -> str:
    """Return what to say of a budget below the smallest folder."""
    less = "" if tables == "nf4" else " let embeddings have fewer bits (quantize.embeddings: nf4),"
    return (
        f"quantize.budget_mb is {budget_mb:g}, and the smallest that this student can be takes"
        f" {math.ceil(least / 1e3) / 1e3:.3f} MB (linear layers {scheme.name}, embeddings"
        f" {FLOAT if tables == 'none' else tables}): give that or more,{less} or distil a smaller"
        " student"
    )
