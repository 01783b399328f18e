"""Base models and their tokenizers, from the Hub or a folder."""

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from minnow.core import hub
from minnow.errors import MemoryShortage, MinnowError, is_out_of_memory, listed, reason
from minnow.models.anatomy import check_kind
from minnow.models.declared import shape_of_config
from minnow.models.enclosed import (
    WEIGHTS,
    check_complete,
    enclosed,
    library_errors,
    model_files,
)
from minnow.models.fidelity import (
    check_all_used,
    check_numbers,
    check_one_part,
    check_own_code,
    check_positions,
    check_sizes,
    check_types,
    has_head,
)
from minnow.models.heads import LABELS, name_labels

# Letters of many kinds, of which a vocabulary may lack some, and a tokenizer an unknown token.
ANY_TEXT = "a0%/\u00e9\u0436\u05d0\u4e2d\u0e01\U0001f600\x01"
# What peft writes. transformers would apply such an adapter without a word.
ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}
# How a model is run, which changes none of its logits: every base is run alike. With attentions in
# the output, transformers could not save what was trained.
RUN_ALIKE: dict[str, bool | int] = {
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "chunk_size_feed_forward": 0,
}
# What transformers turns into a tokenizer.json with the package sentencepiece alone.
OF_SENTENCEPIECE = {"spiece.model", "spm.model", "sentencepiece.bpe.model", "sentencepiece.model"}


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model in a folder; `name` is what params.yaml calls it, `commit` is the
    Hub's.
    """

    name: str
    folder: Path
    commit: str | None = None

    @property
    def facts(self) -> dict[str, str | None]:
        """What a model made from it says about its origin."""
        return {"base": self.name, "commit": self.commit}


def locate(base: str, revision: str | None, folder: Path) -> Checkpoint:
    """Find a base model: a folder of the project, or a model on the Hub, downloaded or from the
    cache.

    A folder is given relative to the project's root and lies in `folder` (data/base/<preset>),
    which DVC watches.

    Raises:
        MinnowError: there is no such folder, it lies elsewhere, the Hub cannot be reached and the
            cache lacks the model, or there are pickle weights only.
    """
    root = folder.parents[2]
    path = root / base
    watched = folder.relative_to(root).as_posix()
    if path.is_dir():
        if Path(base).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
            raise MinnowError(
                f"base model {base!r} lies outside {watched}/, which is what DVC watches: copy it"
                " there and give its path from the project's root"
            )
        if revision is not None:
            raise MinnowError(
                f"base model {base!r} is a folder and has no revisions: set its revision to null"
            )
        checkpoint = Checkpoint(base, path)
    elif base.startswith((".", "/", "~", "data/")) or base.count("/") > 1:
        raise MinnowError(
            f"base model {base!r}: there is no such folder; put the model below {watched}/, and"
            " `dvc add` it where a temporary experiment is to see it"
        )
    else:
        snapshot = hub.snapshot(hub.MODEL, base, revision)
        checkpoint = Checkpoint(base, snapshot, commit=snapshot.name)
    check_base(checkpoint)
    return checkpoint


def check_base(checkpoint: Checkpoint) -> None:
    """Refuse a base by what files it has: a peft adapter, alone or beside weights, or pickles.

    Raises:
        MinnowError: says which it is, and what to do.
    """
    name, present = checkpoint.name, {file.name for file in checkpoint.folder.iterdir()}
    whole = {file for file in present if WEIGHTS.fullmatch(file)}
    if present & ADAPTER_FILES:
        beside = "has a PEFT adapter beside its weights" if whole else "is a PEFT adapter alone"
        otherwise = f", or remove {listed(sorted(present & ADAPTER_FILES))}" if whole else ""
        raise MinnowError(
            f"base model {name!r} {beside}, which Minnow does not apply: merge it into its base"
            f" with peft (merge_and_unload, then save_pretrained) and give that folder{otherwise}"
        )
    if not whole:
        raise MinnowError(
            f"base model {name!r} has no .safetensors weights here; pickle weights (.bin, .pt) can"
            " run code when loaded and are refused: take a revision that has them, or save the"
            " model anew with save_pretrained(...)"
        )


def base_tokenizer(checkpoint: Checkpoint, *, max_length: int) -> PreTrainedTokenizerBase:
    """Return the checkpoint's tokenizer, which cuts texts at `max_length` tokens and pads them,
    both at the end.

    Where it has no padding token, as many decoders', the token that ends a text takes its place.

    Raises:
        MinnowError: it is missing, damaged, or has neither of these tokens.
    """
    _check_format(checkpoint)
    with _readable(checkpoint) as inner:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            inner, local_files_only=True, trust_remote_code=False
        )
        tokenizer.chat_template = None  # for talks; an odd one cannot be saved
        tokenizer.init_kwargs.pop("chat_template", None)
    check_own_code(checkpoint.name, tokenizer.init_kwargs.get("auto_map"))
    # Without a vocabulary transformers makes up one of a few special tokens.
    files = sorted(set(tokenizer.vocab_files_names.values()) | {"tokenizer.json"})
    if not any((checkpoint.folder / file).is_file() for file in files):
        raise MinnowError(
            f"base model {checkpoint.name!r} has no tokenizer ({listed(files)}); save its tokenizer"
            " beside it with save_pretrained(...)"
        )
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise MinnowError(
                f"the tokenizer of base model {checkpoint.name!r} has no padding token and none"
                " that ends a text; set one, or take a BERT-like encoder"
            )
        tokenizer.pad_token = tokenizer.eos_token
    for side in ("padding_side", "truncation_side"):
        if getattr(tokenizer, side) != "right":
            setattr(tokenizer, side, "right")
    tokenizer.model_max_length = max_length
    _check_tokenizer(checkpoint, tokenizer)
    return tokenizer


def _check_format(checkpoint: Checkpoint) -> None:
    """Refuse a tokenizer that only a package which is not here can read; transformers would ask for
    another package.
    """
    present = {file.name for file in checkpoint.folder.iterdir()}
    found = sorted(present & OF_SENTENCEPIECE)
    others = present & {"tokenizer.json", "vocab.txt", "vocab.json"}
    if found and not others and not importlib.util.find_spec("sentencepiece"):
        raise MinnowError(
            f"base model {checkpoint.name!r} has its tokenizer as {found[0]} alone, which Minnow"
            " does not read; take a revision with tokenizer.json, or make one with transformers"
            " and sentencepiece: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )


def _check_tokenizer(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that some text, or saving it, would stop in mid-training."""
    said = f"the tokenizer of base model {checkpoint.name!r} cannot"
    with library_errors(f"{said} read every text", "give it an unknown token, or take another"):
        tokenizer([ANY_TEXT], truncation=True)
    with (
        library_errors(f"{said} be saved", "mend its tokenizer_config.json, or take another"),
        tempfile.TemporaryDirectory() as folder,
    ):
        tokenizer.save_pretrained(folder)


