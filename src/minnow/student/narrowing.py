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
    taped_passes,
)
from minnow.student.reconstruction import Guess, Moments, completed
from minnow.student.shapes import Shape, shape_of, with_shape

Method = Literal["importance", "projection"]


# --- What is kept ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Narrowing:
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


@dataclass(frozen=True)
class Sample:
    """Encoded texts that a classifier is looked at with, and their labels (rows,) where its head is
    a trained one.
    """

    encoded: Encoded
    labels: Tensor | None


@dataclass(frozen=True)
class Aim:
    """The layers, counted from 0, that become narrower; into which shape, and how."""

    layers: Sequence[int]
    shape: Shape
    method: Method


def sample_of(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], labels: Sequence[int] | None
) -> Sample:
    """Return a sample of the training split's texts, with their labels where there are any."""
    rows = spaced(len(texts))
    known = None if labels is None else torch.tensor([labels[row] for row in rows])
    return Sample(encode(tokenizer, [texts[row] for row in rows]), known)


def narrowing_of(model: PreTrainedModel, sample: Sample, aim: Aim) -> Narrowing:
    """Return how those layers of a classifier become a narrower one, by what it computes on a
    sample of texts.

    Raises:
        MinnowError: an architecture that is not known here.
    """
    shape, layers, encoded = aim.shape, aim.layers, sample.encoded
    source, numbers = shape_of(model), range(len(layers))
    size = source.width // source.heads
    scores = importance(model, encoded, sample.labels, layers)
    kept: Tape = {}
    for number in numbers:
        heads = largest(scores["heads", number], math.ceil(shape.width / size))
        kept["heads", number] = columns_of(heads, size)[: shape.width]
        kept["neurons", number] = largest(scores["neurons", number], shape.neurons)
    basis = _basis(model, encoded, aim, scores)
    moments = _moments(model, encoded, layers, basis, kept)
    places = [
        _place(norm, basis, moments["stream", place])
        for place, norm in enumerate(layer_norms(model, layers))
    ]
    guesses = {
        key: _rest(columns, source.neurons if key[0] == "neurons" else source.width, moments[key])
        for key, columns in kept.items()
    }
    return Narrowing(
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


def _basis(model: PreTrainedModel, sample: Encoded, aim: Aim, scores: Tape) -> Tensor:
    """Return the narrower stream's basis."""
    layers, width = aim.layers, aim.shape.width
    places, whole = range(2 * len(layers) + 1), shape_of(model).width
    if aim.method == "importance" or width == whole:
        return torch.eye(whole)[
            :, largest(torch.stack([scores["stream", place] for place in places]).sum(0), width)
        ]
    moments = [Moments() for _ in places]
    with torch.no_grad():
        for _, tape, real, _ in taped_passes(model, sample, layers):
            for place in places:
                numbers = tape["stream", place][real]
                moments[place].add(numbers, numbers)
    covariances = torch.stack([place.result()[3] for place in moments])
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
        for _, tape, real, _ in taped_passes(model, sample, layers):
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
    start, (wide, narrow, cross, square) = basis.double(), moments.result()
    gain = (start.T @ cross).diagonal() / square.diagonal().clamp_min(
        torch.finfo(square.dtype).tiny
    )
    bias = start.T @ wide - gain * narrow
    weight = completed(start, cross * gain, square * gain * gain[:, None])
    return (gain.float(), bias.float()), Guess(
        weight.float(), (wide - weight @ (gain * narrow + bias)).float()
    )


def _rest(kept: Tensor, number: int, moments: Moments) -> Guess:
    """Return how `number` numbers are guessed from those that are kept, which stay exactly what
    they are.
    """
    weight, bias = torch.zeros(number, len(kept)), torch.zeros(number)
    weight[kept] = torch.eye(len(kept))
    if len(kept) < number:
        rest = rest_of(kept, number)
        left, kept_means, cross, square = moments.result()
        guess = completed(torch.zeros_like(cross), cross, square)
        weight[rest], bias[rest] = guess.float(), (left - guess @ kept_means).float()
    return Guess(weight, bias)


# --- The narrower classifier ----------------------------------------------------------------------


def narrowed(model: PreTrainedModel, narrowing: Narrowing) -> PreTrainedModel:
    """Return a narrower classifier, of the layers that the narrowing was made for, in this or
    another architecture.

    Raises:
        MinnowError: an architecture that is not known here, or one with weights of another kind.
    """
    assembly = _Assembly(model, narrowing)
    assembly.embeddings()
    for layer in range(len(narrowing.kept)):
        assembly.attention(layer)
        assembly.feed_forward(layer)
    assembly.head()
    assembly.check_complete()
    assembly.narrow.eval()
    return assembly.narrow


class _Assembly:
    """A classifier and the narrower one that is made of it, part by part."""

    def __init__(self, model: PreTrainedModel, narrowing: Narrowing) -> None:
        self.parts, self.model, self.narrowing = parts_of(model), model, narrowing
        self.narrow = from_config(with_shape(model.config, narrowing.shape))
        self.done: set[nn.Module] = set()

    def put(self, module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
        module.load_state_dict(
            {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        )
        self.done.add(module)

    def embeddings(self) -> None:
        """Make the tables of embeddings, and all LayerNorms."""
        basis, body = self.narrowing.basis, self.narrow.base_model
        for name, table in self.model.base_model.get_submodule("embeddings").named_children():
            if isinstance(table, nn.Embedding):
                module = body.get_submodule(f"embeddings.{name}")
                self.put(module, table.weight.detach() @ basis)
        norms = layer_norms(self.narrow, range(len(self.narrowing.kept)))
        for norm, values in zip(norms, self.narrowing.norms, strict=True):
            self.put(norm, *values)

    def attention(self, layer: int) -> None:
        columns = self.narrowing.columns[layer]
        for part in self.parts.projections:
            self.read(part, layer, self.narrowing.stream[2 * layer], columns)
        self.write(self.parts.context, layer, self.narrowing.contexts[layer])

    def feed_forward(self, layer: int) -> None:
        stream, kept = self.narrowing.stream[2 * layer + 1], self.narrowing.kept[layer]
        self.read(self.parts.up, layer, stream, kept)
        self.write(self.parts.down, layer, self.narrowing.neurons[layer])

    def read(self, part: str, layer: int, stream: Guess, rows: Tensor) -> None:
        """Let these rows of a layer read the narrower stream."""
        weight, bias = stream.read_by(layer_part(self.model, layer, part), rows)
        self.put(layer_part(self.narrow, layer, part), weight, bias)

    def write(self, part: str, layer: int, guess: Guess) -> None:
        """Let a layer that adds to the stream read what is kept."""
        wide, basis = layer_part(self.model, layer, part), self.narrowing.basis
        weight, bias = guess.read_by(wide, torch.arange(len(wide.weight)))
        self.put(layer_part(self.narrow, layer, part), basis.T @ weight, basis.T @ bias)

    def head(self) -> None:
        units, stream = self.narrowing.units, self.narrowing.stream[-1]
        self.put(hidden_layer(self.narrow), *stream.read_by(hidden_layer(self.model), units))
        last, narrow_last = classification_layer(self.model), classification_layer(self.narrow)
        self.put(narrow_last, last.weight.detach()[:, units], last.bias.detach())

    def check_complete(self) -> None:
        """Refuse a model with weights that none of this has made."""
        for name, module in self.narrow.named_modules():
            if module not in self.done and any(True for _ in module.parameters(recurse=False)):
                raise MinnowError(
                    f"{name} of this {self.model.config.model_type!r} model cannot be made"
                    " narrower: take init: scratch"
                )
