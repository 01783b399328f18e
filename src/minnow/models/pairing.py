"""A model and a tokenizer that belong together: padding, lengths, tokens."""

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GenericForSequenceClassification

from minnow.errors import MinnowError
from minnow.models.anatomy import longest_text, rescaled_beyond


def agree_on_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Tell the model the tokenizer's padding token where it does not know one, or finds the end of
    a text by it.

    Decoders classify by the last token that is not padding; with another idea of padding they would
    classify by that.
    """
    config = model.config
    if config.pad_token_id is None or isinstance(model, GenericForSequenceClassification):
        config.pad_token_id = tokenizer.pad_token_id


def check_fits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, whose: str) -> None:
    """Refuse texts longer than the model has positions for, and tokens that it has no embedding
    for.

    `whose` max_length the tokenizer cuts at, teacher or student.
    """
    length, positions = int(tokenizer.model_max_length), longest_text(model)
    if positions is not None and length > positions:
        raise MinnowError(
            f"{whose}.max_length is {length}, but the model that it starts from has {positions}"
            f" positions; set it to {positions} or less"
        )
    if (rescaled := rescaled_beyond(model.config)) and length > rescaled[1]:
        raise MinnowError(
            f"{whose}.max_length is {length}, but the model that it starts from scales its"
            f" positions ({rescaled[0]}) by the longest text of a batch where one has more than"
            f" {rescaled[1]} tokens; set it to {rescaled[1]} or less"
        )
    rows, needed = embedded_tokens(model), highest_token(tokenizer) + 1
    if needed > rows:
        raise MinnowError(
            f"the tokenizer has {needed} tokens and the model embeds {rows}: they do not"
            " belong together; save both from the same checkpoint"
        )


def embedded_tokens(model: PreTrainedModel) -> int:
    """Return how many tokens a model has an embedding for."""
    table: Any = model.get_input_embeddings()
    rows = getattr(table, "num_embeddings", None) or getattr(model.config, "vocab_size", None)
    if type(rows) is not int:
        raise MinnowError(
            f"a {model.config.model_type!r} model has no word embeddings; take a BERT-like encoder"
        )
    return rows


def highest_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the highest id that a tokenizer may give; ids may have gaps."""
    known = max(tokenizer.get_vocab().values(), default=0)
    return max(known, len(tokenizer) - 1, tokenizer.pad_token_id or 0)
