"""What each part of a student costs in 4, 8 and 16 bits: it alone is replaced by what a format
makes of its weights.

Everything is computed in float32, the student too that the others are compared with: what is
measured is the loss of rounding weights, not that of computing in bfloat16. int8 rounds a linear
layer's inputs as well, which is left out.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core import selection
from minnow.models import embeddings, folders, schemes
from minnow.models.batching import Encoded, inference_batches
from minnow.models.schemes import FLOAT, FourBit, Scheme
from minnow.progress import row_bar
from minnow.quantization.quantize import cut_positions, layers_to_quantize

BITS = (4, 8, 16)
# Validation rows that it is measured on, evenly spaced, or all where there are fewer: damages are
# paired, so that a few hundred rows rank the parts.
ROWS = 600
# Padded tokens a batch. Small, since the outputs of all modules are kept while a batch is measured.
BATCH_TOKENS = 2_048
# Of the damages, significant ones and decimals of the KL divergence: what lies beyond depends on
# the CPU.
DIGITS, DECIMALS = 3, 9


@dataclass(frozen=True)
class Stored:
    """Weights as a format gives them back, in the shape that they had, and the bytes that their
    tensors take in it.
    """

    format: str
    weight: Tensor
    bytes: int


def sample(rows: int) -> list[int]:
    """Return the numbers of at most ROWS of so many rows, evenly spaced."""
    taken = min(rows, ROWS)
    return [number * rows // taken for number in range(taken)]


def load_float(
    student: Path, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the student in float32, with the positions that will be shipped, and its tokenizer."""
    model, tokenizer = (
        folders.load_model(student, dtype=torch.float32),
        folders.load_tokenizer(student),
    )
    nn.Module.to(model, device)
    cut_positions(model, tokenizer.model_max_length)
    return model, tokenizer


def measure(
    model: PreTrainedModel,
    encoded: Encoded,
    labels: Any,
    scheme: Scheme,
    *,
    keep_float: Sequence[str],
    desc: str | None = None,
) -> dict[str, Any]:
    """Return what metrics/sensitivity.json says: of every part its damage and bytes in each of
    BITS.

    `model` is the float32 student, in eval mode, on the device to compute on. Parts are the linear
    layers that `scheme` would quantize and the tables of embeddings; `labels` (rows,) are those of
    the encoded texts.

    Raises:
        MinnowError: the scheme does not fit the student.
    """
    stored = {name: dict(formats) for name, formats in stored_parts(model, scheme, keep_float)}
    reference, damaged = logits_of(model, encoded, stored, desc=desc)
    tables = embeddings.tables(model)
    return {
        "rows": len(encoded),
        "validation_f1": four_decimals(selection.validation_f1(reference, labels)),
        "parts": [
            {
                "name": name,
                "kind": "embedding" if name in tables else "linear",
                "weights": model.get_parameter(f"{name}.weight").numel(),
                "in_bits": {
                    str(bits): {
                        "format": each.format,
                        "bytes": each.bytes,
                        **damage(reference, damaged[name, bits], labels),
                    }
                    for bits, each in formats.items()
                },
            }
            for name, formats in stored.items()
        ],
    }


def damage(reference: Tensor, damaged: Tensor, labels: Any) -> dict[str, float | int]:
    """Return what a change did to logits (rows, 2).

    `kl` is the mean over rows of KL(reference ‖ damaged) of the probabilities in nats,
    `mean_abs_dp` the mean change of a probability, `flips` the rows whose label changes, and
    `validation_f1` by how much F1 rises.
    """
    before, after = (each.double().log_softmax(dim=1) for each in (reference, damaged))
    kl = (before.exp() * (before - after)).sum(dim=1).mean()
    moved = (before.exp() - after.exp())[:, 1].abs().mean()
    scores = [selection.validation_f1(each, labels) for each in (reference, damaged)]
    guesses = [each[:, 1] > each[:, 0] for each in (reference, damaged)]
    return {
        "kl": three_digits(float(kl)),
        "mean_abs_dp": three_digits(float(moved)),
        "flips": int((guesses[0] != guesses[1]).sum()),
        "validation_f1_change": four_decimals(scores[1] - scores[0]),
    }


def plot_table(report: Mapping[str, Any]) -> pl.DataFrame:
    """Return the plot's data: a row for each part and each number of bits."""
    rows = [
        {
            "part": part["name"],
            "bits": int(bits),
            "format": each["format"],
            "mb": each["bytes"] / 1e6,
            "kl": each["kl"],
        }
        for part in report["parts"]
        for bits, each in part["in_bits"].items()
    ]
    return pl.DataFrame(rows)


def three_digits(value: float) -> float:
    """Round to DECIMALS and to DIGITS significant digits; −0 is 0, and so is what rounding leaves a
    little below.
    """
    return float(f"{round(value, DECIMALS):.{DIGITS - 1}e}") + 0.0


def four_decimals(value: float) -> float:
    """Round as all metrics are; −0 is 0."""
    return round(value, 4) + 0.0


# --- Weights as a format gives them back ----------------------------------------------------------


def stored_parts(
    model: PreTrainedModel, scheme: Scheme, keep_float: Sequence[str]
) -> Iterator[tuple[str, Iterable[tuple[int, Stored]]]]:
    """Yield the parts that can be quantized by name, in the model's order, with what they are in
    each of BITS.

    4 bits are left out for a layer that does not divide into their blocks, which `scheme` int8
    allows.
    """
    linear, _ = layers_to_quantize(model, scheme, keep_float)
    tables = embeddings.tables(model)
    four = scheme if isinstance(scheme, FourBit) else FourBit("nf4", double_quantization=True)
    for name, module in model.named_modules():
        if name in linear:
            assert isinstance(module, nn.Linear), "layers_to_quantize names no others"
            fits = schemes.fits_four_bits(module)
            yield (
                name,
                (
                    (bits, linear_in(bits, module.weight, four))
                    for bits in BITS
                    if bits != 4 or fits
                ),
            )
        elif name in tables:
            yield name, ((bits, table_in(bits, tables[name].weight)) for bits in BITS)


