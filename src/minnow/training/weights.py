"""The trained parameters: their float32 masters, and the embeddings that occur."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.core.runtime import Runtime
from minnow.errors import MinnowError


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of all weights and buffers."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Weights:
    """The trained parameters: float32 masters, and the model's own copies in the dtype that it
    computes in.

    In float32 the two are the same tensors. In 16 bits the model computes wholly in them, so that
    nothing is cast between its layers, and small updates are not lost because they are added
    to the masters (Micikevicius et al. 2018, arXiv 1710.03740, section 3.1).
    """

    def __init__(self, model: nn.Module, runtime: Runtime) -> None:
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        self.working: list[Tensor] = [
            weight for weight in model.parameters() if weight.requires_grad
        ]
        self.decayed = [
            weight.dim() >= 2 and id(weight) not in embeddings for weight in self.working
        ]
        self.mixed = runtime.mixed
        self.masters = (
            [weight.detach().clone() for weight in self.working] if self.mixed else self.working
        )
        # Frozen weights are narrowed too, and come back to what they were to the last bit.
        floats = [
            weight for weight in model.parameters() if weight.is_floating_point()
        ]  # not packed ones
        self.frozen = [(weight, weight.detach()) for weight in floats if not weight.requires_grad]
        if self.mixed:
            for weight in floats:  # not the buffers: rotary frequencies must keep their precision
                weight.data = weight.data.to(runtime.dtype)

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return AdamW's parameter groups, decayed and not."""
        return [
            {
                "params": [
                    m for m, d in zip(self.masters, self.decayed, strict=True) if d == decayed
                ],
                "weight_decay": weight_decay if decayed else 0.0,
            }
            for decayed in (True, False)
        ]

    def take_gradients(self) -> None:
        """Add the working copies' gradients to the masters', in float32."""
        if not self.mixed:
            return
        for master, working in zip(self.masters, self.working, strict=True):
            if working.grad is None:
                continue
            part = working.grad.float()
            master.grad = part if master.grad is None else master.grad.add_(part)
            working.grad = None

    def publish(self) -> None:
        """Copy the masters into the model and forget the gradients."""
        for master in self.masters:
            master.grad = None
        if self.mixed:
            with torch.no_grad():
                torch._foreach_copy_(self.working, self.masters)

    def snapshot(self) -> list[Tensor]:
        """Return copies of the masters."""
        return [master.detach().to("cpu", copy=True) for master in self.masters]

    def restore(self, snapshot: list[Tensor]) -> None:
        """Put a snapshot back into the masters and into the model."""
        with torch.no_grad():
            for master, working, value in zip(self.masters, self.working, snapshot, strict=True):
                master.copy_(value)
                working.copy_(value)

    def widen(self) -> None:
        """Turn the model back to float32."""
        for working, master in zip(self.working, self.masters, strict=True):
            working.data = master.data
        for weight, value in self.frozen:
            weight.data = value


@contextmanager
def only_used_embeddings(model: PreTrainedModel, used: Tensor) -> Iterator[None]:
    """Shrink the model's word embeddings to the rows of the sorted token ids `used`; put all rows
    back afterwards.

    A token that never occurs gets no gradient, and without weight decay AdamW leaves its row as it
    is: training the used rows alone gives the same weights and spares the optimiser its pass over
    the others. The model still takes the tokenizer's ids, since some compute positions or lengths
    from them.

    Raises:
        MinnowError: the model has no word embeddings of its own, or fewer than there are token ids.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding) or (
        model.config.tie_word_embeddings and model.get_output_embeddings()
    ):
        raise MinnowError(
            f"{type(model).__name__} has no plain word embeddings; Minnow trains BERT-like"
            " classifiers"
        )
    full, padding = embedding.weight, embedding.padding_idx
    if int(used[-1]) >= len(full):
        raise MinnowError(
            f"the tokenizer gives token id {int(used[-1])} and the model has {len(full)} word"
            " embeddings; take tokenizer and model from the same checkpoint"
        )
    rows = torch.full((len(full),), -1)
    rows[used] = torch.arange(len(used))
    embedding.register_buffer("rows", rows, persistent=False)
    hook = embedding.register_forward_pre_hook(lambda module, ids: (module.rows[ids[0]],))
    embedding.weight = nn.Parameter(full.detach()[used], requires_grad=full.requires_grad)
    embedding.padding_idx = None if padding is None or rows[padding] < 0 else int(rows[padding])
    try:
        yield
    finally:
        with torch.no_grad():
            full[used] = embedding.weight.detach().to(full.device, full.dtype)
        embedding.weight, embedding.padding_idx = full, padding
        hook.remove()
        del embedding.rows
