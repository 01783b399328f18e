"""Narrower students: what matters of a classifier's neurons, heads and dimensions, and a classifier of that alone.

The *stream* is what layers read from and add to, `width` numbers a token. It is looked at in *places*, each behind a
LayerNorm: place 0 behind the embeddings, then two a layer, behind its attention and its feed-forward layers. A narrower
stream is the stream times a `basis` (width, narrower width) with orthonormal columns: columns of the identity keep some
dimensions as they are, principal directions keep most of the variance. Heads, neurons of the feed-forward layers and
units of the classification head are kept whole or not at all.

What is left out is replaced by its best linear guess from what is kept, which goes into the weights that read it.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from minnow.batching import Encoded, encode, inference_batches
from minnow.errors import MinnowError, listed, warn
from minnow.models import classification_layer, from_config

Method = Literal["importance", "projection"]
# Texts that are looked at, and padded tokens a batch.
SAMPLE_ROWS, BATCH_TOKENS = 1_024, 4_096
# Share of the mean variance added to every variance: it keeps guesses from numbers that hardly vary small.
RIDGE = 1e-3


@dataclass(frozen=True)
class Parts:
    """What an architecture calls the parts of a layer, and where its layers and the head's hidden layer stand."""

    layers: str
    query: str
    key: str
    value: str
    context: str  # takes the heads' outputs back to the stream
    attended: str  # the LayerNorm behind that
    up: str
    down: str
    normed: str  # the LayerNorm behind the feed-forward layers
    hidden: str  # below the whole classifier; what the classification layer reads


def _like_bert(hidden: str) -> Parts:
    return Parts(
        layers="encoder.layer",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        context="attention.output.dense",
        attended="attention.output.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        normed="output.LayerNorm",
        hidden=hidden,
    )


PARTS = {
    "bert": _like_bert("bert.pooler.dense"),
    "roberta": _like_bert("classifier.dense"),
    "distilbert": Parts(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        context="attention.out_lin",
        attended="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        normed="output_layer_norm",
        hidden="pre_classifier",
    ),
}


def parts_of(model: PreTrainedModel) -> Parts:
    """Return what the model's architecture calls its parts.

    Raises:
        MinnowError: an architecture that is not known here.
    """
    kind = model.config.model_type
    if kind not in PARTS:
        raise MinnowError(
            f"a {kind!r} model cannot be made narrower, only {listed(PARTS)}: set student.hidden_size, "
            "intermediate_size and narrowing to null, or take init: scratch"
        )
    return PARTS[kind]


def _part(model: PreTrainedModel, layer: int, name: str) -> Any:
    return model.base_model.get_submodule(f"{parts_of(model).layers}.{layer}.{name}")


def _norms(model: PreTrainedModel, layers: Sequence[int]) -> list[Any]:
    """Return the LayerNorm of each place."""
    parts = parts_of(model)
    of_layers = ([_part(model, layer, name) for name in (parts.attended, parts.normed)] for layer in layers)
    return [model.base_model.get_submodule("embeddings.LayerNorm"), *chain.from_iterable(of_layers)]


# --- Shapes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Numbers of the stream, of heads, and of neurons of each feed-forward layer."""

    width: int
    heads: int
    neurons: int


def shape_of(model: PreTrainedModel) -> Shape:
    """Return the model's shape; a MinnowError says that its architecture is not known here."""
    parts_of(model)
    config = model.config
    neurons = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
    return Shape(int(config.hidden_size), int(config.num_attention_heads), int(neurons))


def with_shape(source: PreTrainedConfig, shape: Shape) -> PreTrainedConfig:
    """Return a copy of a config with another shape."""
    config = copy.deepcopy(source)
    config.hidden_size, config.num_attention_heads = shape.width, shape.heads
    setattr(config, "hidden_dim" if config.model_type == "distilbert" else "intermediate_size", shape.neurons)
    return config