def classifier_config(checkpoint: Checkpoint) -> PreTrainedConfig:
    """Return the config of the checkpoint as a classifier with two labels.

    Raises:
        MinnowError: it is damaged, is no sequence classifier, or has another number of labels.
    """
    with _readable(checkpoint) as inner:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            inner, local_files_only=True, trust_remote_code=False
        )
        check_numbers(checkpoint.name, inner)
        _check_config(checkpoint.name, config)
        config.update(RUN_ALIKE)
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
    return config


def _check_config(name: str, config: PreTrainedConfig) -> None:
    """Refuse a config that is of no classifier into two labels, or that speaks of one which would
    compute something else here; let one without a head have two labels.
    """
    check_types(name, config)
    check_kind(config.model_type, f"base model {name!r}")
    check_own_code(name, getattr(config, "auto_map", None))
    check_positions(name, config)
    if getattr(config, "quantization_config", None) is not None:
        raise MinnowError(
            f"base model {name!r} is quantized already; take the one that it was made from"
        )
    if (
        config.model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
        or config.is_encoder_decoder
    ):
        raise MinnowError(
            f"base model {name!r} is a {config.model_type!r} model, of which Minnow makes no"
            " classifier; take a BERT-like encoder"
        )
    check_one_part(name, config)
    if not has_head(config):
        config.num_labels = len(LABELS)
    elif config.num_labels != len(LABELS):
        raise MinnowError(
            f"base model {name!r} classifies into {config.num_labels} labels and Minnow needs"
            f" {len(LABELS)}; take the model that it was fine-tuned from"
        )


