"""BERT as DistilBERT."""

import re

from transformers import DistilBertConfig, PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError
from minnow.models.anatomy import BERT, DISTILBERT
from minnow.models.heads import from_config, name_labels


def as_architecture(teacher: PreTrainedModel, architecture: str | None) -> PreTrainedModel:
    """Return the teacher in another architecture with the same body; None and its own return it as
    it is.

    Raises:
        MinnowError: only BERT can be turned, and only into DistilBERT.
    """
    if architecture in (None, teacher.config.model_type):
        return teacher
    if architecture == "distilbert":
        return bert_to_distilbert(teacher)
    raise MinnowError(
        f"student.architecture is {architecture!r} and the teacher's is"
        f" {teacher.config.model_type!r}: layers can be copied from BERT to DistilBERT only; set it"
        " to null"
    )


# DistilBERT writes it into its code, where BERT's stands in the config.
LAYER_NORM_EPS = 1e-12


def bert_to_distilbert(bert: PreTrainedModel) -> PreTrainedModel:
    """Return a DistilBERT whose body computes what this BERT's body does; its head is drawn anew.

    DistilBERT has no segment embeddings: that of segment 0 is added to every position. It has no
    pooler either.

    Raises:
        MinnowError: the model is no BERT, or not one that DistilBERT can express.
    """
    check_expressible(bert.config)
    config = distilbert_config(bert.config)
    name_labels(config)
    student = from_config(config)
    state = bert.state_dict()
    segment = state["bert.embeddings.token_type_embeddings.weight"][0]
    state["bert.embeddings.position_embeddings.weight"] = (
        state["bert.embeddings.position_embeddings.weight"] + segment
    )
    body = {in_distilbert(name): tensor for name, tensor in state.items()}
    fresh = student.state_dict()
    copied = {name: body[name] for name in fresh if name.startswith("distilbert.")}
    student.load_state_dict(fresh | copied)
    return student


def check_expressible(source: PreTrainedConfig) -> None:
    """Refuse what DistilBERT cannot express."""
    if source.model_type != "bert":
        raise MinnowError(
            f"student.architecture 'distilbert' takes a BERT, not a {source.model_type!r}; set it"
            " to null"
        )
    if source.hidden_act != "gelu" or source.layer_norm_eps != LAYER_NORM_EPS or source.is_decoder:
        raise MinnowError(
            f"DistilBERT is an encoder with gelu and layer_norm_eps {LAYER_NORM_EPS:g}, and the"
            f" teacher is not ({source.hidden_act}, {source.layer_norm_eps:g}): set"
            " student.architecture to null to keep the teacher's"
        )


def distilbert_config(source: PreTrainedConfig) -> DistilBertConfig:
    """Return the config of a DistilBERT of a BERT's shape."""
    return DistilBertConfig(
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
    )


def in_distilbert(name: str) -> str:
    """Return what DistilBERT calls a weight of BERT's body; other names stay."""
    layers = f"bert.{BERT.layers}."
    if not name.startswith(layers):
        return re.sub(r"^bert\.", "distilbert.", name)
    number, _, weight = name.removeprefix(layers).partition(".")
    part, _, kind = weight.rpartition(".")
    parts = dict(zip(BERT.of_layer, DISTILBERT.of_layer, strict=True))
    return f"distilbert.{DISTILBERT.layers}.{number}.{parts[part]}.{kind}"