def narrower(source: Shape, *, hidden_size: int | None, heads: int | None, intermediate_size: int | None) -> Shape:
    """Return the shape asked for. None keeps the source's numbers, of heads too unless the width changes: then their
    dimension.

    A number of heads with another dimension warns: what they had learned is cut into other heads.

    Raises:
        MinnowError: something would become wider, or the width is no whole number of heads.
    """
    width, neurons, size = (
        hidden_size or source.width,
        intermediate_size or source.neurons,
        source.width // source.heads,
    )
    for name, asked, limit in (
        ("hidden_size", width, source.width),
        ("intermediate_size", neurons, source.neurons),
    ):
        if asked > limit:
            raise MinnowError(
                f"student.{name} is {asked} and its source has {limit}, of which it can keep fewer but never get more: "
                f"set it to {limit} or less, or take init: scratch"
            )
    if heads is None and width % size:
        raise MinnowError(
            f"student.hidden_size is {width} and the source's heads have dimension {size}: take one of "
            f"{listed(range(size, source.width + 1, size), 20)}, or set student.heads, which cuts them into others"
        )
    heads = width // size if heads is None else heads
    if width % heads:
        allowed = [number for number in range(1, width + 1) if width % number == 0 and width // number >= 16]
        raise MinnowError(
            f"student.heads is {heads}, which does not divide student.hidden_size {width}; allowed: "
            f"{listed(allowed, 20)}; null keeps the heads' dimension"
        )
    if width // heads != size:
        warn(
            f"student.heads is {heads} at width {width}, and the source's heads have dimension {size}, not "
            f"{width // heads}: their columns are cut into other heads, which only distillation repairs"
        )
    return Shape(width, heads, neurons)


# --- What a classifier computes on the way ------------------------------------------------------------------

# What a forward pass computes, by kind and by place or layer, shape (rows, tokens, numbers): `before`, what the
# LayerNorm of a place takes; `stream`, what it gives; `heads`, their outputs side by side; `neurons`, behind the
# activation function; `units`, shape (rows, numbers), what the classification layer takes.
Key = tuple[str, int]
Tape = dict[Key, Tensor]


@contextmanager
def taped(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Tape]:
    """Record what the embeddings, these layers and the head compute, anew in each forward pass."""
    parts, handles = parts_of(model), []
    tape: Tape = {}

    def takes(module: nn.Module, kind: str, number: int) -> None:
        handles.append(module.register_forward_pre_hook(lambda _, given: tape.update({(kind, number): given[0]})))

    def gives(module: nn.Module, kind: str, number: int) -> None:
        handles.append(module.register_forward_hook(lambda _, __, given: tape.update({(kind, number): given})))

    for place, norm in enumerate(_norms(model, layers)):
        takes(norm, "before", place)
        gives(norm, "stream", place)
    for number, layer in enumerate(layers):
        takes(_part(model, layer, parts.context), "heads", number)
        takes(_part(model, layer, parts.down), "neurons", number)
    takes(classification_layer(model), "units", 0)
    try:
        yield tape
    finally:
        for handle in handles:
            handle.remove()


def passes(
    model: PreTrainedModel, sample: Encoded, layers: Sequence[int]
) -> Iterator[tuple[Tensor, Tape, Tensor, Tensor]]:
    """Yield rows, tape, mask of real tokens (rows, tokens) and logits of each batch of a sample, in eval mode."""
    with taped(model.eval(), layers) as tape:
        for rows in inference_batches(sample.lengths, tokens=BATCH_TOKENS):
            batch = sample.batch(rows, torch.device("cpu"))
            logits = model(**batch).logits
            yield rows, tape, batch["attention_mask"].bool(), logits


# --- What matters -------------------------------------------------------------------------------------------


def importance(model: PreTrainedModel, sample: Encoded, labels: Tensor | None, layers: Sequence[int]) -> Tape:
    """Return Σ over texts of |Σ over tokens of a · ∂loss/∂a| for each number a of a tape, but summed over each head's.

    To first order that is how much the loss changes without the number: |∂loss/∂gate| of a gate of 1 on it (for heads
    Michel, Levy, Neubig 2019, arXiv 1905.10650, section 4.1; for neurons Molchanov et al. 2017, arXiv 1611.06440,
    section 2.2). The loss is the cross-entropy with `labels` (rows,). Without labels, for a head that nobody has
    trained, it is the last state of the first token along a direction drawn for each text.
    """
    heads, width = shape_of(model).heads, shape_of(model).width
    directions = torch.randn(len(sample), width, generator=torch.Generator().manual_seed(0))
    sums: Tape = {}
    with torch.enable_grad():
        for rows, tape, _, logits in passes(model, sample, layers):
            if labels is None:
                loss = (tape["stream", 2 * len(layers)][:, 0] * directions[rows]).sum()
            else:
                loss = F.cross_entropy(logits, labels[rows], reduction="sum")
            slopes = torch.autograd.grad(loss, list(tape.values()), allow_unused=True, materialize_grads=True)
            for (key, numbers), slope in zip(tape.items(), slopes, strict=True):
                effect = numbers.detach() * slope
                effect = effect if key[0] == "units" else effect.sum(dim=1)
                effect = effect.unflatten(1, (heads, -1)).sum(dim=2) if key[0] == "heads" else effect
                sums[key] = sums.get(key, 0) + effect.abs().double().sum(dim=0)
    return sums


def largest(scores: Tensor, number: int) -> Tensor:
    """Return the indices of the largest scores, rising; of equal ones the first."""
    return scores.sort(descending=True, stable=True).indices[:number].sort().values


def columns_of(heads: Tensor, size: int) -> Tensor:
    """Return the columns of these heads, each of `size`."""
    return (heads[:, None] * size + torch.arange(size)).flatten()


# --- Guesses of what is left out ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Guess:
    """All numbers from those that are kept: all ≈ weight · kept + bias, with weight (all, kept) and bias (all,)."""

    weight: Tensor
    bias: Tensor

    def read_by(self, layer: nn.Linear, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of these rows of a layer that then reads what is kept."""
        weight = layer.weight.detach()[rows]
        return weight @ self.weight, layer.bias.detach()[rows] + weight @ self.bias


class Moments:
    """Means and covariances, over tokens, of `given` numbers and of those of `wanted` with them."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        # About the means, so that float32 products lose nothing where a number is large and hardly varies.
        self.origin: list[Tensor] = []

    def add(self, wanted: Tensor, given: Tensor) -> None:
        """Count tokens in: wanted (tokens, n), given (tokens, k)."""
        self.origin = self.origin or [wanted.mean(0), given.mean(0)]
        wanted, given = (numbers - origin for numbers, origin in zip((wanted, given), self.origin, strict=True))
        parts = [part.double() for part in (wanted.sum(0), given.sum(0), wanted.T @ given, given.T @ given)]
        self.sums = [total + part for total, part in zip(self.sums, parts, strict=True)] if self.sums else parts
        self.count += len(given)

    def result(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the means (n,) and (k,), and the covariances (n, k) and (k, k), in float64."""
        wanted, given, cross, square = (total / self.count for total in self.sums)
        covariances = cross - wanted[:, None] * given, square - given[:, None] * given
        return wanted + self.origin[0], given + self.origin[1], *covariances


def completed(start: Tensor, cross: Tensor, square: Tensor) -> Tensor:
    """Return the weights (n, k) of the linear guess that has the least squared error, drawn to `start` by a ridge.

    `cross` (n, k) and `square` (k, k) are covariances of wanted with given, and of given. Where `start` already makes
    no error, it is the result.
    """
    ridge = (RIDGE * square.diagonal().mean()).clamp_min(torch.finfo(square.dtype).tiny)
    left = cross - start @ square
    rest: Tensor = torch.linalg.solve(square + ridge * torch.eye(len(square), dtype=square.dtype), left.T)
    return start + rest.T


# --- The plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How a classifier becomes narrower: what is kept, and how the rest is guessed. Lists go by place or by layer."""

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
    return torch.linspace(0, rows - 1, min(rows, SAMPLE_ROWS), dtype=torch.float64).round().long().tolist()


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
    """Return the plan by a sample of the training split's texts, with their labels where the head is a trained one."""
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
    """Return how those layers of a classifier become a narrower one, by what it computes on a sample of texts.

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
    places = [_place(norm, basis, moments["stream", place]) for place, norm in enumerate(_norms(model, layers))]
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
        return torch.eye(whole)[:, largest(torch.stack([scores["stream", place] for place in places]).sum(0), width)]
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

    A LayerNorm takes off the mean, hence sees nothing along (1, …, 1), and scales by the norm of what is left. So the
    width − 1 largest principal directions orthogonal to (1, …, 1) are written into width numbers whose mean is 0: a
    LayerNorm finds nothing to take off, and scales as that of the source, as far as the directions hold what there is.
    """
    centre = torch.eye(len(covariance), dtype=covariance.dtype) - 1 / len(covariance)
    directions: Tensor = torch.linalg.eigh(centre @ covariance @ centre).eigenvectors.flip(1)[:, : width - 1]
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
    """Return of each place the moments of the stream with the narrower one, of `kept` those of the rest with it.

    There are none where nothing is left out.
    """
    norms, moments = _norms(model, layers), defaultdict[Key, Moments](Moments)
    with torch.no_grad():
        for _, tape, real, _ in passes(model, sample, layers):
            for place, norm in enumerate(norms if basis.shape[0] > basis.shape[1] else []):
                before = tape["before", place][real] @ basis
                moments["stream", place].add(tape["stream", place][real], normalised(before, norm.eps))
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


def _place(norm: nn.LayerNorm, basis: Tensor, moments: Moments) -> tuple[tuple[Tensor, Tensor], Guess]:
    """Return gain and bias of a place's LayerNorm, and how the wide stream is guessed from what it gives.

    The narrower stream aims at the stream times the basis, number by number by least squares.
    """
    if basis.shape[0] == basis.shape[1]:
        return (norm.weight.detach(), norm.bias.detach()), Guess(basis, torch.zeros(len(basis)))
    start, (wide, given, cross, square) = basis.double(), moments.result()
    gain = (start.T @ cross).diagonal() / square.diagonal().clamp_min(torch.finfo(square.dtype).tiny)
    bias = start.T @ wide - gain * given
    weight = completed(start, cross * gain, square * gain * gain[:, None])
    return (gain.float(), bias.float()), Guess(weight.float(), (wide - weight @ (gain * given + bias)).float())


def _rest(kept: Tensor, number: int, moments: Moments) -> Guess:
    """Return how `number` numbers are guessed from those that are kept, which stay exactly what they are."""
    weight, bias = torch.zeros(number, len(kept)), torch.zeros(number)
    weight[kept] = torch.eye(len(kept))
    if len(kept) < number:
        rest = rest_of(kept, number)
        left, given, cross, square = moments.result()
        guess = completed(torch.zeros_like(cross), cross, square)
        weight[rest], bias[rest] = guess.float(), (left - guess @ given).float()
    return Guess(weight, bias)


# --- The narrower classifier --------------------------------------------------------------------------------


def narrowed(model: PreTrainedModel, plan: Plan) -> PreTrainedModel:
    """Return a narrower classifier by a plan that was made for these layers, in this or another architecture.

    Raises:
        MinnowError: an architecture that is not known here, or one with weights of another kind.
    """
    parts, layers = parts_of(model), range(len(plan.kept))
    narrow = from_config(with_shape(model.config, plan.shape))
    done: set[nn.Module] = set()

    def put(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
        module.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        done.add(module)

    def write(part: str, layer: int, guess: Guess) -> None:
        """Let a layer that adds to the stream read what is kept."""
        wide = _part(model, layer, part)
        weight, bias = guess.read_by(wide, torch.arange(len(wide.weight)))
        put(_part(narrow, layer, part), plan.basis.T @ weight, plan.basis.T @ bias)

    for name, table in model.base_model.get_submodule("embeddings").named_children():
        if isinstance(table, nn.Embedding):
            put(narrow.base_model.get_submodule(f"embeddings.{name}"), table.weight.detach() @ plan.basis)
    for norm, values in zip(_norms(narrow, layers), plan.norms, strict=True):
        put(norm, *values)
    for layer in layers:
        for part in (parts.query, parts.key, parts.value):
            read = plan.stream[2 * layer].read_by(_part(model, layer, part), plan.columns[layer])
            put(_part(narrow, layer, part), *read)
        write(parts.context, layer, plan.contexts[layer])
        put(
            _part(narrow, layer, parts.up),
            *plan.stream[2 * layer + 1].read_by(_part(model, layer, parts.up), plan.kept[layer]),
        )
        write(parts.down, layer, plan.neurons[layer])
    hidden: Any = model.get_submodule(parts.hidden)
    put(narrow.get_submodule(parts.hidden), *plan.stream[-1].read_by(hidden, plan.units))
    last = classification_layer(model)
    put(classification_layer(narrow), last.weight.detach()[:, plan.units], last.bias.detach())
    for name, module in narrow.named_modules():
        if module not in done and any(True for _ in module.parameters(recurse=False)):
            raise MinnowError(
                f"{name} of this {model.config.model_type!r} model cannot be made narrower: take init: scratch"
            )
    narrow.eval()
    return narrow