def linear_in(bits: int, weight: Tensor, four: FourBit) -> Stored:
    """Return a linear layer's weights (outputs, inputs) in 4 bits of a scheme, in int8, or in
    bfloat16.

    As transformers does it: what is quantized are weights already rounded to bfloat16.
    """
    from bitsandbytes import functional

    weight = weight.detach().bfloat16()
    if bits == 16:
        return Stored(FLOAT, weight, weight.nbytes)
    if bits == 8:
        codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
        # One more byte says in which order the codes stand.
        return Stored(
            "int8", codes.float() * scales[:, None] / 127, codes.nbytes + scales.nbytes + 1
        )
    codes, state = functional.quantize_4bit(
        weight, quant_type=four.code, compress_statistics=four.double_quantization
    )
    scales = state.as_dict(packed=True).values()
    return Stored(
        four.code,
        functional.dequantize_4bit(codes, state),
        codes.nbytes + sum(each.nbytes for each in scales),
    )


def table_in(bits: int, weight: Tensor) -> Stored:
    """Return a table's weights (rows, width) in nf4 or int8 of ours, decoded to bfloat16, or in
    bfloat16.
    """
    weight = weight.detach()
    if bits == 16:
        return Stored(FLOAT, weight.bfloat16(), 2 * weight.numel())
    scheme = embeddings.SCHEMES["int8" if bits == 8 else "nf4"]
    packed = embeddings.quantize_rows(weight, scheme)
    return Stored(
        scheme.name,
        embeddings.dequantize_rows(packed, weight.shape[1], scheme).bfloat16(),
        packed.nbytes,
    )


# --- Running them ---------------------------------------------------------------------------------


def logits_of(
    model: PreTrainedModel,
    encoded: Encoded,
    stored: Mapping[str, Mapping[int, Stored]],
    *,
    desc: str | None = None,
) -> tuple[Tensor, dict[tuple[str, int], Tensor]]:
    """Return the logits (rows, labels) of the model as it is, and with each part alone in each
    format.

    What the model computes before it reaches a part is computed once for all.
    """
    device = next(model.parameters()).device
    rows = list(inference_batches(encoded.lengths, tokens=BATCH_TOKENS))
    reference: list[Tensor] = []
    damaged: dict[tuple[str, int], list[Tensor]] = {
        (name, bits): [] for name, each in stored.items() for bits in each
    }
    with torch.no_grad(), row_bar(len(encoded), desc) as bar:
        for batch in rows:
            inputs = encoded.batch(batch, device)
            with recorded(model) as record:
                reference.append(model(**inputs).logits.float().cpu())
            for name, formats in stored.items():
                with replayed(model, record.before(name)):
                    for bits, each in formats.items():
                        with replaced(model.get_submodule(name), each.weight):
                            damaged[name, bits].append(model(**inputs).logits.float().cpu())
            record.outputs.clear()
            bar.update(len(batch))
    order = torch.cat(rows).argsort()
    return torch.cat(reference)[order], {
        key: torch.cat(each)[order] for key, each in damaged.items()
    }


@dataclass(frozen=True)
class Record:
    """One forward pass: when each module began and ended, by its name, and what it gave."""

    began: dict[str, list[int]]
    ended: dict[str, list[int]]
    outputs: dict[str, Any]

    def before(self, name: str) -> dict[str, Any]:
        """Return the outputs of the modules that had ended, never to run again, when this one first
        began.
        """
        start = self.began[name][0]
        done = {each for each, ends in self.ended.items() if len(ends) == 1 and ends[0] < start}
        return {each: self.outputs[each] for each in done if not is_below(each, done)}


def is_below(name: str, modules: Collection[str]) -> bool:
    """Return whether a dotted name lies below one of these."""
    places = name.split(".")
    return any(".".join(places[:depth]) in modules for depth in range(1, len(places)))


@contextmanager
def recorded(model: nn.Module) -> Iterator[Record]:
    """Record a forward pass."""
    record, clock, hooks = Record({}, {}, {}), iter(range(10**9)), []

    def watch(name: str, module: nn.Module) -> None:
        def begin(_: nn.Module, __: Any) -> None:
            record.began.setdefault(name, []).append(next(clock))

        def end(_: nn.Module, __: Any, output: Any) -> None:
            record.ended.setdefault(name, []).append(next(clock))
            record.outputs[name] = output

        hooks.extend([module.register_forward_pre_hook(begin), module.register_forward_hook(end)])

    for name, module in model.named_modules():
        if name:
            watch(name, module)
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replayed(model: nn.Module, outputs: Mapping[str, Any]) -> Iterator[None]:
    """Let modules give what they once gave, without computing it."""

    def fixed(output: Any) -> Any:
        return lambda *_, **__: output

    modules = [model.get_submodule(name) for name in outputs]
    try:
        for module, output in zip(modules, outputs.values(), strict=True):
            module.forward = fixed(output)
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)


@contextmanager
def replaced(module: nn.Module, weight: Tensor) -> Iterator[None]:
    """Give a module other weights for a while."""
    parameter = module.weight
    assert isinstance(parameter, nn.Parameter)
    own = parameter.data
    try:
        parameter.data = weight.to(own.dtype)
        yield
    finally:
        parameter.data = own
