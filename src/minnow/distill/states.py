"""What happens inside BERT-like models: hidden states by layer, and the queries, keys and values
made of them.

Layers count from 1; hidden state 0 is what the first layer is given: the embeddings. In all models
of models/anatomy a layer makes its queries, keys and values of the hidden state before it, so that
hidden states are all that need be stored.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.core.files import (
    check_manifest,
    read_json,
    replacing,
    require_space,
    write_json,
    write_manifest,
)
from minnow.core.runtime import Runtime
from minnow.core.tables import read_table, write_table
from minnow.errors import MinnowError, listed, tell
from minnow.models import folders
from minnow.models.anatomy import keep_layers, layers_of, projections_of
from minnow.models.batching import Encoded, encode, inference_batches
from minnow.models.inference import BATCH_TOKENS
from minnow.progress import row_bar

INDEX = "states.json"
ROWS = "rows.parquet"
# A stored number takes two bytes: 16 bits as they were computed, float32 rounded to float16. NumPy
# has no bfloat16.
STORED = {
    torch.bfloat16: torch.bfloat16,
    torch.float16: torch.float16,
    torch.float32: torch.float16,
}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
BYTES = 2
# The out, and DVC's copy of it.
COPIES_OF_OUT = 2
Projected = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class States:
    """Of one batch, by layer: hidden states (rows, tokens, width); queries, keys and values (rows,
    tokens, width).
    """

    hidden: Mapping[int, Tensor]
    projected: Mapping[int, Projected]


class Watch:
    """Remembers what chosen layers of a model made in its latest forward pass, while `on`."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        hidden: Collection[int] = (),
        projected: Collection[int] = (),
    ) -> None:
        self.model = model
        self.hidden_layers, self.projected_layers = sorted(hidden), sorted(projected)
        self.hidden: dict[int, Tensor] = {}
        self.projected: dict[int, list[Tensor]] = {}

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch until the block ends."""
        layers = layers_of(self.model)
        with ExitStack() as hooks:
            for number in self.hidden_layers:
                handle = (
                    layers[number - 1].register_forward_hook(self._keep_output(number))
                    if number
                    else layers[0].register_forward_pre_hook(self._keep_input)
                )
                hooks.callback(handle.remove)
            for number in self.projected_layers:
                for linear in projections_of(self.model, number):
                    hooks.callback(
                        linear.register_forward_hook(self._keep_projected(number)).remove
                    )
            yield

    def take(self) -> States:
        """Return what the latest forward pass made, and forget it."""
        states = States(
            self.hidden, {number: (q, k, v) for number, (q, k, v) in self.projected.items()}
        )
        self.hidden, self.projected = {}, {}
        return states

    def _keep_input(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.hidden[0] = inputs[0]

    def _keep_output(self, number: int) -> Any:
        def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
            self.hidden[number] = output if isinstance(output, Tensor) else output[0]

        return keep

    def _keep_projected(self, number: int) -> Any:
        def keep(linear: nn.Module, inputs: Any, output: Tensor) -> None:
            self.projected.setdefault(number, []).append(output)

        return keep


# --- The teacher, computed now or stored ----------------------------------------------------------


class StateSource(Protocol):
    """Where a teacher's hidden states come from."""

    def of(self, rows: Tensor) -> Mapping[int, Tensor]:
        """Return by layer the hidden states of these rows, (rows, longest of these rows, width), on
        the device.
        """


@dataclass(frozen=True)
class OnlineStates:
    """A teacher that runs on each batch, in eval mode; what comes after the last layer in need is
    cut off.
    """

    model: PreTrainedModel
    encoded: Encoded
    layers: Sequence[int]
    device: torch.device

    def of(self, rows: Tensor) -> Mapping[int, Tensor]:
        """Return by layer what the teacher computes for these rows."""
        watch = Watch(self.model, hidden=self.layers)
        with torch.inference_mode(), watch.on():
            self.model.base_model(**self.encoded.batch(rows, self.device))
        return watch.take().hidden


@dataclass(frozen=True)
class StoredStates:
    """A teacher whose hidden states lie in files: by layer (tokens, width), where `encoded` has the
    tokens' places.
    """

    states: Mapping[int, Tensor]
    encoded: Encoded
    device: torch.device

    def of(self, rows: Tensor) -> Mapping[int, Tensor]:
        """Return by layer what was stored for these rows; padding repeats other tokens' states."""
        places, _ = self.encoded.places(rows)
        return {layer: states[places].to(self.device) for layer, states in self.states.items()}


@dataclass(frozen=True)
class Teacher:
    """The inside of a teacher by rows of the training split; `projections` make its queries, keys
    and values.
    """

    source: StateSource
    hidden: Sequence[int]
    projections: Mapping[int, Sequence[nn.Linear]]

    def of(self, rows: Tensor) -> States:
        """Return the states of these rows in float32, as plain tensors that a loss may keep for its
        backward pass.
        """
        with torch.inference_mode():
            states = self.source.of(rows)
            made = {
                layer: [linear(states[layer - 1].to(linear.weight.dtype)) for linear in linears]
                for layer, linears in self.projections.items()
            }
        projected = {layer: (_plain(q), _plain(k), _plain(v)) for layer, (q, k, v) in made.items()}
        return States({layer: _plain(states[layer]) for layer in self.hidden}, projected)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32, copy=True)


