"""A quantized model as an encoder with a classification head: the parts of BERT, DistilBERT and
RoBERTa by what they do, whatever their files call them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from minnow.errors import MinnowError, listed, shortened
from minnow.export.packed import Packed
from minnow.export.parts import FloatPart, Linear, Norm, Table

# DistilBERT's layer norms; its config does not say it.
EPSILON = 1e-12
Activation = Literal["gelu", "relu"]
ACTIVATIONS: tuple[Activation, ...] = ("gelu", "relu")


@dataclass(frozen=True)
class PartNames:
    """What an architecture calls its parts: in config.json, in the weights' file, and within a
    layer.
    """

    width: str
    heads: str
    layers: str
    neurons: str
    activation: str
    body: str
    layer: str
    query: str
    key: str
    value: str
    context: str
    attended: str
    up: str
    down: str
    normed: str
    hidden: str
    head: str
    hidden_activation: Literal["Tanh", "Relu"]


_LIKE_BERT: Mapping[str, Any] = {
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "neurons": "intermediate_size",
    "activation": "hidden_act",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "context": "attention.output.dense",
    "attended": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "normed": "output.LayerNorm",
    "hidden_activation": "Tanh",
}
ARCHITECTURES: Mapping[str, PartNames] = {
    "bert": PartNames(
        **_LIKE_BERT,
        body="bert",
        layer="bert.encoder.layer",
        hidden="bert.pooler.dense",
        head="classifier",
    ),
    "distilbert": PartNames(
        width="dim",
        heads="n_heads",
        layers="n_layers",
        neurons="hidden_dim",
        activation="activation",
        body="distilbert",
        layer="distilbert.transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        context="attention.out_lin",
        attended="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        normed="output_layer_norm",
        hidden="pre_classifier",
        head="classifier",
        hidden_activation="Relu",
    ),
    "roberta": PartNames(
        **_LIKE_BERT,
        body="roberta",
        layer="roberta.encoder.layer",
        hidden="classifier.dense",
        head="classifier.out_proj",
    ),
}


@dataclass(frozen=True)
class Layer:
    """One layer of the encoder: attention, and two linear layers, each with a norm behind it."""

    query: Linear
    key: Linear
    value: Linear
    context: Linear
    attended: Norm
    up: Linear
    down: Linear
    normed: Norm


@dataclass(frozen=True)
class Encoder:
    """A classifier's parts. `types` is the table of token types, of which every token has the
    first; `padding` is the token from whose id on positions are counted, None where they begin at
    0; the head reads the first token.
    """

    words: Table
    positions: Table
    types: FloatPart | None
    normed: Norm
    layers: tuple[Layer, ...]
    hidden: Linear
    hidden_activation: Literal["Tanh", "Relu"]
    head: Linear
    width: int
    heads: int
    epsilon: float
    activation: Activation
    padding: int | None

    @property
    def labels(self) -> int:
        """The number of logits."""
        return self.head.weight.shape[0]

    @property
    def longest(self) -> int:
        """The tokens that a text may have."""
        return self.positions.shape[0] - (0 if self.padding is None else self.padding + 1)


def encoder_of(model: Packed) -> Encoder:
    """Return the parts of a quantized model.

    Raises:
        MinnowError: an architecture or activation that cannot be exported, or a tensor that is
        missing or of another shape than config.json says.
    """
    names = names_of(model)
    width, heads = _size(model, names.width), _size(model, names.heads)
    if width % heads:
        model.refuse(f"has {width} dimensions, which {heads} heads do not divide")
    tables = f"{names.body}.embeddings"
    distilbert = names.body == "distilbert"
    return Encoder(
        words=model.table(f"{tables}.word_embeddings", width),
        positions=model.table(f"{tables}.position_embeddings", width),
        types=None if distilbert else _types(model, f"{tables}.token_type_embeddings", width),
        normed=model.norm(f"{tables}.LayerNorm", width),
        layers=tuple(
            _layer(model, names, f"{names.layer}.{place}.", width)
            for place in range(_size(model, names.layers))
        ),
        hidden=model.linear(names.hidden, width, width),
        hidden_activation=names.hidden_activation,
        head=model.linear(names.head, width),
        width=width,
        heads=heads,
        epsilon=EPSILON if distilbert else _epsilon(model),
        activation=_activation(model, names),
        padding=_size(model, "pad_token_id", least=0) if names.body == "roberta" else None,
    )


def names_of(model: Packed) -> PartNames:
    """Return what the model's architecture calls its parts.

    Raises:
        MinnowError: an architecture, or a kind of positions or attention, that cannot be exported.
    """
    kind = str(model.config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise MinnowError(
            f"a {shortened(kind)!r} model cannot be exported, only {listed(ARCHITECTURES)};"
            " take a student of one of these"
        )
    if model.config.get("position_embedding_type") not in (None, "absolute"):
        model.refuse("has other positions than absolute ones, and these alone can be exported")
    if model.config.get("is_decoder"):
        model.refuse("is a decoder, whose tokens see no later ones, and it cannot be exported")
    return ARCHITECTURES[kind]


def _layer(model: Packed, names: PartNames, below: str, width: int) -> Layer:
    neurons = _size(model, names.neurons)
    return Layer(
        query=model.linear(below + names.query, width, width),
        key=model.linear(below + names.key, width, width),
        value=model.linear(below + names.value, width, width),
        context=model.linear(below + names.context, width, width),
        attended=model.norm(below + names.attended, width),
        up=model.linear(below + names.up, width, neurons),
        down=model.linear(below + names.down, neurons, width),
        normed=model.norm(below + names.normed, width),
    )


def _types(model: Packed, name: str, width: int) -> FloatPart:
    return model.stored(f"{name}.weight", _size(model, "type_vocab_size"), width)


def _size(model: Packed, key: str, least: int = 1) -> int:
    """Return a count in config.json."""
    size = model.config.get(key)
    if type(size) is not int or size < least:
        model.refuse(f"says {key}: {size!r}, which is no count")
    return size


def _epsilon(model: Packed) -> float:
    epsilon = model.config.get("layer_norm_eps", EPSILON)
    if type(epsilon) is not float or not 0 < epsilon < 1:
        model.refuse(f"says layer_norm_eps: {epsilon!r}, which is none")
    return epsilon


def _activation(model: Packed, names: PartNames) -> Activation:
    """Return the activation between the two linear layers of each layer."""
    said = str(model.config.get(names.activation))
    for known in ACTIVATIONS:
        if said == known:
            return known
    raise MinnowError(
        f"a model with the activation {shortened(said)!r} cannot be exported, only with"
        f" {listed(ACTIVATIONS)}; take a student of one of these"
    )
