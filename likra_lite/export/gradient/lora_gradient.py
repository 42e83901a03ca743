"""The graph that LoRA heads are trained with: a loss, and its gradient for every factor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...engine.head import GRADIENT_OF, LORA
from ...engine.subgraph import keep_needed
from ..graphs.output_graphs import WEIGHT, Projection, loss_graph
from . import layer_rules, operator_rules  # noqa: F401  (they fill the table of rules)
from .autodiff import append_gradients
from .norms import use_norm_operator
from .observed import Observed

__all__ = ["LOSS", "PROJECTION", "lora_gradient_graph"]

LOSS = "loss"  # the first output, and what the names of its part of the graph begin with
PROJECTION = f"{LOSS}.{WEIGHT}"  # the weight of the vocabulary projection

# Texts, tokens in each, rows that are asked for and rank, in two runs.
OBSERVED = ({"B": 2, "T": 5, "N": 3, "R": 4}, {"B": 3, "T": 7, "N": 6, "R": 2})


def lora_gradient_graph(adapted: onnx.ModelProto, projection: Projection) -> onnx.ModelProto:
    """Append a loss and its gradients to a trunk that takes the factors of LoRA heads.

    Parameters
    ----------
    adapted : onnx.ModelProto
        Inputs ``input_ids``, ``position_ids``, ``attention_bias``, ``rows``, ``past.*`` and
        ``lora.{module}.{a,b}``; outputs ``hidden`` and ``present.*``. It is not
        changed, and its weights may be elsewhere.
    projection : Projection
        The vocabulary projection.

    Returns
    -------
    onnx.ModelProto
        Inputs are those of the trunk, without a past and for one head, and what
        :func:`likra_lite.export.graphs.output_graphs.loss_graph` takes. Outputs are ``loss []`` and
        ``gradient.lora.{module}.{a,b}``, each of the shape of its factor. The trunk's weights
        have the names that they have in `adapted`.

    Raises
    ------
    ExportError
        If the gradient of one of the trunk's operators is not known.
    """
    model = onnx.ModelProto()
    model.CopyFrom(adapted)
    graph = model.graph
    _drop_past(graph)
    use_norm_operator(graph)
    keep_needed(graph, ["hidden"])
    runs = [_example(graph, sizes) for sizes in OBSERVED]
    observed = Observed(model, (runs[0], runs[1]))
    _append_loss(graph, projection)
    factors = [entry.name for entry in graph.input if entry.name.startswith(LORA)]
    gradients = append_gradients(graph, observed, {"hidden": "residual"}, factors)
    outputs = [helper.make_tensor_value_info(LOSS, TensorProto.FLOAT, [])]
    for entry in graph.input:
        if entry.name in gradients:
            outputs.append(onnx.ValueInfoProto())
            outputs[-1].CopyFrom(entry)
            outputs[-1].name = GRADIENT_OF + entry.name
            graph.node.append(
                helper.make_node("Identity", [gradients[entry.name]], [outputs[-1].name])
            )
    del graph.output[:]
    graph.output.extend(outputs)
    keep_needed(graph, [entry.name for entry in outputs])
    return model


def _drop_past(graph: onnx.GraphProto) -> None:
    """Take the past of earlier passes out: training has none."""
    past = {entry.name: entry for entry in graph.input if entry.name.startswith("past.")}
    for node in graph.node:
        if node.op_type == "Attention":
            kept = [name for name in node.input[4:] if name not in past]
            del node.input[4:]
            node.input.extend(kept)
            del node.output[1:]
    for name, entry in past.items():  # a length may be read from one
        shape = [d.dim_value for d in entry.type.tensor_type.shape.dim]
        empty = np.zeros((1, shape[1], 0, shape[3]), np.float32)
        graph.initializer.append(numpy_helper.from_array(empty, name))
    inputs = [entry for entry in graph.input if entry.name not in past]
    outputs = [entry for entry in graph.output if entry.name == "hidden"]
    del graph.input[:], graph.output[:]
    graph.input.extend(inputs)
    graph.output.extend(outputs)


def _example(graph: onnx.GraphProto, sizes: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Return small inputs for one head."""
    batch, length = sizes["B"], sizes["T"]
    feeds: dict[str, NDArray[Any]] = {
        "input_ids": np.ones((batch, length), np.int64),
        "position_ids": np.tile(np.arange(length), (batch, 1)),
        "attention_bias": np.zeros((batch, 1, length, length), np.float32),
        "rows": np.arange(sizes["N"]),
    }
    for entry in graph.input:
        if entry.name.startswith(LORA):
            dims = entry.type.tensor_type.shape.dim
            last = {"K": 1, "R": sizes["R"]}
            shape = [d.dim_value or last[d.dim_param] for d in dims]
            feeds[entry.name] = np.zeros(shape, np.float32)
    return feeds


def _append_loss(graph: onnx.GraphProto, projection: Projection) -> None:
    """Append the loss behind the final hidden states."""
    loss = loss_graph(projection).graph
    outside = {entry.name for entry in [*loss.input, *loss.output]}
    inside = {name for node in loss.node for name in [*node.input, *node.output]} - outside
    names = {name: f"{LOSS}.{name}" for name in inside}
    for node in loss.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in loss.initializer:
        tensor.name = names[tensor.name]
    graph.node.extend(loss.node)
    graph.initializer.extend(loss.initializer)
    graph.input.extend(entry for entry in loss.input if entry.name != "hidden")