def needed(hidden: Collection[int], projected: Collection[int]) -> list[int]:
    """Return the layers whose hidden states are needed for these states, and for these queries,
    keys and values.
    """
    return sorted({*hidden, *(layer - 1 for layer in projected)})


# --- Files ----------------------------------------------------------------------------------------


def store_states(
    folder: Path, out: Path, table: pl.DataFrame, layers: Sequence[int], run: Runtime
) -> None:
    """Write the hidden states of these layers for a table with `id` and `text`, by the model in
    `folder`.

    A file a layer with all tokens of all rows end to end, in the order of the table, and a manifest
    of them; without layers, the index alone.

    Raises:
        MinnowError: the model's folder is damaged, it has no such layer, a state is not finite, or
            the disk has too little space.
    """
    with replacing(out) as temporary:
        temporary.mkdir()
        dtype = STORED[run.dtype]
        if layers:
            check_manifest(folder)
            model = folders.load_for_inference(folder, run)
            check_layers_exist(model, layers)
            encoded = encode(folders.load_tokenizer(folder), table["text"].to_list())
            _write_states(model, temporary, encoded, layers, run)
            lengths = pl.DataFrame({"id": table["id"], "tokens": encoded.lengths.numpy()})
            write_table(temporary / ROWS, lengths)
        write_json(
            temporary / INDEX,
            {"dtype": str(dtype).removeprefix("torch."), "layers": sorted(layers)},
        )
        if layers:
            write_manifest(temporary, {})


def check_layers_exist(model: PreTrainedModel, layers: Collection[int]) -> None:
    """Refuse layers that the model does not have."""
    total = len(layers_of(model))
    if outside := [layer for layer in sorted(layers) if layer > total]:
        raise MinnowError(
            f"teacher_states.layers names layer {listed(outside)}; the teacher has layers 1 to"
            f" {total}, and 0 for its embeddings"
        )


def check_layers_stored(needed: Collection[int], stored: Collection[int]) -> None:
    """Refuse stored states that lack a layer which the weights of distill ask for."""
    if missing := sorted({*needed} - {*stored}):
        raise MinnowError(
            "the weights of distill ask for the teacher's hidden states"
            f" {listed(sorted(needed), 30)}, and {listed(missing, 30)} are not stored: set"
            f" teacher_states.layers to {sorted(needed)}"
        )


def _write_states(
    model: PreTrainedModel, out: Path, encoded: Encoded, layers: Sequence[int], run: Runtime
) -> None:
    shape = (len(encoded.ids), int(model.config.hidden_size))
    size = BYTES * shape[0] * shape[1] * len(layers)
    require_space(out, COPIES_OF_OUT * size)
    tell(
        f"storing {size / 1e6:.0f} MB: the teacher's hidden states of {shape[0]} tokens, layers"
        f" {listed(layers, 30)}"
    )
    dtype = STORED[run.dtype]
    files = {
        layer: np.lib.format.open_memmap(_file(out, layer), mode="w+", dtype=np.int16, shape=shape)
        for layer in layers
    }
    source = online(model, encoded, layers, run.device)
    with row_bar(len(encoded), "teacher's states") as bar:
        for rows in inference_batches(encoded.lengths, tokens=BATCH_TOKENS[run.device.type]):
            places, mask = encoded.places(rows)
            for layer, states in source.of(rows).items():
                real = states.cpu()[mask].to(dtype)
                if not bool(real.isfinite().all()):
                    raise MinnowError(
                        f"the teacher's hidden states of layer {layer} are infinite or undefined in"
                        f" {dtype}; use teacher_states.layers: null"
                    )
                files[layer][places[mask].numpy()] = real.view(torch.int16).numpy()
            bar.update(len(rows))
    for file in files.values():
        file.flush()


def online(
    model: PreTrainedModel, encoded: Encoded, layers: Sequence[int], device: torch.device
) -> OnlineStates:
    """Return a source that runs the model, of which it cuts off what it does not need."""
    keep_layers(model, max(layers))
    return OnlineStates(model, encoded, layers, device)


def read_states(
    folder: Path,
    ids: Sequence[str],
    encoded: Encoded,
    layers: Collection[int],
    device: torch.device,
) -> StoredStates:
    """Return the stored states of exactly these rows; `encoded` are their texts in the teacher's
    tokens.

    Nothing is read into memory but what a batch needs.

    Raises:
        MinnowError: layers were not stored, a file is damaged, or the rows are others, or have
            other tokens.
    """
    index = read_json(folder / INDEX)
    check_layers_stored(layers, index["layers"])
    check_manifest(folder)
    rows = read_table(folder / ROWS)
    if rows["id"].to_list() != list(ids) or rows["tokens"].to_list() != encoded.lengths.tolist():
        raise MinnowError(
            f"{folder} belongs to other rows or to another teacher; run `dvc repro` so that its"
            " states are computed on the present training split"
        )
    dtype = DTYPES[index["dtype"]]
    files = {layer: np.load(_file(folder, layer), mmap_mode="c") for layer in layers}
    return StoredStates(
        {layer: torch.from_numpy(file).view(dtype) for layer, file in files.items()},
        encoded,
        device,
    )


def _file(folder: Path, layer: int) -> Path:
    return folder / f"layer_{layer:02d}.npy"
