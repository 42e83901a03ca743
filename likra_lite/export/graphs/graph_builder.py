"""ONNX graphs, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .weights import Reference

__all__ = ["IR_VERSION", "OPSET", "GraphBuilder"]

OPSET = 23  # the first with Attention and RotaryEmbedding
IR_VERSION = 11  # that of opset 23

Shape = Sequence[int | str]


class GraphBuilder:
    """Nodes and constants of a graph under construction.

    A node is called by its output, so every output needs a name of its own.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.names: set[str] = set()
        self.constants: dict[str, onnx.TensorProto] = {}

    def has(self, name: str) -> bool:
        """Return whether there is a constant or a node of that name."""
        return name in self.constants or name in self.names

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        """Add a small constant."""
        self.constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def weight(self, name: str, value: NDArray[np.float32] | Reference) -> str:
        """Add a weight: an array, or what is to be found in the weights file."""
        if not isinstance(value, Reference):
            return self.constant(name, value, np.float32)
        self.constants[name] = value.initializer(name)
        return name

    def number(self, value: int) -> str:
        """Return a whole number as a constant."""
        return self.constant(f"number_{value}", value)

    def scaled(self, x: str, factor: float, output: str) -> str:
        """Multiply by a constant."""
        return self.node("Mul", [x, self.constant(f"{output}.factor", factor, np.float32)], output)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        return self.nodes_of(kind, inputs, [output], **attributes)[0]

    def nodes_of(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs, and return their names."""
        names = list(outputs)
        self.names.update(names)
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names

    def model(
        self,
        name: str,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        integers: Sequence[str],
    ) -> onnx.ModelProto:
        """Return the graph.

        Parameters
        ----------
        name : str
        inputs, outputs : mapping of str to shape
        integers : sequence of str
            The inputs that are 64-bit integers; all others are floats.
        """

        def info(name: str, shape: Shape) -> onnx.ValueInfoProto:
            kind = TensorProto.INT64 if name in integers else TensorProto.FLOAT
            return helper.make_tensor_value_info(name, kind, list(shape))

        graph = helper.make_graph(
            self.nodes,
            name,
            [info(*pair) for pair in inputs.items()],
            [info(*pair) for pair in outputs.items()],
            list(self.constants.values()),
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
