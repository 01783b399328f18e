"""Low-rank adapters of linear layers: trained by peft, saved beside the packed weights or merged
into them.

A layer W gets y = W x + b + (alpha / rank) · B A x, with A (rank, inputs) and B (outputs, rank), of
which only A and B are trained: LoRA, Hu et al. 2021, arXiv 2106.09685. On 4-bit layers: QLoRA,
Dettmers et al. 2023, arXiv 2305.14314.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from minnow.core.files import ADAPTERS_KEY, LOADER, LOADER_KEY, without_loader
from minnow.errors import MinnowError, listed

# Under another name than transformers looks for, so that it refuses a folder whose adapters it
# would leave out.
WEIGHTS = "minnow.safetensors"
# How peft calls what it wraps, and its one adapter.
WRAPPED, NAME = ".base_layer", "default"
# What adapters are saved in, which is what counts: they are rounded to it before anything is
# computed with them.
DTYPE = torch.bfloat16


@dataclass(frozen=True)
class Adapter:
    """One layer's A (rank, inputs) and B (outputs, rank), and alpha / rank."""

    a: Tensor
    b: Tensor
    scale: float

    @property
    def product(self) -> Tensor:
        """What is added to the layer's weight, in float32; shape (outputs, inputs)."""
        return self.scale * (self.b.to(DTYPE).float() @ self.a.to(DTYPE).float())


# By the layer's name.
LayerAdapters = Mapping[str, Adapter]


# --- Training -------------------------------------------------------------------------------------


def inject(model: PreTrainedModel, layers: Sequence[str], *, rank: int, alpha: float) -> None:
    """Wrap these linear layers in peft's LoRA, in place, and freeze everything else.

    A is drawn from torch's generator and B is 0, so that the model computes what it did.
    """
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # any number will do
        target_modules=list(layers),
        bias="none",
        lora_dropout=0.0,
    )
    inject_adapter_in_model(config, model, adapter_name=NAME)


def layer_adapters(model: nn.Module) -> dict[str, Adapter]:
    """Return the trained adapters of a model that `inject` wrapped, by the layer's name."""
    trained: dict[str, Adapter] = {}
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            layer: Any = module
            a, b = layer.lora_A[NAME].weight.detach(), layer.lora_B[NAME].weight.detach()
            trained[name] = Adapter(a, b, layer.scaling[NAME])
    return trained


def plain_name(name: str) -> str:
    """Return the name that a weight has without peft's wrapping."""
    return name.replace(f"{WRAPPED}.", ".")


# --- Beside the weights ---------------------------------------------------------------------------


class LowRank(nn.Module):
    """The A and B of all adapted layers, as parameters `{layer, its dots as slashes}/a` and
    `/b`.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], rank: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        for name, (outputs, inputs) in shapes.items():
            for matrix, shape in (("a", (rank, inputs)), ("b", (outputs, rank))):
                weight = nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)
                self.register_parameter(parameter_name(name, matrix), weight)


def parameter_name(layer: str, matrix: str) -> str:
    """Return the name of a layer's A or B in `LowRank`, where a dot would mean a module."""
    return f"{layer.replace('.', '/')}/{matrix}"


def make_room_for_adapters(model: nn.Module, layers: Sequence[str], rank: int) -> LowRank:
    """Give the model zeros for the adapters of these layers, in its own dtype.

    Raises:
        MinnowError: the model has no such layer.
    """
    linear: dict[str, Any] = {
        name: module for name, module in model.named_modules() if name in layers
    }
    if absent := sorted({*layers} - {*linear}):
        raise MinnowError(
            f"config.json says that {listed(absent, 3)} has adapters, and the model has no such"
            " layer"
        )
    shapes = {name: (layer.out_features, layer.in_features) for name, layer in linear.items()}
    room = LowRank(shapes, rank, DTYPE)
    model.add_module(ADAPTERS_KEY, room)
    return room


def connect(model: nn.Module, layers: Sequence[str], scale: float) -> None:
    """Let each layer add what its adapter computes. Once only, and after layers were exchanged for
    packed ones.
    """
    room = model.get_submodule(ADAPTERS_KEY)
    for name in layers:
        a, b = (room.get_parameter(parameter_name(name, matrix)) for matrix in ("a", "b"))
        model.get_submodule(name).register_forward_hook(partial(_add, a=a, b=b, scale=scale))


def _add(
    layer: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
    *,
    a: Tensor,
    b: Tensor,
    scale: float,
) -> Tensor:
    low = functional.linear(inputs[0].to(a.dtype), a)
    return output + scale * functional.linear(low, b).to(output.dtype)


def attach(model: PreTrainedModel, trained: LayerAdapters) -> None:
    """Put adapters beside the weights of a model, in place, and say so in its config."""
    first = next(iter(trained.values()))
    rank, device = len(first.a), next(model.parameters()).device
    room = make_room_for_adapters(model, list(trained), rank).to(device)
    with torch.no_grad():
        for name, adapter in trained.items():
            room.get_parameter(parameter_name(name, "a")).copy_(adapter.a)
            room.get_parameter(parameter_name(name, "b")).copy_(adapter.b)
    connect(model, list(trained), first.scale)
    setattr(model.config, ADAPTERS_KEY, described_adapters(list(trained), rank, first.scale))


def described_adapters(layers: Sequence[str], rank: int, scale: float) -> dict[str, Any]:
    """Return what config.json says of adapters."""
    return {
        "rank": rank,
        "scale": scale,
        "adds": "scale * b(a(inputs)) to each layer's output",
        "layers": sorted(layers),
        "weights": WEIGHTS,
        LOADER_KEY: LOADER,
    }


@dataclass(frozen=True)
class Described:
    """Which layers have adapters, of which rank, and what their output is multiplied by."""

    layers: list[str]
    rank: int
    scale: float


def adapters_of_config(config: Any) -> Described | None:
    """Return what a config says of adapters; None if there are none.

    Raises:
        MinnowError: it says something that is not known here.
    """
    said = getattr(config, ADAPTERS_KEY, None)
    if said is None:
        return None
    if isinstance(said, dict) and {"layers", "rank", "scale"} <= said.keys():
        found = Described(said["layers"], said["rank"], said["scale"])
        expected = described_adapters(found.layers, found.rank, found.scale)
        if without_loader(said) == without_loader(expected):
            return found
    raise MinnowError(
        f"config.json says {ADAPTERS_KEY}: {said}, which this Minnow cannot read: install the one"
        " that wrote it"
    )
