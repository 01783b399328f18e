"""Pretrained bases from the Hub or a folder, models built from their config, and tokenizers."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from minnow.errors import MinnowError, listed, nearest
from minnow.models import LABELS, classification_layer, from_config, name_labels
from minnow.params import BuildParams

# What ready-made classifiers call label 1. LABEL_1 is what transformers writes when nobody chose a name.
PHISHING_NAMES = {
    "phishing",
    "phish",
    "malicious",
    "malware",
    "bad",
    "unsafe",
    "not safe",
    "spam",
    "1",
    "label_1",
}
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model: `name` is a Hub id or a folder's path; `revision` only goes with an id."""

    name: str
    revision: str | None = None
    local: bool = False


def locate(base: str, revision: str | None, folder: Path) -> Checkpoint:
    """Tell a folder of the project from a Hub id.

    A folder is given relative to the project's root and lies in `folder` (data/base/<preset>), which DVC watches.

    Raises:
        MinnowError: the folder does not exist or lies elsewhere, or holds pickle weights only.
    """
    root = folder.parents[2]
    path = root / base
    watched = folder.relative_to(root).as_posix()
    if not path.is_dir():
        if base.startswith((".", "/", "data/")) or base.count("/") > 1:
            raise MinnowError(f"base model {base!r}: there is no such folder; put the model below {watched}/")
        if revision is None:
            warnings.warn(f"base model {base!r} has no pinned revision: its main branch is taken", stacklevel=2)
        return Checkpoint(base, revision)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise MinnowError(f"base model {base!r} lies outside {watched}/, which is what DVC watches; copy it there")
    if revision is not None:
        raise MinnowError(f"base model {base!r} is a folder and has no revisions: set its revision to null")
    if not any(path.glob("*.safetensors")):
        raise MinnowError(
            f"base model {base!r} holds no .safetensors weights; pickle weights (.bin, .pt) can run code when loaded and "
            "are refused: save the model anew with save_pretrained(...)"
        )
    return Checkpoint(str(path), local=True)


def load_tokenizer(checkpoint: Checkpoint, *, max_length: int) -> PreTrainedTokenizerBase:
    """Return the checkpoint's tokenizer, which cuts texts at `max_length` tokens.

    Raises:
        MinnowError: it cannot be reached, is missing, or has no padding token.
    """
    with _explained(checkpoint):
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.name, revision=checkpoint.revision or "main", trust_remote_code=False
        )
    if tokenizer.pad_token_id is None:
        raise MinnowError(f"the tokenizer of {checkpoint.name!r} has no padding token; Minnow takes BERT-like models")
    tokenizer.model_max_length = max_length
    return tokenizer


def load_classifier(checkpoint: Checkpoint, *, ready_made: bool = False) -> PreTrainedModel:
    """Return the checkpoint as a float32 classifier with two labels; a missing head is drawn from torch's generator.

    With `ready_made`, the head must be there.

    Raises:
        MinnowError: it cannot be reached, is no sequence classifier, has another number of labels, or lacks its head.
    """
    with _explained(checkpoint):
        config = AutoConfig.from_pretrained(
            checkpoint.name, revision=checkpoint.revision or "main", trust_remote_code=False
        )
    if config.model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise MinnowError(
            f"{checkpoint.name!r} is a {config.model_type!r} model, of which transformers makes no sequence classifier; "
            "take a BERT-like encoder"
        )
    has_head = any("SequenceClassification" in name for name in config.architectures or [])
    if has_head and config.num_labels != len(LABELS):
        raise MinnowError(
            f"{checkpoint.name!r} classifies into {config.num_labels} labels and Minnow needs {len(LABELS)}; take the "
            "model that it was fine-tuned from"
        )
    if not has_head:
        config.num_labels = len(LABELS)
    with _explained(checkpoint):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.name,
            revision=checkpoint.revision or "main",
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name]
    if body:
        raise MinnowError(
            f"{checkpoint.name!r} lacks weights of its own body ({listed(body, 3)}); its files are damaged"
        )
    if ready_made and missing:
        raise MinnowError(
            f"{checkpoint.name!r} has no trained classification head ({listed(missing, 3)} missing); fine-tune it with "
            "teacher.method: full or head"
        )
    return model


