"""Models and tokenizers without pretrained weights."""

from collections.abc import Sequence

from transformers import (
    BertConfig,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from minnow.models.heads import LABELS, from_config, name_labels
from minnow.models.params import BuildParams

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def build(shape: BuildParams, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a classifier of this shape for the tokenizer's texts, its weights drawn from torch's
    generator.
    """
    common = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "pad_token_id": tokenizer.pad_token_id,
        "num_labels": len(LABELS),
    }
    config: PreTrainedConfig
    if shape.architecture == "bert":
        config = BertConfig(
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=shape.dropout,
            **common,
        )
    else:
        config = DistilBertConfig(
            n_layers=shape.layers,
            n_heads=shape.heads,
            dim=shape.hidden_size,
            hidden_dim=shape.intermediate_size,
            dropout=shape.dropout,
            attention_dropout=shape.dropout,
            seq_classif_dropout=shape.dropout,
            **common,
        )
    name_labels(config)
    return from_config(config)


def train_tokenizer(
    texts: Sequence[str], *, vocabulary: int, max_length: int
) -> PreTrainedTokenizerBase:
    """Return a byte-level BPE tokenizer trained on `texts`, with BERT's special tokens around each
    text.

    Byte-level, because tokenizers' WordPiece trainer gives another vocabulary in every process
    (tokenizers #1794).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    cls, sep = (tokenizer.token_to_id(SPECIAL_TOKENS[name]) for name in ("cls_token", "sep_token"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, **SPECIAL_TOKENS
    )
