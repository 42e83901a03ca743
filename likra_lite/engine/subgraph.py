"""The part of an ONNX graph that some outputs depend on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["keep_needed", "nodes_needed"]


def keep_needed(graph: onnx.GraphProto, outputs: Collection[str]) -> None:
    """Drop what some outputs do not depend on: nodes, constants and other outputs; inputs stay.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place. Its nodes are in an order in which they can be computed.
    outputs : collection of str
        Names of the outputs that stay.
    """
    nodes = nodes_needed(graph, outputs)
    needed = {name for node in nodes for name in node.input}.union(outputs)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    kept = [entry for entry in graph.output if entry.name in outputs]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.output.extend(kept)


def nodes_needed(graph: onnx.GraphProto, outputs: Collection[str]) -> list[onnx.NodeProto]:
    """Return the nodes that some outputs depend on, in their order."""
    needed = set(outputs)
    nodes = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            nodes.append(node)
            needed.update(node.input)
    return nodes[::-1]
