"""How wide a model is, and which narrower shapes it can take."""

import copy
from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError, listed, warn
from minnow.models.anatomy import parts_of

# --- Shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Numbers of the stream, of heads, and of neurons of each feed-forward layer."""

    width: int
    heads: int
    neurons: int


def shape_of(model: PreTrainedModel) -> Shape:
    """Return the model's shape; a MinnowError says that its architecture is not known here."""
    parts_of(model)
    config = model.config
    neurons = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
    return Shape(int(config.hidden_size), int(config.num_attention_heads), int(neurons))


def with_shape(source: PreTrainedConfig, shape: Shape) -> PreTrainedConfig:
    """Return a copy of a config with another shape."""
    config = copy.deepcopy(source)
    config.hidden_size, config.num_attention_heads = shape.width, shape.heads
    setattr(
        config,
        "hidden_dim" if config.model_type == "distilbert" else "intermediate_size",
        shape.neurons,
    )
    return config


def narrower(
    source: Shape, *, hidden_size: int | None, heads: int | None, intermediate_size: int | None
) -> Shape:
    """Return the shape asked for. None keeps the source's numbers, of heads too unless the width
    changes: then their dimension.

    A number of heads with another dimension warns: what they had learned is cut into other heads.

    Raises:
        MinnowError: something would become wider, or the width is no whole number of heads.
    """
    width, neurons = hidden_size or source.width, intermediate_size or source.neurons
    check_no_wider("hidden_size", width, source.width)
    check_no_wider("intermediate_size", neurons, source.neurons)
    size = source.width // source.heads
    if heads is None and width % size:
        raise MinnowError(
            f"student.hidden_size is {width} and the source's heads have dimension {size}: take one"
            f" of {listed(range(size, source.width + 1, size), 20)}, or set student.heads, which"
            " cuts them into others"
        )
    heads = width // size if heads is None else heads
    check_heads(heads, width, size=size)
    return Shape(width, heads, neurons)


def check_no_wider(name: str, number: int, limit: int) -> None:
    """Refuse a number that is larger than the source's."""
    if number > limit:
        raise MinnowError(
            f"student.{name} is {number} and its source has {limit}, of which it can keep fewer"
            f" but never get more: set it to {limit} or less, or take init: scratch"
        )


def check_heads(heads: int, width: int, *, size: int) -> None:
    """Refuse a number of heads that does not divide the width, and warn of heads with another
    dimension than `size`, the source's.
    """
    if width % heads:
        divisors = [number for number in range(1, width + 1) if width % number == 0]
        allowed = [number for number in divisors if width // number >= 16]
        raise MinnowError(
            f"student.heads is {heads}, which does not divide the student's width {width}; allowed:"
            f" {listed(allowed, 20)}; null keeps what the source has"
        )
    if width // heads != size:
        warn(
            f"student.heads is {heads} at width {width}, and the source's heads have dimension"
            f" {size}, not {width // heads}: their columns are cut into other heads, which only"
            " distillation repairs"
        )
