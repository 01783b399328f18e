"""Which of one tokenizer's tokens stand for which of another's: by the characters of the text that
they cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from minnow.errors import MinnowError
from minnow.models.batching import ENCODE_CHUNK, Encoded, encode


@dataclass(frozen=True)
class Tokens:
    """Tokenised texts, and the characters [begin, end) that each token covers: `spans` (tokens, 2),
    end to end.

    The k-th special token around a text covers [−2k − 2, −2k − 1): those match in their order, and
    nothing else.
    """

    encoded: Encoded
    spans: Tensor

    def batch(self, rows: Tensor) -> Tensor:
        """Return spans of shape (rows, longest of these rows, 2); padding covers nothing."""
        places, mask = self.encoded.places(rows)
        return self.spans[places] * mask[..., None]


def tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tokens:
    """Tokenise each text, cut at the tokenizer's `model_max_length`.

    Raises:
        MinnowError: the tokenizer does not tell which characters a token covers.
    """
    check_spans(tokenizer)
    spans: list[Tensor] = []
    for first in range(0, len(texts), ENCODE_CHUNK):
        spans.append(_spans(tokenizer, list(texts[first : first + ENCODE_CHUNK])))
    return Tokens(encode(tokenizer, texts), torch.cat(spans))


def check_spans(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not tell which characters a token covers."""
    if not tokenizer.is_fast:
        raise MinnowError(
            f"{type(tokenizer).__name__} does not tell which characters its tokens cover, which"
            " distill's hidden, attention and relation terms need; take a model with a"
            " tokenizer.json, or set their weights to 0"
        )


def _spans(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """Return the spans of the texts' tokens, end to end; shape (tokens, 2)."""
    rows: Any = tokenizer(
        texts,
        truncation=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
    )
    spans = np.fromiter(
        chain.from_iterable(chain.from_iterable(rows["offset_mapping"])), dtype=np.int64
    ).reshape(-1, 2)
    special = np.fromiter(chain.from_iterable(rows["special_tokens_mask"]), dtype=bool)
    # How many special tokens of the same text stand before each one.
    lengths = [len(row) for row in rows["input_ids"]]
    before = special.cumsum() - special
    number = before - np.repeat(before[np.cumsum([0, *lengths[:-1]])], lengths)
    spans[special] = np.stack([-2 * number - 2, -2 * number - 1], axis=1)[special]
    return torch.from_numpy(spans)


def same_spans(student: Tokens, teacher: Tokens) -> bool:
    """Say whether both cut all texts at the same characters, so that tokens match one to one."""
    return torch.equal(student.encoded.lengths, teacher.encoded.lengths) and torch.equal(
        student.spans, teacher.spans
    )


def matrix(student_spans: Tensor, teacher_spans: Tensor) -> Tensor:
    """Return how much each teacher's token counts for each student's token, (batch, student tokens,
    teacher tokens).

    Spans have shape (batch, tokens, 2). A weight is the share that the teacher's token has of all
    characters that the student's token has in common with any of the teacher's. So a row sums to 1,
    or to 0 where there is no such character, as behind the place where the teacher's text was cut
    off. In float32.
    """
    (begin, end), (their_begin, their_end) = (
        (student_spans[..., :, None, 0], student_spans[..., :, None, 1]),
        (teacher_spans[..., None, :, 0], teacher_spans[..., None, :, 1]),
    )
    overlap = (
        (torch.minimum(end, their_end) - torch.maximum(begin, their_begin)).clamp(min=0).float()
    )
    return overlap / overlap.sum(dim=-1, keepdim=True).clamp(min=1)
