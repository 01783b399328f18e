"""An ONNX graph, node by node: names are counted, so that equal calls give equal bytes."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from minnow.export.parts import Array

# 17 is the first with LayerNormalization, and what most runtimes read.
OPSET, IR_VERSION = 17, 8
CONTRIB = "com.microsoft"
FLOAT, INT8, INT32 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT32
INT64, BFLOAT16 = TensorProto.INT64, TensorProto.BFLOAT16


class Nodes:
    """The nodes and constants of a graph that is being written.

    Values are known by their names. Equal constants are stored once.
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[int, tuple[int, ...], bytes], Any] = {}
        self._taken: dict[str, int] = {}

    def constant(self, values: Array | np.generic | float | Sequence[int]) -> str:
        """Return the name of a constant; Python's integers are int64, its floats float32."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        return self._stored(numpy_helper.from_array(np.ascontiguousarray(array)))

    def bfloat16(self, bits: Array) -> str:
        """Return the name of a constant of bfloat16, given by its bits."""
        return self._stored(
            helper.make_tensor("", BFLOAT16, bits.shape, bits.astype("<u2").tobytes(), raw=True)
        )

    def _stored(self, tensor: Any) -> str:
        key = (tensor.data_type, tuple(tensor.dims), hashlib.sha256(tensor.raw_data).digest())
        if key not in self._constants:
            tensor.name = f"constant_{len(self._constants)}"
            self._constants[key] = tensor
        return str(self._constants[key].name)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output, and return that."""
        (output,) = self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)
        return output

    def ops(
        self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node, and return its outputs."""
        name = self._name(kind)
        made = [f"{name}_{place}" for place in range(outputs)]
        self._nodes.append(
            helper.make_node(kind, list(inputs), made, name=name, domain=domain, **attributes)
        )
        return made

    def op_named(self, kind: str, value: str, *, output: str) -> None:
        """Add a node of one input, whose output has a given name."""
        self._nodes.append(helper.make_node(kind, [value], [output], name=output))

    def _name(self, kind: str) -> str:
        self._taken[kind] = self._taken.get(kind, 0) + 1
        return f"{kind}_{self._taken[kind]}"

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
        """Return the file of the graph with these inputs and outputs, which nodes name."""
        graph = helper.make_graph(
            self._nodes, "minnow", inputs, outputs, list(self._constants.values())
        )
        domains = sorted({node.domain for node in self._nodes} - {""})
        imports = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="minnow"
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
