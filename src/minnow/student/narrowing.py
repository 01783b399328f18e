"""Narrower students: what matters of a classifier's neurons, heads and dimensions, and a classifier
of that alone.

The *stream* is what layers read from and add to, `width` numbers a token. It is looked at in
*places*, each behind a LayerNorm: place 0 behind the embeddings, then two a layer, behind its
attention and its feed-forward layers. A narrower stream is the stream times a `basis` (width,
narrower width) with orthonormal columns: columns of the identity keep some dimensions as they are,
principal directions keep most of the variance. Heads, neurons of the feed-forward layers and units
of the classification head are kept whole or not at all.

What is left out is replaced by its best linear guess from what is kept, which goes into the weights
that read it.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.errors import MinnowError
from minnow.models.anatomy import hidden_layer, layer_norms, layer_part, parts_of
from minnow.models.batching import Encoded, encode
from minnow.models.heads import classification_layer, from_config
from minnow.student.importance import (
    SAMPLE_ROWS,
    Key,
    Tape,
    columns_of,
    importance,
    largest,
    passes,
)
from minnow.student.reconstruction import Guess, Moments, completed
from minnow.student.shapes import Shape, shape_of, with_shape

Method = Literal["importance", "projection"]


# --- The plan -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Plan:
    """How a classifier becomes narrower: what is kept, and how the rest is guessed. Lists go by
    place or by layer.
    """

    shape: Shape
    basis: Tensor  # (width, narrower width)
    norms: list[tuple[Tensor, Tensor]]  # gain and bias of each place's LayerNorm
    stream: list[Guess]
    columns: list[Tensor]  # of queries, keys, values and contexts
    contexts: list[Guess]
    kept: list[Tensor]  # neurons
    neurons: list[Guess]
    units: Tensor  # of the head's hidden layer


def spaced(rows: int) -> list[int]:
    """Return which of so many texts are looked at: SAMPLE_ROWS of them, evenly spaced."""
    return (
        torch.linspace(0, rows - 1, min(rows, SAMPLE_ROWS), dtype=torch.float64)
        .round()
        .long()
        .tolist()
    )


def planned(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    labels: Sequence[int] | None,
    *,
    layers: Sequence[int],
    shape: Shape,
    method: Method,
) -> Plan:
    """Return the plan by a sample of the training split's texts, with their labels where the head
    is a trained one.
    """
    rows = spaced(len(texts))
    known = None if labels is None else torch.tensor([labels[row] for row in rows])
    sample = encode(tokenizer, [texts[row] for row in rows])
    return plan(model, sample, known, layers=layers, shape=shape, method=method)


def plan(
    model: PreTrainedModel,
    sample: Encoded,
    labels: Tensor | None,
    *,
    layers: Sequence[int],
    shape: Shape,
    method: Method,
) -> Plan:
    """Return how those layers of a classifier become a narrower one, by what it computes on a
    sample of texts.

    Raises:
        MinnowError: an architecture that is not known here.
    """
    source, numbers = shape_of(model), range(len(layers))
    size = source.width // source.heads
    scores = importance(model, sample, labels, layers)
    kept: Tape = {}
    for number in numbers:
        heads = largest(scores["heads", number], math.ceil(shape.width / size))
        kept["heads", number] = columns_of(heads, size)[: shape.width]
        kept["neurons", number] = largest(scores["neurons", number], shape.neurons)
    basis = _basis(model, sample, layers, scores, shape.width, method)
    moments = _moments(model, sample, layers, basis, kept)
    places = [
        _place(norm, basis, moments["stream", place])
        for place, norm in enumerate(layer_norms(model, layers))
    ]
    guesses = {
        key: _rest(each, source.neurons if key[0] == "neurons" else source.width, moments[key])
        for key, each in kept.items()
    }
    return Plan(
        shape,
        basis,
        norms=[norm for norm, _ in places],
        stream=[guess for _, guess in places],
        columns=[kept["heads", number] for number in numbers],
        contexts=[guesses["heads", number] for number in numbers],
        kept=[kept["neurons", number] for number in numbers],
        neurons=[guesses["neurons", number] for number in numbers],
        units=largest(scores["units", 0], shape.width),
    )


def _basis(
    model: PreTrainedModel,
    sample: Encoded,
    layers: Sequence[int],
    scores: Tape,
    width: int,
    method: Method,
) -> Tensor:
    """Return the narrower stream's basis."""
    places, whole = range(2 * len(layers) + 1), shape_of(model).width
    if method == "importance" or width == whole:
        return torch.eye(whole)[
            :, largest(torch.stack([scores["stream", place] for place in places]).sum(0), width)
        ]
    moments = [Moments() for _ in places]
    with torch.no_grad():
        for _, tape, real, _ in passes(model, sample, layers):
            for place in places:
                numbers = tape["stream", place][real]
                moments[place].add(numbers, numbers)
    covariances = torch.stack([each.result()[3] for each in moments])
    # Every place counts alike, whatever its gains.
    shares = covariances / covariances.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    return principal(shares.sum(0), width).float()


