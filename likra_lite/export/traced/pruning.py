"""Moving the selection of rows up, so that the last layer computes no row that is dropped.

Behind its attention, the last layer works on each token alone, and only some tokens predict
anything. So their selection, which is traced at the end of the graph, moves up to there.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["select_rows_early"]

# Operators that treat every token alike and alone.
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Max", "Min", "Cast"}
ACTIVATIONS = {"Exp", "Tanh", "Erf", "Sigmoid", "Relu", "Gelu", "Clip"}
ROW_WISE = ARITHMETIC | ACTIVATIONS
ENTRANCES = frozenset({"Add", "MatMul", "LowRankProduct"})  # where tokens of known width come in


def select_rows_early(graph: onnx.ModelProto, output: str, width: int) -> None:
    """Move the selection of rows up to the last layer's attention, in place.

    Parameters
    ----------
    graph : onnx.ModelProto
        It ends in ``Gather(Reshape(x), rows)``.
    output : str
        Name of the result.
    width : int
        Values in a row of `x`.
    """
    nodes = list(graph.graph.node)
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    values = {name: tensor.dims for name, tensor in constants.items()}
    shapes = {
        entry.name: [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        for entry in graph.graph.input
    }
    for node in nodes:
        if node.op_type == "Constant":
            values[node.output[0]] = node.attribute[0].t.dims
            constants[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in values:  # equal weights, stored once
            values[node.output[0]] = values[node.input[0]]
    for node in nodes:
        if node.op_type == "LowRankProduct":  # whose factors are inputs of the graph
            values.update({name: shapes[name] for name in node.input[1:]})
    producers = {name: node for node in nodes for name in node.output}
    gather = producers[output]
    flatten = producers[gather.input[0]]
    if gather.op_type != "Gather" or flatten.op_type != "Reshape":
        return
    rows = gather.input[1]
    consumers: dict[str, list[int]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            consumers[name].append(id(node))

    def row_wise(node: onnx.NodeProto) -> bool:
        if node.op_type == "MatMul":
            return len(values.get(node.input[1], ())) == 2
        if node.op_type == "ReduceMean":
            axes = constants.get(node.input[1]) if len(node.input) > 1 else None
            return axes is not None and numpy_helper.to_array(axes).tolist() == [-1]
        if node.op_type in ("LayerNormalization", "RMSNormalization"):
            return all(a.i == -1 for a in node.attribute if a.name == "axis")
        return node.op_type in ROW_WISE or node.op_type == "LowRankProduct"

    alone = {id(flatten)}  # what only the selected rows need
    for node in reversed(nodes):
        used = [user for name in node.output for user in consumers[name]]
        if used and all(user in alone for user in used) and row_wise(node):
            alone.add(id(node))
    alone.remove(id(flatten))

    def entrances(node: onnx.NodeProto) -> list[str]:
        """Return the inputs that hold tokens and are computed for all of them."""
        return [
            name
            for name in node.input
            if name and name not in values and id(producers.get(name)) not in alone
        ]

    while True:
        inside = [node for node in nodes if id(node) in alone]
        reached = alone | {id(flatten)}
        wrong = {
            id(node)
            for node in inside
            if (entrances(node) and node.op_type not in ENTRANCES)
            or any(user not in reached for name in node.output for user in consumers[name])
        }
        if not wrong:
            break
        alone -= wrong
    if id(producers[flatten.input[0]]) not in alone:
        return

    chosen: dict[str, str] = {}
    result: list[onnx.NodeProto] = []
    for node in nodes:
        if node is gather or node is flatten:
            continue
        if id(node) in alone:
            for name in entrances(node):
                if name not in chosen:
                    size = width if node.op_type == "Add" else values[node.input[1]][-2]
                    shape = f"{name}.selected_shape"
                    graph.graph.initializer.append(
                        numpy_helper.from_array(np.array([-1, size]), shape)
                    )
                    flat, chosen[name] = f"{name}.selected_flat", f"{name}.selected"
                    result.append(helper.make_node("Reshape", [name, shape], [flat], name=flat))
                    result.append(
                        helper.make_node("Gather", [flat, rows], [chosen[name]], name=chosen[name])
                    )
            for place, name in enumerate(node.input):
                node.input[place] = chosen.get(name, name)
            if node.output[0] == flatten.input[0]:
                node.output[0] = output
        result.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(_in_order(result))


def _in_order(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes so that each follows what it reads: rows may be computed last of all."""
    producers = {name: node for node in nodes for name in node.output}
    placed: set[int] = set()
    ordered: list[onnx.NodeProto] = []
    for last in nodes:
        waiting = [last]
        while waiting:
            node = waiting[-1]
            before = [producers[name] for name in node.input if name in producers]
            missing = [each for each in before if id(each) not in placed]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if id(node) not in placed:
                placed.add(id(node))
                ordered.append(node)
    return ordered
