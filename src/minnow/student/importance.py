"""What matters of a classifier's neurons, heads and dimensions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from minnow.models.anatomy import layer_norms, layer_part, parts_of
from minnow.models.batching import Encoded, inference_batches
from minnow.models.heads import classification_layer
from minnow.student.shapes import shape_of

# Texts that are looked at, and padded tokens a batch.
SAMPLE_ROWS, BATCH_TOKENS = 1_024, 4_096
# --- What a classifier computes on the way --------------------------------------------------------

# What a forward pass computes, by kind and by place or layer, shape (rows, tokens, numbers):
# `before`, what the LayerNorm of a place takes; `stream`, what it gives; `heads`, their outputs
# side by side; `neurons`, behind the activation function; `units`, shape (rows, numbers), what the
# classification layer takes.
Key = tuple[str, int]
Tape = dict[Key, Tensor]


@contextmanager
def taped(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Tape]:
    """Record what the embeddings, these layers and the head compute, anew in each forward pass."""
    parts, handles = parts_of(model), []
    tape: Tape = {}

    def takes(module: nn.Module, kind: str, number: int) -> None:
        handles.append(
            module.register_forward_pre_hook(
                lambda _, inputs: tape.update({(kind, number): inputs[0]})
            )
        )

    def gives(module: nn.Module, kind: str, number: int) -> None:
        handles.append(
            module.register_forward_hook(
                lambda _, __, output: tape.update({(kind, number): output})
            )
        )

    for place, norm in enumerate(layer_norms(model, layers)):
        takes(norm, "before", place)
        gives(norm, "stream", place)
    for number, layer in enumerate(layers):
        takes(layer_part(model, layer, parts.context), "heads", number)
        takes(layer_part(model, layer, parts.down), "neurons", number)
    takes(classification_layer(model), "units", 0)
    try:
        yield tape
    finally:
        for handle in handles:
            handle.remove()


def taped_passes(
    model: PreTrainedModel, sample: Encoded, layers: Sequence[int]
) -> Iterator[tuple[Tensor, Tape, Tensor, Tensor]]:
    """Yield rows, tape, mask of real tokens (rows, tokens) and logits of each batch of a sample, in
    eval mode.
    """
    with taped(model.eval(), layers) as tape:
        for rows in inference_batches(sample.lengths, tokens=BATCH_TOKENS):
            batch = sample.batch(rows, torch.device("cpu"))
            logits = model(**batch).logits
            yield rows, tape, batch["attention_mask"].bool(), logits


# --- What matters ---------------------------------------------------------------------------------


def importance(
    model: PreTrainedModel, sample: Encoded, labels: Tensor | None, layers: Sequence[int]
) -> Tape:
    """Return Σ over texts of |Σ over tokens of a · ∂loss/∂a| for each number a of a tape, but
    summed over each head's.

    To first order that is how much the loss changes without the number: |∂loss/∂gate| of a gate of
    1 on it (for heads Michel, Levy, Neubig 2019, arXiv 1905.10650, section 4.1; for neurons
    Molchanov et al. 2017, arXiv 1611.06440, section 2.2). The loss is the cross-entropy with
    `labels` (rows,). Without labels, for a head that nobody has trained, it is the last state of
    the first token along a direction drawn for each text.
    """
    heads, width = shape_of(model).heads, shape_of(model).width
    directions = torch.randn(len(sample), width, generator=torch.Generator().manual_seed(0))
    sums: Tape = {}
    with torch.enable_grad():
        for rows, tape, _, logits in taped_passes(model, sample, layers):
            if labels is None:
                loss = (tape["stream", 2 * len(layers)][:, 0] * directions[rows]).sum()
            else:
                loss = F.cross_entropy(logits, labels[rows], reduction="sum")
            slopes = torch.autograd.grad(
                loss, list(tape.values()), allow_unused=True, materialize_grads=True
            )
            for (key, numbers), slope in zip(tape.items(), slopes, strict=True):
                effect = numbers.detach() * slope
                effect = effect if key[0] == "units" else effect.sum(dim=1)
                effect = (
                    effect.unflatten(1, (heads, -1)).sum(dim=2) if key[0] == "heads" else effect
                )
                sums[key] = sums.get(key, 0) + effect.abs().double().sum(dim=0)
    return sums


def largest(scores: Tensor, number: int) -> Tensor:
    """Return the indices of the largest scores, rising; of equal ones the first."""
    return scores.sort(descending=True, stable=True).indices[:number].sort().values


def columns_of(heads: Tensor, size: int) -> Tensor:
    """Return the columns of these heads, each of `size`."""
    return (heads[:, None] * size + torch.arange(size)).flatten()
