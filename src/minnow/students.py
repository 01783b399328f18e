"""Students: a teacher or a checkpoint with fewer layers, as BERT or as DistilBERT."""

import copy
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor
from transformers import DistilBertConfig, PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError, listed
from minnow.models import LABELS, from_config, name_labels

# The number of a layer in a weight's name, in the ways that transformers' encoders spell it.
LAYER = re.compile(r"^(?P<before>.*?\b(?:layers?|h|block)\.)(?P<number>\d+)(?P<after>\..*)$")


def shrink(
    source: PreTrainedModel,
    *,
    layers: int,
    heads: int | None,
    copy_layers: Sequence[int] | None,
    dropout: float | None,
) -> PreTrainedModel:
    """Return a classifier like `source` with fewer layers, each a copy of one of the source's.

    `copy_layers` names the source's layers, counted from 0; None takes evenly spaced ones with the first and the last.
    `heads` None keeps the number of heads. Another number that divides the width re-cuts the same columns into other
    heads: it warns, since what the heads had learned is scrambled until training repairs it. `dropout` None keeps the
    source's rates.

    Raises:
        MinnowError: more layers than there are, a layer that does not exist, or heads that do not divide the width.
    """
    total = int(source.config.num_hidden_layers)
    chosen = chosen_layers(layers, total, copy_layers)
    config = copy.deepcopy(source.config)
    config.num_hidden_layers = layers
    if heads is not None and heads != config.num_attention_heads:
        check_heads(heads, config.hidden_size)
        warnings.warn(
            f"student.heads is {heads} and the copied layers were trained with {config.num_attention_heads}: their columns "
            "are cut into other heads, which only distillation repairs",
            stacklevel=2,
        )
        config.num_attention_heads = heads
    if dropout is not None:
        set_dropout(config, dropout)
    student = from_config(config)
    student.load_state_dict(renumbered(source.state_dict(), chosen))
    return student


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout rate that the config has a number for."""
    for name, value in config.to_dict().items():
        if "dropout" in name and isinstance(value, float):
            setattr(config, name, dropout)


def chosen_layers(layers: int, total: int, copy_layers: Sequence[int] | None) -> list[int]:
    """Return which of `total` layers a student of `layers` copies."""
    if layers > total:
        raise MinnowError(f"student.layers is {layers}, but its source has only {total}; set it to {total} or fewer")
    if copy_layers is None:
        return [int(number) for number in np.linspace(0, total - 1, layers).round()] if layers > 1 else [total - 1]
    outside = [number for number in copy_layers if not 0 <= number < total]
    if outside:
        raise MinnowError(f"student.copy_layers names layer {listed(outside)}; the source has layers 0 to {total - 1}")
    return list(copy_layers)


def check_heads(heads: int, width: int) -> None:
    """Refuse a number of heads that does not divide the width."""
    if width % heads:
        allowed = [number for number in range(1, width + 1) if width % number == 0 and width // number >= 16]
        raise MinnowError(f"heads is {heads}, which does not divide the width {width}; allowed: {listed(allowed, 20)}")


def renumbered(state: Mapping[str, Tensor], chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return a state dict whose layer i is layer chosen[i] of `state`; what is in no layer stays."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = LAYER.match(name)
        if match is None:
            result[name] = tensor
            continue
        for new, old in enumerate(chosen):
            if int(match["number"]) == old:
                result[f"{match['before']}{new}{match['after']}"] = tensor
    return result


def as_architecture(teacher: PreTrainedModel, architecture: str | None) -> PreTrainedModel:
    """Return the teacher in another architecture with the same body; None and its own return it as it is.

    Raises:
        MinnowError: only BERT can be turned, and only into DistilBERT.
    """
    if architecture in (None, teacher.config.model_type):
        return teacher
    if architecture == "distilbert":
        return bert_to_distilbert(teacher)
    raise MinnowError(
        f"student.architecture is {architecture!r} and the teacher's is {teacher.config.model_type!r}: layers can be copied "
        "from BERT to DistilBERT only; set it to null"
    )


BERT_TO_DISTILBERT = (
    (r"^bert\.embeddings\.", "distilbert.embeddings."),
    (r"^bert\.encoder\.layer\.", "distilbert.transformer.layer."),
    (r"attention\.self\.(query|key|value)\.", lambda m: f"attention.{m[1][0]}_lin."),
    (r"attention\.output\.dense\.", "attention.out_lin."),
    (r"attention\.output\.LayerNorm\.", "sa_layer_norm."),
    (r"intermediate\.dense\.", "ffn.lin1."),
    (r"(layer\.\d+\.)output\.dense\.", r"\1ffn.lin2."),
    (r"(layer\.\d+\.)output\.LayerNorm\.", r"\1output_layer_norm."),
)


def bert_to_distilbert(bert: PreTrainedModel) -> PreTrainedModel:
    """Return a DistilBERT whose body computes what this BERT's body does; its head is drawn anew.

    DistilBERT has no segment embeddings: that of segment 0 is added to every position. It has no pooler either.

    Raises:
        MinnowError: the model is no BERT, or not one that DistilBERT can express.
    """
    source = bert.config
    if source.model_type != "bert" or source.hidden_act != "gelu":
        raise MinnowError(
            f"student.architecture 'distilbert' can only copy the layers of a BERT with gelu, not of {source.model_type!r}; "
            "set it to null to keep the teacher's architecture"
        )
    config = DistilBertConfig(
        vocab_size=source.vocab_size,
        n_layers=source.num_hidden_layers,
        n_heads=source.num_attention_heads,
        dim=source.hidden_size,
        hidden_dim=source.intermediate_size,
        max_position_embeddings=source.max_position_embeddings,
        dropout=source.hidden_dropout_prob,
        attention_dropout=source.attention_probs_dropout_prob,
        seq_classif_dropout=source.hidden_dropout_prob,
        pad_token_id=source.pad_token_id,
        num_labels=len(LABELS),
    )
    name_labels(config)
    student = from_config(config)
    state = bert.state_dict()
    segment = state["bert.embeddings.token_type_embeddings.weight"][0]
    state["bert.embeddings.position_embeddings.weight"] = state["bert.embeddings.position_embeddings.weight"] + segment
    body = {_renamed(name): tensor for name, tensor in state.items()}
    wanted = student.state_dict()
    copied = {name: body[name] for name in wanted if name.startswith("distilbert.")}
    student.load_state_dict(wanted | copied)
    return student


def _renamed(name: str) -> str:
    for pattern, replacement in BERT_TO_DISTILBERT:
        name = re.sub(pattern, replacement, name)  # type: ignore[call-overload]
    return name
