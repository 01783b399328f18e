"""Whether transformers computes what a base's files say.

What it does not know it leaves out, and numbers of other kinds it casts, without a word to anybody.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError, listed, shortened
from minnow.models.declared import stored_tensors

# What weights are: floats that float32 holds.
FLOATS = {"F64", "F32", "F16", "BF16"}
# Tables that architectures make by themselves, and older versions saved.
MADE_ANEW = re.compile(
    r"(^|\.)(position_ids|token_type_ids|inv_freq|original_inv_freq|num_batches_tracked"
    r"|masked_bias|(attn|attention)\.bias)$"
)
# What pretraining and other tasks put on top of a body; poolers, too, come and go with the task.
HEAD = re.compile(
    r"(cls|nsp|lm_head|embed_out|predictions|\w+_predictions|generator_lm_head|vocab_\w+"
    r"|pred_layer|sop_classifier|classifier|pre_classifier|score|qa_outputs|pooler|\w+_pooler"
    r"|contact_head|logits_proj|sequence_summary)\."
)
# "sans_pos" is what the configs of mmBERT and Ettin say of no table beside rotary positions.
ABSOLUTE, ROTARY = {"absolute", None}, {"rotary", "rope", "sans_pos"}


def check_types(name: str, config: PreTrainedConfig) -> None:
    """Refuse values of config.json that transformers takes and nobody can use.

    Raises:
        MinnowError: names one.
    """
    labels = getattr(config, "id2label", None)
    sound = {
        "architectures": _is_list_of(str, getattr(config, "architectures", None) or []),
        "id2label": isinstance(labels, dict) and _is_list_of(str, [*labels.values()]),
        "pad_token_id": _is_list_of(int, [getattr(config, "pad_token_id", None) or 0]),
    }
    for key in sorted(key for key in sound if not sound[key]):
        raise MinnowError(
            f"base model {name!r}: {key} in its config.json is"
            f" {shortened(repr(getattr(config, key, None)))}, which is of a wrong type; correct it,"
            " or get the model anew"
        )


def _is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list | tuple) and all(type(value) is kind for value in values)


def check_one_part(name: str, config: PreTrainedConfig) -> None:
    """Refuse a model of several parts, such as one for pictures and one for text, or of blocks:
    layers and padding of such are nowhere told.

    Raises:
        MinnowError: says which kind it is.
    """
    counted = type(getattr(config, "num_hidden_layers", None)) is int
    if not counted or not hasattr(config, "pad_token_id"):
        raise MinnowError(
            f"base model {name!r} is a {config.model_type!r} model, made of several parts or"
            " blocks: its config.json counts no layers of its own (num_hidden_layers), so Minnow"
            " cannot copy them; take a model for text alone, such as BERT or RoBERTa"
        )


def check_own_code(name: str, auto_map: Any) -> None:
    """Refuse a base that names classes of its own, which nobody runs here: transformers' may
    compute something else.

    Raises:
        MinnowError: names one of them.
    """
    named = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
    classes = [part for value in named for part in (value if isinstance(value, list) else [value])]
    if found := [shortened(str(part)) for part in classes if part is not None]:
        raise MinnowError(
            f"base model {name!r} brings code of its own (auto_map: {listed(found, 1)}), which"
            " Minnow never runs, and transformers' own may compute something else; take a model"
            " that transformers knows"
        )


def check_positions(name: str, config: PreTrainedConfig) -> None:
    """Refuse a kind of positions that this transformers does not compute for the architecture.

    Raises:
        MinnowError: names it.
    """
    kind = getattr(config, "position_embedding_type", None)
    rotates = config.model_type == "esm" or getattr(config, "rope_parameters", None) is not None
    if kind not in [*ABSOLUTE, *(ROTARY if rotates else ())]:
        raise MinnowError(
            f"base model {name!r} has position_embedding_type {shortened(str(kind))!r}, which this"
            f" transformers does not compute for a {config.model_type!r} model; take one with"
            " absolute positions"
        )


def check_numbers(name: str, folder: Path) -> None:
    """Refuse weights that are packed or quantized: cast to floats they mean something else.

    Raises:
        MinnowError: names one, and its type.
    """
    for tensor in stored_tensors(folder):
        if tensor.dtype not in FLOATS and not MADE_ANEW.search(tensor.name):
            raise MinnowError(
                f"base model {name!r} holds {shortened(tensor.name)} as {tensor.dtype}, a type of"
                " quantized weights; take the model that it was made from, in float32, float16 or"
                " bfloat16"
            )


def has_head(config: PreTrainedConfig) -> bool:
    """Say whether a config is of a sequence classifier with its head."""
    return any("SequenceClassification" in kind for kind in config.architectures or [])


def check_sizes(name: str, model: PreTrainedModel, other_sizes: Iterable[str]) -> None:
    """Refuse weights that have other sizes than config.json says; only another task's head, which
    a new one replaces, may have them.

    Raises:
        MinnowError: names them.
    """
    prefix = "" if has_head(model.config) else f"{model.base_model_prefix}."
    if wrong := sorted(weight for weight in other_sizes if weight.startswith(prefix)):
        raise MinnowError(
            f"base model {name!r} holds {listed(map(shortened, wrong), 2)} in other sizes than its"
            " config.json says: they do not belong together; get both anew"
        )


def check_all_used(
    name: str, model: PreTrainedModel, unexpected: Iterable[str], folder: Path
) -> None:
    """Refuse a base whose body has weights that transformers found no place for.

    Heads of other tasks may be left out, and what architectures make by themselves. A body without
    a prefix before its names is a body in whole.

    Raises:
        MinnowError: names them.
    """
    prefix = f"{model.base_model_prefix}."
    parts = {child for child, _ in model.base_model.named_children()}
    bare = not any(tensor.name.startswith(prefix) for tensor in stored_tensors(folder))
    left = [
        weight
        for weight in sorted(unexpected)
        if (bare or weight.startswith(prefix) or weight.partition(".")[0] in parts)
        and not MADE_ANEW.search(weight)
        and not HEAD.match(weight.removeprefix(prefix))
    ]
    if left:
        raise MinnowError(
            f"base model {name!r} has weights that a {model.config.model_type!r} model of its"
            f" config.json has no place for ({listed(map(shortened, left), 2)}): without them it"
            " computes something else; take a model that transformers knows"
        )
