"""The tensors of a quantized model's folder, read with numpy and safetensors alone, as records.

What a part is stored in shows by the tensors that stand beside it: bitsandbytes writes the state of
a 4-bit layer as JSON behind its name, and the scales of an 8-bit one as `SCB`. config.json says
which tables are rows of bytes, and which layers have adapters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize

from minnow.core.files import ADAPTERS_KEY, EMBEDDINGS_KEY
from minnow.core.strict_json import bounded_text, parsed_json
from minnow.core.supplied import supplied_file
from minnow.errors import MinnowError, reason, shortened
from minnow.export.parts import (
    AdapterPair,
    Array,
    DoubleScales,
    EightBitRows,
    EightBits,
    FloatPart,
    FourBitRows,
    FourBits,
    Linear,
    Norm,
    Table,
)

CONFIG, WEIGHTS, ADAPTED_WEIGHTS = "config.json", "model.safetensors", "minnow.safetensors"
# How safetensors calls the types that a quantized model may hold. bfloat16 stays bits.
TYPES: Mapping[str, Any] = {
    **{"F32": np.float32, "F16": np.float16, "BF16": np.uint16},
    **{"U8": np.uint8, "I8": np.int8},
}
FLOATS = (np.float32, np.float16, np.uint16)
# bitsandbytes' names of a 4-bit layer's state, behind the layer's weight.
STATE = ".quant_state.bitsandbytes__"
FOUR_BIT_SCHEMES = ("nf4", "fp4")
# NF4, which packed tables do not carry with them: Dettmers et al. 2023, arXiv 2305.14314,
# appendix E. models/embeddings.py has the same numbers.
NF4 = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    np.float32,
)


@dataclass(frozen=True)
class Packed:
    """The config and the tensors of a quantized model's folder."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Array]

    def refuse(self, what: str) -> NoReturn:
        """Say in one line that the folder holds something that cannot be exported."""
        raise MinnowError(f"{self.folder} {shortened(what, 160)}; make or get it anew")

    def tensor(self, name: str, *kinds: Any) -> Array:
        """Return a tensor of one of these types.

        Raises:
            MinnowError: it is missing, or of another type.
        """
        if name not in self.tensors:
            self.refuse(f"lacks {name}")
        found = self.tensors[name]
        if found.dtype not in [np.dtype(kind) for kind in kinds]:
            self.refuse(f"holds {name} as {found.dtype}")
        return found

    def stored(self, name: str, *shape: int) -> FloatPart:
        """Return a tensor of floats, which must be finite and, where one is given, of this
        shape.
        """
        part = FloatPart(self.tensor(name, *FLOATS))
        if shape and part.shape != shape:
            self.refuse(f"holds {name} in shape {part.shape}, not {shape}")
        if not _finite(part.values):
            self.refuse(f"holds {name} with numbers that are not finite")
        return part

    def norm(self, name: str, width: int) -> Norm:
        """Return a layer norm of `width` numbers."""
        weight, bias = (self.stored(f"{name}.{each}", width) for each in ("weight", "bias"))
        return Norm(weight, bias)

    def linear(self, name: str, inputs: int, outputs: int | None = None) -> Linear:
        """Return a linear layer of so many inputs; any number of outputs where none is given."""
        weight = self._weight(f"{name}.weight")
        if weight.shape[1:] != (inputs,) or weight.shape[0] != (outputs or weight.shape[0]):
            self.refuse(f"holds {name} in shape {weight.shape}, not ({outputs}, {inputs})")
        bias = self.stored(f"{name}.bias", weight.shape[0])
        return Linear(weight, bias, self._adapter(name, weight.shape[0], inputs))

    def _weight(self, name: str) -> FloatPart | FourBits | EightBits:
        weight = self.tensor(name, *FLOATS, np.uint8, np.int8)
        if weight.dtype == np.uint8:
            return self._four_bits(name)
        if weight.dtype == np.int8:
            if weight.ndim != 2:
                self.refuse(f"holds {name} in shape {weight.shape}, which is no matrix")
            absmax = self._finite_floats(f"{name.removesuffix('weight')}SCB", len(weight))
            return EightBits(weight, absmax)
        return self.stored(name)

    def _four_bits(self, name: str) -> FourBits:
        state, book = self._state(name), self._finite_floats(f"{name}.quant_map", 16)
        codes, block = self.tensor(name, np.uint8), int(state["blocksize"])
        outputs, inputs = state["shape"]
        whole = outputs * inputs
        if inputs % 2 or inputs % block or codes.size != whole // 2:
            self.refuse(f"holds {name} in {codes.size} bytes, which are not its shape's")
        scales = self._scales(name, whole // block, state)
        return FourBits(codes.reshape(outputs, inputs // 2), book, block, scales)

    def _state(self, name: str) -> Mapping[str, Any]:
        """Return what bitsandbytes says of a 4-bit layer."""
        places = [name + STATE + scheme for scheme in FOUR_BIT_SCHEMES]
        place = next((each for each in places if each in self.tensors), places[0])
        try:
            state = parsed_json(self.tensor(place, np.uint8).tobytes())
            sound = _is_state(state)
        except (ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            self.refuse(f"holds {name} in 4 bits, in a way that is not known here")
        return dict(state)

    def _scales(self, name: str, blocks: int, state: Mapping[str, Any]) -> Array | DoubleScales:
        if "nested_blocksize" not in state:
            return self._finite_floats(f"{name}.absmax", blocks)
        codes = self.tensor(f"{name}.absmax", np.uint8)
        if codes.shape != (blocks,):
            self.refuse(f"holds {codes.size} scales of {name}, not {blocks}")
        group = int(state["nested_blocksize"])
        return DoubleScales(
            codes,
            self._finite_floats(f"{name}.nested_quant_map", 256),
            self._finite_floats(f"{name}.nested_absmax", -(-blocks // group)),
            group,
            np.float32(state["nested_offset"]),
        )

    def _finite_floats(self, name: str, count: int) -> Array:
        """Return a vector of so many finite float32 numbers."""
        found = self.tensor(name, np.float32)
        if found.shape != (count,) or not np.isfinite(found).all():
            self.refuse(f"holds {name} in shape {found.shape} or not finite, not {count} numbers")
        return found

    def table(self, name: str, width: int) -> Table:
        """Return an embedding table, whose rows have `width` numbers."""
        scheme = table_schemes(self).get(name)
        if scheme is None:
            table = self.stored(f"{name}.weight")
            if table.shape[1:] != (width,):
                self.refuse(f"holds {name} in shape {table.shape}, not rows of {width}")
            return table
        rows = self.tensor(f"{name}.weight", np.uint8)
        block = 64 if scheme == "nf4" else width
        code_bytes, scales = -(-width // 2) if scheme == "nf4" else width, -(-width // block)
        if rows.ndim != 2 or rows.shape[1] != code_bytes + 2 * scales:
            self.refuse(f"holds {name} in shape {rows.shape}, not {scheme} rows of {width} numbers")
        absmax = np.ascontiguousarray(rows[:, code_bytes:]).view(np.float16)
        if not _finite(absmax):
            self.refuse(f"holds {name} with scales that are not finite")
        codes = np.ascontiguousarray(rows[:, :code_bytes])
        if scheme == "nf4":
            return FourBitRows(codes, NF4, block, absmax, width)
        return EightBitRows(codes.view(np.int8), absmax)

    def _adapter(self, name: str, outputs: int, inputs: int) -> AdapterPair | None:
        said = self.config.get(ADAPTERS_KEY)
        if said is None or name not in said["layers"]:
            return None
        below = f"{ADAPTERS_KEY}.{name.replace('.', '/')}"
        rank = int(said["rank"])
        a, b = self.stored(f"{below}/a", rank, inputs), self.stored(f"{below}/b", outputs, rank)
        return AdapterPair(a, b, np.float32(said["scale"]))


def _is_state(state: Any) -> bool:
    """Say whether this is what bitsandbytes says of a 4-bit layer: sizes, and of double
    quantization both parts or none.
    """
    double = "nested_blocksize" in state
    sizes = [state["blocksize"], *state["shape"], *([state["nested_blocksize"]] if double else [])]
    offset = state["nested_offset"] if double else 0.0
    whole = all(type(size) is int and size > 0 for size in sizes)
    return len(state["shape"]) == 2 and whole and _is_float32(offset)


def _are_adapters(said: Any) -> bool:
    """Say whether this is what config.json says of adapters."""
    if not isinstance(said, dict) or not isinstance(said.get("layers"), list):
        return False
    rank, scale = said.get("rank"), said.get("scale")
    return type(rank) is int and rank > 0 and _is_float32(scale)


def _is_float32(value: Any) -> bool:
    """Say whether this is a float that is finite in float32 too."""
    return type(value) is float and abs(value) <= float(np.finfo(np.float32).max)


def _finite(values: Array) -> bool:
    if values.dtype == np.uint16:  # bfloat16: all exponent bits set is infinite or no number
        return bool((values & 0x7F80 != 0x7F80).all())
    return bool(np.isfinite(values).all())


def table_schemes(model: Packed) -> Mapping[str, str]:
    """Return the scheme of each table that config.json says is rows of bytes, by its name.

    Raises:
        MinnowError: a scheme that is not known here.
    """
    said = model.config.get(EMBEDDINGS_KEY) or []
    blocks = said if isinstance(said, list) else [said]
    known = (("nf4", 64), ("int8", None))
    for block in blocks:
        named = isinstance(block, dict) and isinstance(block.get("tables"), list)
        if not named or (block.get("scheme"), block.get("block")) not in known:
            model.refuse(f"says {EMBEDDINGS_KEY} in a way that is not known here")
    return {str(name): block["scheme"] for block in blocks for name in block["tables"]}


def read_packed(folder: Path) -> Packed:
    """Return the config and tensors of a quantized model's folder.

    Raises:
        MinnowError: a file is missing or damaged, or holds a type that no quantized model has.
    """
    config = _read_config(folder)
    adapted = config.get(ADAPTERS_KEY)
    if adapted is not None and not _are_adapters(adapted):
        raise MinnowError(
            f"{folder / CONFIG} speaks of adapters in a way that is not known here; install the"
            " Minnow that wrote it"
        )
    file = supplied_file(folder / (WEIGHTS if adapted is None else ADAPTED_WEIGHTS), folder)
    try:
        entries = deserialize(file.read_bytes())  # type: ignore[no-untyped-call]  # has no types
    except (SafetensorError, OSError) as error:
        raise MinnowError(f"{file} is damaged ({reason(error)}); make or get it anew") from None
    return Packed(folder, config, {name: _array(file, name, entry) for name, entry in entries})


def _read_config(folder: Path) -> Mapping[str, Any]:
    file = supplied_file(folder / CONFIG, folder)
    try:
        config = parsed_json(bounded_text(file))
    except (ValueError, OSError) as error:
        raise MinnowError(f"{file} is damaged ({reason(error)}); make or get it anew") from None
    if not isinstance(config, dict):
        raise MinnowError(f"{file} holds no JSON object; make or get it anew")
    return config


def _array(file: Path, name: str, entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in TYPES:
        raise MinnowError(
            f"{file} holds {shortened(name)} as {entry['dtype']}, and quantized models hold"
            f" {', '.join(TYPES)}; make or get it anew"
        )
    return np.frombuffer(entry["data"], TYPES[entry["dtype"]]).reshape(entry["shape"])