def principal(covariance: Tensor, width: int) -> Tensor:
    """Return a basis (n, width) of what varies most, n > width, for numbers behind a LayerNorm.

    A LayerNorm takes off the mean, hence sees nothing along (1, …, 1), and scales by the norm of
    what is left. So the width − 1 largest principal directions orthogonal to (1, …, 1) are written
    into width numbers whose mean is 0: a LayerNorm finds nothing to take off, and scales as that of
    the source, as far as the directions hold what there is.
    """
    centre = torch.eye(len(covariance), dtype=covariance.dtype) - 1 / len(covariance)
    directions: Tensor = torch.linalg.eigh(centre @ covariance @ centre).eigenvectors.flip(1)[
        :, : width - 1
    ]
    # The sign of an eigenvector is the library's whim: its largest number becomes positive.
    signs = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)).sign()
    rows = torch.arange(1, width, dtype=covariance.dtype)
    # Helmert's contrasts: column j is 1 in the rows before j and −j in row j, scaled to length 1.
    contrasts = torch.triu(torch.ones(width, width - 1, dtype=covariance.dtype))
    contrasts[torch.arange(1, width), torch.arange(width - 1)] = -rows
    return directions * signs @ (contrasts / (rows * (rows + 1)).sqrt()).T


def _moments(
    model: PreTrainedModel,
    sample: Encoded,
    layers: Sequence[int],
    basis: Tensor,
    kept: Tape,
) -> dict[Key, Moments]:
    """Return of each place the moments of the stream with the narrower one, of `kept` those of the
    rest with it.

    There are none where nothing is left out.
    """
    norms, moments = layer_norms(model, layers), defaultdict[Key, Moments](Moments)
    with torch.no_grad():
        for _, tape, real, _ in passes(model, sample, layers):
            for place, norm in enumerate(norms if basis.shape[0] > basis.shape[1] else []):
                before = tape["before", place][real] @ basis
                moments["stream", place].add(
                    tape["stream", place][real], normalised(before, norm.eps)
                )
            for key, chosen in kept.items():
                numbers = tape[key][real]
                if rest := rest_of(chosen, numbers.shape[1]).tolist():
                    moments[key].add(numbers[:, rest], numbers[:, chosen])
    return moments


def normalised(numbers: Tensor, eps: float) -> Tensor:
    """Return what a LayerNorm without gain and bias gives."""
    return F.layer_norm(numbers, numbers.shape[-1:], eps=eps)


def rest_of(kept: Tensor, number: int) -> Tensor:
    """Return the indices below `number` that are not kept."""
    left = torch.ones(number, dtype=torch.bool)
    left[kept] = False
    return left.nonzero().flatten()