def check_has_head(checkpoint: Checkpoint, config: PreTrainedConfig) -> None:
    """Refuse a base whose config says that it is a body alone, where its head is to be taken over.

    Raises:
        MinnowError: it has no head.
    """
    if not has_head(config):
        raise MinnowError(
            f"base model {checkpoint.name!r} has no trained classification head; fine-tune it with"
            " teacher.method: full or head"
        )


def load_classifier(
    checkpoint: Checkpoint, *, ready_made: bool = False, **options: Any
) -> PreTrainedModel:
    """Return the checkpoint as a classifier with two labels, float32 unless `options` for
    transformers say otherwise.

    A missing head is drawn from torch's generator, and its labels are Minnow's; with `ready_made`
    it must be there.

    Raises:
        MinnowError: it is damaged, is no sequence classifier, has another number of labels, or
        lacks its head.
    """
    name = checkpoint.name
    config = classifier_config(checkpoint)
    with _readable(checkpoint) as inner:
        check_complete(checkpoint.folder, model_files(checkpoint.folder))
        shape_of_config(config, inner)
        loaded = AutoModelForSequenceClassification.from_pretrained(
            inner,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # of another task's head; others are refused below
            **{"dtype": torch.float32, **options},
        )
    model: PreTrainedModel = loaded[0]
    other_sizes = {weight for weight, *_ in loaded[1]["mismatched_keys"]}
    check_sizes(name, model, other_sizes)
    missing: list[str] = sorted({*loaded[1]["missing_keys"]} | other_sizes)
    check_all_used(name, model, loaded[1]["unexpected_keys"], checkpoint.folder)
    prefix = f"{model.base_model_prefix}."
    body = [weight for weight in missing if weight.startswith(prefix) and ".pooler." not in weight]
    if body:
        raise MinnowError(
            f"base model {name!r} lacks weights of its own body ({listed(body, 3)}): its files are"
            " damaged; get them anew"
        )
    if ready_made and missing:
        raise MinnowError(
            f"base model {name!r} has no trained classification head ({listed(missing, 3)}"
            " missing); fine-tune it with teacher.method: full or head"
        )
    if any(not weight.startswith(prefix) for weight in missing):
        name_labels(model.config)
    return model


@contextmanager
def _memory_told(checkpoint: Checkpoint) -> Iterator[None]:
    """Say what a checkpoint takes where memory runs out while it is read."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        size = sum(file.stat().st_size for file in checkpoint.folder.glob("*.safetensors"))
        raise MemoryShortage(
            f"base model {checkpoint.name!r} takes {size / 1e6:,.0f} MB for its weights alone,"
            " training them about five times that"
        ) from error


@contextmanager
def _readable(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield what the libraries may read of a checkpoint, and turn what they say of it into one
    line.
    """
    said = f"base model {checkpoint.name!r} cannot be loaded"
    try:
        with (
            library_errors(said, "check its files or get them anew"),
            enclosed(checkpoint.folder) as inner,
            _memory_told(checkpoint),
        ):
            yield inner
    except ImportError as error:
        raise MinnowError(
            f"{said} ({reason(error)}); `make install` installs what is missing, or take another"
        ) from None
