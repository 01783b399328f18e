"""What BERT-like architectures call their parts, and how they count positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError, listed


@dataclass(frozen=True)
class Anatomy:
    """What an architecture calls the parts of a layer, and where its layers and the head's hidden
    layer stand.
    """

    layers: str  # below the body; all others below a layer
    query: str
    key: str
    value: str
    context: str  # takes the heads' outputs back to the stream
    attended: str  # the LayerNorm behind that
    up: str
    down: str
    normed: str  # the LayerNorm behind the feed-forward layers
    # Below the whole classifier; what the classification layer reads. None where narrowing has not
    # been tried.
    hidden: str | None

    @property
    def projections(self) -> tuple[str, str, str]:
        """What makes queries, keys and values."""
        return self.query, self.key, self.value

    @property
    def of_layer(self) -> list[str]:
        """The parts of a layer that have weights."""
        names = (field.name for field in fields(self) if field.name not in ("layers", "hidden"))
        return [getattr(self, name) for name in names]


BERT = Anatomy(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    context="attention.output.dense",
    attended="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    normed="output.LayerNorm",
    hidden="bert.pooler.dense",
)
DISTILBERT = Anatomy(
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
)
LIKE_BERT = replace(BERT, hidden=None)
ANATOMIES = {
    "bert": BERT,
    "camembert": LIKE_BERT,
    "distilbert": DISTILBERT,
    "electra": LIKE_BERT,
    "roberta": replace(BERT, hidden="classifier.dense"),
    "xlm-roberta": LIKE_BERT,
}


# The logits that these give a text depend on the padding which the other texts of its batch bring:
# seen by comparing a text alone with the same in a batch.
BATCH_DEPENDENT = {"canine", "convbert", "fnet", "mobilebert", "nystromformer", "xlnet", "yoso"}
# It hashes by numbers drawn anew in each pass, and pads to whole chunks.
BATCH_DEPENDENT |= {"reformer"}
# Rotary positions that are scaled anew once a batch has a text longer than the original ones.
RESCALED = {"longrope", "dynamic"}


def check_kind(kind: str, what: str) -> None:
    """Refuse an architecture that transformers has and Minnow cannot take; `what` is of that kind.

    Raises:
        MinnowError: its logits depend on the other texts of a batch, or nothing can pack its
        layers.
    """
    if kind in BATCH_DEPENDENT:
        raise MinnowError(
            f"{what} is a {kind!r} model, whose logits for a text depend on the other texts of its"
            " batch; take another architecture, such as BERT, DistilBERT, RoBERTa or ModernBERT"
        )
    if kind == "ibert":
        raise MinnowError(
            f"{what} is an 'ibert' model, whose layers are of I-BERT's own kind and cannot be"
            " quantized; take the RoBERTa that it was made from"
        )


def anatomy_of(model: PreTrainedModel) -> Anatomy:
    """Return what the model's architecture calls its parts; a MinnowError names the architectures
    that are known.
    """
    kind = model.config.model_type
    if kind not in ANATOMIES:
        raise MinnowError(
            f"distill's hidden, attention and relation terms cannot look into a {kind!r} model,"
            f" only into {listed(ANATOMIES, 20)}; set their weights to 0"
        )
    return ANATOMIES[kind]


def parts_of(model: PreTrainedModel) -> Anatomy:
    """Return what a model that can be made narrower calls its parts.

    Raises:
        MinnowError: an architecture that is not known here.
    """
    kind = model.config.model_type
    known = [name for name, anatomy in ANATOMIES.items() if anatomy.hidden is not None]
    if kind not in known:
        raise MinnowError(
            f"a {kind!r} model cannot be made narrower, only {listed(known)}: set"
            " student.hidden_size, intermediate_size and narrowing to null, or take init: scratch"
        )
    return ANATOMIES[kind]


def hidden_layer(model: PreTrainedModel) -> Any:
    """Return the layer of the head that the classification layer reads."""
    hidden = parts_of(model).hidden
    assert hidden is not None, "parts_of refuses others"
    return model.get_submodule(hidden)


def layer_part(model: PreTrainedModel, layer: int, name: str) -> Any:
    """Return a part of a layer, counted from 0, by its name below the layer."""
    return model.base_model.get_submodule(f"{parts_of(model).layers}.{layer}.{name}")


def layer_norms(model: PreTrainedModel, layers: Sequence[int]) -> list[Any]:
    """Return the LayerNorm of each place."""
    parts = parts_of(model)
    of_layers = (
        [layer_part(model, layer, name) for name in (parts.attended, parts.normed)]
        for layer in layers
    )
    return [model.base_model.get_submodule("embeddings.LayerNorm"), *chain.from_iterable(of_layers)]


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of the model's body."""
    layers = model.base_model.get_submodule(anatomy_of(model).layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def projections_of(model: PreTrainedModel, layer: int) -> list[nn.Linear]:
    """Return what makes the queries, keys and values of a layer, counted from 1."""
    names = anatomy_of(model).projections
    modules = [layers_of(model)[layer - 1].get_submodule(name) for name in names]
    return [module for module in modules if isinstance(module, nn.Linear)]


def keep_layers(model: PreTrainedModel, layers: int) -> None:
    """Cut all layers off the model's body that come after the first `layers`."""
    parent, _, last = anatomy_of(model).layers.rpartition(".")
    setattr(model.base_model.get_submodule(parent), last, layers_of(model)[: max(1, layers)])


# --- Positions ------------------------------------------------------------------------------------
# RoBERTa's kind counts positions from the padding token's id on: its table has as many rows more.


def rows_before_texts(table: nn.Module) -> int:
    """Return the rows of a table of positions that stand before that of a text's first token."""
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def counted_from_padding(model: PreTrainedModel) -> nn.Module | None:
    """Return the table of positions that are counted from the padding token's id, if there is
    one.
    """
    modules: Iterator[tuple[str, nn.Module]] = model.named_modules()
    for name, module in modules:
        if is_position_table(name) and rows_before_texts(module):
            return module
    return None


def is_position_table(name: str) -> bool:
    """Say whether a module of this name is a table of positions."""
    return name.endswith("position_embeddings")


def longest_text(model: PreTrainedModel) -> int | None:
    """Return how many tokens a text may have; None where there is no limit."""
    table: Any = counted_from_padding(model)
    if table is not None:
        return int(table.num_embeddings) - rows_before_texts(table)
    positions = getattr(model.config, "max_position_embeddings", None)
    return positions if positions is not None and positions > 0 else None


def rescaled_beyond(config: PreTrainedConfig) -> tuple[str, int] | None:
    """Return the kind of rotary positions that are scaled by the longest text of a batch, and the
    tokens up to which they are not; None where there are no such.
    """
    given = getattr(config, "rope_parameters", None) or {}
    # Of all layers, or by the kind of layer.
    blocks = [given, *given.values()] if isinstance(given, dict) else []
    for block in blocks:
        kind = block.get("rope_type") if isinstance(block, dict) else None
        if kind in RESCALED:
            known = block.get("original_max_position_embeddings")
            positions = known or getattr(config, "max_position_embeddings", None) or 0
            return str(kind), int(positions)
    return None