def _place(
    norm: nn.LayerNorm, basis: Tensor, moments: Moments
) -> tuple[tuple[Tensor, Tensor], Guess]:
    """Return gain and bias of a place's LayerNorm, and how the wide stream is guessed from what it
    gives.

    The narrower stream aims at the stream times the basis, number by number by least squares.
    """
    if basis.shape[0] == basis.shape[1]:
        return (norm.weight.detach(), norm.bias.detach()), Guess(basis, torch.zeros(len(basis)))
    start, (wide, given, cross, square) = basis.double(), moments.result()
    gain = (start.T @ cross).diagonal() / square.diagonal().clamp_min(
        torch.finfo(square.dtype).tiny
    )
    bias = start.T @ wide - gain * given
    weight = completed(start, cross * gain, square * gain * gain[:, None])
    return (gain.float(), bias.float()), Guess(
        weight.float(), (wide - weight @ (gain * given + bias)).float()
    )


def _rest(kept: Tensor, number: int, moments: Moments) -> Guess:
    """Return how `number` numbers are guessed from those that are kept, which stay exactly what
    they are.
    """
    weight, bias = torch.zeros(number, len(kept)), torch.zeros(number)
    weight[kept] = torch.eye(len(kept))
    if len(kept) < number:
        rest = rest_of(kept, number)
        left, given, cross, square = moments.result()
        guess = completed(torch.zeros_like(cross), cross, square)
        weight[rest], bias[rest] = guess.float(), (left - guess @ given).float()
    return Guess(weight, bias)


# --- The narrower classifier ----------------------------------------------------------------------
def narrowed(model: PreTrainedModel, plan: Plan) -> PreTrainedModel:
    """Return a narrower classifier by a plan that was made for these layers, in this or another
    architecture.

    Raises:
        MinnowError: an architecture that is not known here, or one with weights of another kind.
    """
    parts, layers = parts_of(model), range(len(plan.kept))
    narrow = from_config(with_shape(model.config, plan.shape))
    done: set[nn.Module] = set()

    def put(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
        module.load_state_dict(
            {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        )
        done.add(module)

    def write(part: str, layer: int, guess: Guess) -> None:
        """Let a layer that adds to the stream read what is kept."""
        wide = layer_part(model, layer, part)
        weight, bias = guess.read_by(wide, torch.arange(len(wide.weight)))
        put(layer_part(narrow, layer, part), plan.basis.T @ weight, plan.basis.T @ bias)

    for name, table in model.base_model.get_submodule("embeddings").named_children():
        if isinstance(table, nn.Embedding):
            put(
                narrow.base_model.get_submodule(f"embeddings.{name}"),
                table.weight.detach() @ plan.basis,
            )
    for norm, values in zip(layer_norms(narrow, layers), plan.norms, strict=True):
        put(norm, *values)
    for layer in layers:
        for part in (parts.query, parts.key, parts.value):
            read = plan.stream[2 * layer].read_by(
                layer_part(model, layer, part), plan.columns[layer]
            )
            put(layer_part(narrow, layer, part), *read)
        write(parts.context, layer, plan.contexts[layer])
        put(
            layer_part(narrow, layer, parts.up),
            *plan.stream[2 * layer + 1].read_by(
                layer_part(model, layer, parts.up), plan.kept[layer]
            ),
        )
        write(parts.down, layer, plan.neurons[layer])
    put(hidden_layer(narrow), *plan.stream[-1].read_by(hidden_layer(model), plan.units))
    last = classification_layer(model)
    put(classification_layer(narrow), last.weight.detach()[:, plan.units], last.bias.detach())
    for name, module in narrow.named_modules():
        if module not in done and any(True for _ in module.parameters(recurse=False)):
            raise MinnowError(
                f"{name} of this {model.config.model_type!r} model cannot be made narrower: take"
                " init: scratch"
            )
    narrow.eval()
    return narrow
