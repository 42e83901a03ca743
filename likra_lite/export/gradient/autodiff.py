"""Reverse-mode differentiation of ONNX graphs.

:func:`append_gradients` walks a graph backwards and appends, for every node on a path from the
wanted inputs to the seeded results, the nodes that pull the gradient back through it. What an
operator does to a gradient is a rule in :data:`RULES`, by the operator's name; the modules beside
this one fill it. Frozen weights get no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import ExportError
from .observed import Observed

__all__ = ["RULES", "Gradients", "append_gradients", "attributes", "rule"]

Rule = Callable[["Gradients", onnx.NodeProto, str], None]

RULES: dict[str, Rule] = {}

# Operators whose results do not change with their inputs' values.
CONSTANT_RESULT = {"Shape", "Size"}


def rule(*kinds: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of some operators.

    It is given the nodes under construction, the node to go back through, and the name of the
    gradient of the node's first output; it calls :meth:`Gradients.add` for the node's inputs.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


class Gradients:
    """The backward nodes of a graph, under construction.

    Parameters
    ----------
    graph : onnx.GraphProto
    observed : Observed
    varying : set of str
        Tensors that depend on what gradients are wanted for.
    """

    def __init__(self, graph: onnx.GraphProto, observed: Observed, varying: set[str]) -> None:
        self.observed = observed
        self.varying = varying
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        self.nodes: list[onnx.NodeProto] = []
        self.new: dict[bytes, onnx.TensorProto] = {}
        self.gradients: dict[str, str] = {}
        self._made: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def needs(self, name: str) -> bool:
        """Return whether the gradient of a tensor is wanted."""
        return name in self.varying

    def is_weight(self, name: str) -> bool:
        """Return whether a tensor is a constant matrix."""
        return name in self.constants and len(self.constants[name].dims) == 2

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Return the name of a constant; equal ones are stored once."""
        array = np.asarray(value, dtype)
        key = repr((array.dtype.str, array.shape)).encode() + array.tobytes()
        if key not in self.new:
            name = f"backward.constant{len(self.new)}"
            self.new[key] = numpy_helper.from_array(array, name)
        return self.new[key].name

    def node(self, kind: str, inputs: Sequence[str], **how: Any) -> str:
        """Append a node with one output and return the output's name."""
        self._count += 1
        name = f"backward.{self._count}.{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **how))
        return name

    def nodes_of(self, kind: str, inputs: Sequence[str], outputs: int, **how: Any) -> list[str]:
        """Append a node with several outputs and return their names."""
        self._count += 1
        name = f"backward.{self._count}.{kind}"
        names = [f"{name}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **how))
        return names

    def once(self, kind: str, inputs: Sequence[str], **how: Any) -> str:
        """Return :meth:`node`, the one that there is if it was asked for before."""
        key = (kind, *inputs, *sorted((name, repr(value)) for name, value in how.items()))
        if key not in self._made:
            self._made[key] = self.node(kind, inputs, **how)
        return self._made[key]

    def shape(self, name: str) -> str:
        """Return the name of a tensor's shape."""
        return self.once("Shape", [name])

    def reshaped(self, name: str, shape: Sequence[int]) -> str:
        """Return a tensor in a shape, in which 0 keeps a size and -1 is what is left."""
        return self.node("Reshape", [name, self.constant(shape)])

    def add(self, name: str, gradient: str) -> None:
        """Add to the gradient of a tensor, if it is wanted."""
        if not self.needs(name):
            return
        before = self.gradients.get(name)
        self.gradients[name] = gradient if before is None else self.node("Add", [before, gradient])

    def add_summed(self, name: str, result: str, gradient: str, matrices: bool = False) -> None:
        """Add the gradient of a tensor that was repeated to take part in `result`."""
        if not self.needs(name):
            return
        axes = self.observed.stretched_axes(name, result, matrices)
        if axes is not None:
            summed = self.node("ReduceSum", [gradient, self.constant(axes)], keepdims=0)
            gradient = self.node("Reshape", [summed, self.shape(name)])
        self.add(name, gradient)

    def refuse(self, node: onnx.NodeProto, why: str) -> ExportError:
        """Return the error of a node that no rule covers."""
        return ExportError(
            f"LoRA heads cannot be trained on the CPU: the gradient of the operator {node.op_type} "
            f"({node.name or node.output[0]}) is not known: {why}"
        )


def append_gradients(
    graph: onnx.GraphProto,
    observed: Observed,
    seeds: Mapping[str, str],
    wanted: Iterable[str],
) -> dict[str, str]:
    """Append nodes that compute gradients, in place.

    Parameters
    ----------
    graph : onnx.GraphProto
        Its nodes are in order.
    observed : Observed
        Of the same graph.
    seeds : mapping of str to str
        From results to the tensors that hold their gradients, which must be in the graph.
    wanted : iterable of str
        Tensors whose gradients are wanted.

    Returns
    -------
    dict of str to str
        From each of `wanted` to its gradient. One that no seed depends on is missing.

    Raises
    ------
    ExportError
        If there is no rule for an operator on the way.
    """
    targets = set(wanted)
    varying = set(targets)
    for node in graph.node:
        if node.op_type not in CONSTANT_RESULT and not varying.isdisjoint(node.input):
            varying.update(name for name in node.output if name)
    work = Gradients(graph, observed, varying)
    work.gradients.update(seeds)
    for node in reversed(graph.node):
        given = [name for name in node.output if name in work.gradients]
        if not given or varying.isdisjoint(node.input):
            continue
        if node.op_type != "Split" and given != [node.output[0]]:
            raise work.refuse(node, f"a gradient comes through {given}")
        if node.op_type not in RULES:
            raise work.refuse(node, "there is no rule for it")
        RULES[node.op_type](work, node, work.gradients.get(node.output[0], ""))
    graph.node.extend(work.nodes)
    graph.initializer.extend(work.new.values())
    return {name: work.gradients[name] for name in targets if name in work.gradients}