@contextmanager
def _explained(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn what transformers and the Hub's client raise about a checkpoint into one line with a way on."""
    try:
        yield
    except MinnowError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise MinnowError(_explanation(checkpoint, text)) from None


def _explanation(checkpoint: Checkpoint, text: str) -> str:
    name = checkpoint.name
    first = " ".join(text.split())[:200]
    at = f" at revision {checkpoint.revision}" if checkpoint.revision else ""
    if checkpoint.local:
        return f"base model folder {name!r} cannot be loaded ({first})"
    if "safetensors" in text and "does not appear to have" in text:
        return f"{name!r}{at} has no safetensors weights; pickle weights are refused, take a revision that has them"
    if any(word in text for word in ("not a valid model identifier", "Repository Not Found", "gated", "401", "404")):
        return (
            f"{name!r}{at} is not on the Hub or not open to you; check the id and the revision, or run `hf auth login`"
        )
    pinned = f" --revision {checkpoint.revision}" if checkpoint.revision else ""
    return (
        f"the Hugging Face Hub could not be reached for {name!r}{at} and it is not in the local cache; connect, or run "
        f"`hf download {name}{pinned}` where there is a network and copy ~/.cache/huggingface here (HF_HUB_OFFLINE=1 then "
        f"spares the attempt), or use a folder below data/base/"
    )


def build(shape: BuildParams, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a classifier of this shape for the tokenizer's texts, its weights drawn from torch's generator."""
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


def train_tokenizer(texts: Sequence[str], *, vocabulary: int, max_length: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on `texts`, with BERT's special tokens around each text.

    Byte-level, because tokenizers' WordPiece trainer gives another vocabulary in every process (tokenizers #1794).
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
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **SPECIAL_TOKENS)


def freeze_body(model: PreTrainedModel) -> None:
    """Leave only the pooler and the classification head to be trained, as the public notebook does."""
    for name, weight in model.base_model.named_parameters():
        weight.requires_grad = "pooler" in name.split(".")


def standardise_labels(model: PreTrainedModel, *, phishing_label: str | None) -> None:
    """Make label 0 `safe` and label 1 `phishing`, exchanging the head's two rows where the base had them otherwise.

    `phishing_label` is the base's own name for phishing; None goes by the usual names.

    Raises:
        MinnowError: the base's names do not tell which label is phishing.
    """
    names = {str(name): int(index) for index, name in model.config.id2label.items()}
    if phishing_index(names, phishing_label) == 0:
        head = classification_layer(model)
        with torch.no_grad():
            head.weight.copy_(head.weight.flip(0).clone())
            if head.bias is not None:
                head.bias.copy_(head.bias.flip(0).clone())
    name_labels(model.config)


def phishing_index(names: Mapping[str, int], phishing_label: str | None) -> int:
    """Return the index of the label that means phishing among `names` (name → index)."""
    if phishing_label is not None:
        if phishing_label not in names:
            raise MinnowError(
                f"teacher.phishing_label is {phishing_label!r}; the base's labels are {listed(names)}"
                f"{nearest(phishing_label, names)}"
            )
        return names[phishing_label]
    known = [index for name, index in names.items() if name.lower() in PHISHING_NAMES]
    if len(known) != 1:
        raise MinnowError(
            f"the base's labels are {listed(names)}: set teacher.phishing_label to the one that is phishing"
        )
    return known[0]


def check_length(model: PreTrainedModel, max_length: int) -> None:
    """Refuse texts longer than the model has positions for."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        raise MinnowError(f"max_length is {max_length}, but the model has {positions} positions; lower max_length")
