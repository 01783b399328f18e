"""A model that takes over another vocabulary: its embeddings begin as means of the former ones."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from minnow.errors import MinnowError
from minnow.models.anatomy import counted_from_padding
from minnow.student.vocabularies import Vocabulary


def mean_embeddings(old: Tensor, sources: Sequence[Sequence[int]]) -> Tensor:
    """Return for each list of ids the mean of those rows of `old`; shape (lists, width). One id
    gives an exact copy.
    """
    lengths = torch.tensor([len(ids) for ids in sources])
    flat = torch.tensor(list(chain.from_iterable(sources)))
    return F.embedding_bag(flat, old, lengths.cumsum(0) - lengths, mode="mean")


def check_adoptable(model: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Refuse a model that cannot take over another vocabulary: as `adopt` says."""
    embedding, config = model.get_input_embeddings(), model.config
    if not isinstance(embedding, nn.Embedding):
        raise MinnowError(
            f"{type(model).__name__} has no plain word embeddings: set student.vocabulary.method to"
            " keep"
        )
    padding = vocabulary.special.get(config.pad_token_id)
    if padding != config.pad_token_id and counted_from_padding(model) is not None:
        raise MinnowError(
            f"a {config.model_type!r} model counts positions from the id of its padding token,"
            f" {config.pad_token_id}, which would become {padding}: set student.vocabulary.method"
            " to keep"
        )


def adopt(model: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Give the model the embeddings for another vocabulary, in place, and its config the new ids of
    special tokens.

    Raises:
        MinnowError: the model has no plain word embeddings, or counts positions from the padding
            token's id and that id would become another one.
    """
    check_adoptable(model, vocabulary)
    embedding, config = model.get_input_embeddings(), model.config
    assert isinstance(embedding, nn.Embedding), "check_adoptable refuses others"
    padding = vocabulary.special.get(config.pad_token_id)
    with torch.no_grad():
        embedding.weight = nn.Parameter(mean_embeddings(embedding.weight, vocabulary.sources))
    embedding.num_embeddings, embedding.padding_idx = len(vocabulary.sources), padding
    config.vocab_size = len(vocabulary.sources)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(config, name, vocabulary.special.get(value))
