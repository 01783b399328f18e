"""Whether a config speaks of a model that its weights can make, before any memory is taken."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError
from minnow.models import adapters, packed
from minnow.models.enclosed import is_known
from minnow.models.heads import from_config

# A classifier may have more weights than its files: a new head, a pooler, layers of which a file
# has none. Beyond this, config.json speaks of another model, and making it could take any memory.
TIMES_MORE, WEIGHTS_MORE, TENSORS_MORE = 1.5, 5_000_000, 200


@dataclass(frozen=True)
class StoredTensor:
    """What a safetensors file says of one of its tensors; `dtype` as there, such as F32."""

    name: str
    dtype: str
    shape: Sequence[int]


def stored_tensors(folder: Path) -> Iterator[StoredTensor]:
    """Yield what the weight files of a folder say that they hold."""
    for file in sorted(folder.iterdir()):
        if file.suffix != ".safetensors" or not is_known(file.name) or not file.is_file():
            continue  # nobody reads it, and it may be a pipe
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # it is no mapping
                part = opened.get_slice(name)
                yield StoredTensor(name, part.get_dtype(), part.get_shape())


def held_weights(folder: Path) -> list[int]:
    """Return for each tensor of a folder how many weights it stands for at most: a byte can hold
    two of 4 bits.
    """
    return [
        (2 if tensor.dtype == "U8" else 1) * math.prod(tensor.shape)
        for tensor in stored_tensors(folder)
    ]


class _TooLargeError(Exception):
    """A model that is being made has outgrown its files."""


def shape_of_config(config: PreTrainedConfig, folder: Path) -> PreTrainedModel:
    """Return the float model that a config speaks of, on the meta device: shapes without numbers.

    It is made weight by weight and given up as soon as it outgrows the files in `folder`, so that
    no config can ask for more memory or time than they stand for. torch's generator stays as it is.

    Raises:
        MinnowError: it has many more weights than the folder's files.
    """
    held = held_weights(folder)
    limits = TIMES_MORE * sum(held) + WEIGHTS_MORE, 2 * len(held) + TENSORS_MORE
    adapted = adapters.adapters_of_config(config)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _bounded(*limits):
            model = from_config(packed.plain_config(config))
            if adapted is not None:
                adapters.make_room_for_adapters(deepcopy(model), adapted.layers, adapted.rank)
            return model
    except _TooLargeError:
        raise MinnowError(
            f"config.json speaks of a larger model than its weights make, which are {sum(held)} in"
            f" {len(held)} tensors: they do not belong together; get both anew"
        ) from None


@contextmanager
def _bounded(weights: float, tensors: int) -> Iterator[None]:
    """Stop whoever registers more parameters than this while the block runs."""
    left = [weights, tensors]

    def count(module: nn.Module, name: str, weight: Tensor | None) -> None:
        left[0] -= 0 if weight is None else weight.numel()
        left[1] -= 1
        if min(left) < 0:
            raise _TooLargeError

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
