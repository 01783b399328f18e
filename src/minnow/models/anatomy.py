"""What BERT-like architectures call their parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from minnow.errors import MinnowError, listed


@dataclass(frozen=True)
class Parts:
    """What an architecture calls the parts of a layer, and where its layers and the head's hidden
    layer stand.
    """

    layers: str
    query: str
    key: str
    value: str
    context: str  # takes the heads' outputs back to the stream
    attended: str  # the LayerNorm behind that
    up: str
    down: str
    normed: str  # the LayerNorm behind the feed-forward layers
    hidden: str  # below the whole classifier; what the classification layer reads


def _like_bert(hidden: str) -> Parts:
    return Parts(
        layers="encoder.layer",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        context="attention.output.dense",
        attended="attention.output.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        normed="output.LayerNorm",
        hidden=hidden,
    )


PARTS = {
    "bert": _like_bert("bert.pooler.dense"),
    "roberta": _like_bert("classifier.dense"),
    "distilbert": Parts(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        context="attention.out_lin",
        attended="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        normed="output_layer_norm",
        hidden="pre_classifier",
    ),
}


def parts_of(model: PreTrainedModel) -> Parts:
    """Return what the model's architecture calls its parts.

    Raises:
        MinnowError: an architecture that is not known here.
    """
    kind = model.config.model_type
    if kind not in PARTS:
        raise MinnowError(
            f"a {kind!r} model cannot be made narrower, only {listed(PARTS)}: set"
            " student.hidden_size, intermediate_size and narrowing to null, or take init: scratch"
        )
    return PARTS[kind]


def layer_part(model: PreTrainedModel, layer: int, name: str) -> Any:
    return model.base_model.get_submodule(f"{parts_of(model).layers}.{layer}.{name}")


def layer_norms(model: PreTrainedModel, layers: Sequence[int]) -> list[Any]:
    """Return the LayerNorm of each place."""
    parts = parts_of(model)
    of_layers = (
        [layer_part(model, layer, name) for name in (parts.attended, parts.normed)]
        for layer in layers
    )
    return [model.base_model.get_submodule("embeddings.LayerNorm"), *chain.from_iterable(of_layers)]


@dataclass(frozen=True)
class Anatomy:
    """Where below its body an architecture keeps layers, and below a layer its query, key and
    value.
    """

    layers: str
    projections: tuple[str, str, str]


BERT = Anatomy(
    "encoder.layer", ("attention.self.query", "attention.self.key", "attention.self.value")
)
DISTILBERT = Anatomy("transformer.layer", ("attention.q_lin", "attention.k_lin", "attention.v_lin"))
ANATOMIES = {
    "bert": BERT,
    "camembert": BERT,
    "distilbert": DISTILBERT,
    "electra": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
}


def anatomy_of(model: PreTrainedModel) -> Anatomy:
    """Return where the model keeps its layers; a MinnowError names the architectures that are
    known.
    """
    kind = model.config.model_type
    if kind not in ANATOMIES:
        raise MinnowError(
            f"distill's hidden, attention and relation terms cannot look into a {kind!r} model,"
            f" only into {listed(ANATOMIES, 20)}; set their weights to 0"
        )
    return ANATOMIES[kind]


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of the model's body."""
    layers = model.base_model.get_submodule(anatomy_of(model).layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def projections_of(model: PreTrainedModel, layer: int) -> list[nn.Linear]:
    """Return what makes the queries, keys and values of a layer."""
    found = [
        layers_of(model)[layer - 1].get_submodule(name) for name in anatomy_of(model).projections
    ]
    return [module for module in found if isinstance(module, nn.Linear)]


def keep_layers(model: PreTrainedModel, layers: int) -> None:
    """Cut all layers off the model's body that come after the first `layers`."""
    parent, _, last = anatomy_of(model).layers.rpartition(".")
    setattr(model.base_model.get_submodule(parent), last, layers_of(model)[: max(1, layers)])
