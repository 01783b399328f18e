"""Texts to token ids, once, and token ids to batches that hold almost no padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from minnow.models.beginnings import beginnings

# Rows are sorted by length only within pools of this many batches: in one pool of everything, every
# epoch would have much the same batches. Where there are fewer than four pools, lengths are blurred
# by up to this share as well. On 2,100 URLs in batches of 128 that takes the share of batch mates
# who meet again in the next epoch from 0.80 to 0.40, at 1.20 computed tokens for each real one;
# pools of a quarter of all batches, tried before, took 1.90.
POOL_BATCHES = 50
BLUR = 0.1
# Texts handed to the tokenizer at once: bounds the memory that its Python lists take.
ENCODE_CHUNK = 20_000


@dataclass(frozen=True)
class Encoded:
    """Token ids of many texts, end to end: `ids` (tokens,), `lengths` (rows,), and the id that pads
    a batch.
    """

    ids: Tensor
    lengths: Tensor
    pad_id: int

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` of shape (rows, longest of these rows)."""
        places, mask = self.places(rows)
        padded = torch.where(mask, self.ids[places], self.pad_id)
        return {"input_ids": padded.to(device), "attention_mask": mask.long().to(device)}

    def places(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return where these rows' tokens stand in `ids`, shape (rows, longest of these rows), and
        which are real.
        """
        lengths = self.lengths[rows]
        columns = torch.arange(int(lengths.max()))
        places = (self.starts[rows][:, None] + columns).clamp(max=len(self.ids) - 1)
        return places, columns < lengths[:, None]

    @cached_property
    def starts(self) -> Tensor:
        """Where each row begins in `ids`, shape (rows,)."""
        return self.lengths.cumsum(0) - self.lengths


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Encoded:
    """Tokenise each text once, cut at the tokenizer's `model_max_length`; nothing is padded.

    A text without tokens gets one, unknown: kernels of 4 bits end the process on none.
    """
    unknown = tokenizer.unk_token_id
    nothing = [int(tokenizer.pad_token_id if unknown is None else unknown)]
    ids: list[Tensor] = []
    lengths: list[int] = []
    for first in range(0, len(texts), ENCODE_CHUNK):
        chunk = list(texts[first : first + ENCODE_CHUNK])
        rows = [row or nothing for row in _rows(tokenizer, chunk)]
        ids.append(torch.tensor(list(chain.from_iterable(rows)), dtype=torch.long))
        lengths.extend(len(row) for row in rows)
    return Encoded(torch.cat(ids), torch.tensor(lengths), int(tokenizer.pad_token_id))


def _rows(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return each text's tokens; of a very long one only the beginning is read, if that is enough.

    All tokens of a beginning are also the whole's first: as many as count are the same.
    """
    read = beginnings(tokenizer, texts)
    rows: list[list[int]] = _tokens(tokenizer, read)
    for row, (text, begun) in enumerate(zip(texts, read, strict=True)):
        if len(begun) < len(text) and len(rows[row]) < tokenizer.model_max_length:
            rows[row] = _tokens(tokenizer, [text])[0]
    return rows


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, truncation=True, return_attention_mask=False)[
        "input_ids"
    ]
    return ids


def training_batches(
    lengths: Tensor, *, batch_size: int, generator: torch.Generator
) -> list[Tensor]:
    """Return row numbers in shuffled batches of like length; every row occurs once."""
    order = torch.randperm(len(lengths), generator=generator)
    batches: list[Tensor] = []
    blur = BLUR if len(lengths) < 4 * POOL_BATCHES * batch_size else 0
    for pool in order.split(POOL_BATCHES * batch_size):
        keys = lengths[pool] * (
            1 + blur * (2 * torch.rand(len(pool), generator=generator) - 1) if blur else 1
        )
        batches.extend(pool[keys.argsort(stable=True)].split(batch_size))
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def inference_batches(lengths: Tensor, *, tokens: int) -> Iterator[Tensor]:
    """Yield row numbers sorted by length, longest first, as many a batch as fit in `tokens` padded
    tokens.
    """
    order = lengths.argsort(descending=True, stable=True)
    first = 0
    while first < len(order):
        rows = max(1, tokens // max(1, int(lengths[order[first]])))
        yield order[first : first + rows]
        first += rows
