"""The graphs behind the trunk, built by hand: scoring with heads, and fitting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .operators import IR_VERSION, OPSET

__all__ = ["BIAS", "WEIGHT", "Projection", "gradient_graph", "head_graph"]

WEIGHT, BIAS = "lm_head.weight", "lm_head.bias"
LEAST_LOG_PROB = -80.0  # nats


@dataclass(frozen=True)
class Projection:
    """A language model's vocabulary projection.

    Parameters
    ----------
    weight : ndarray of shape (V, H)
        The output embedding.
    bias : ndarray of shape (V,) or None
    logit_scale : float
        The logits are multiplied by this.
    softcap : float or None
        Then a logit x becomes ``softcap * tanh(x / softcap)``.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    logit_scale: float = 1.0
    softcap: float | None = None


@dataclass
class _Builder:
    """Nodes and constants of a graph under construction."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def logits(self, projection: Projection, hidden: str) -> tuple[str, str | None]:
        """Return the logits of rows [N, H] and, if they are capped, the slope of the cap."""
        inputs = [hidden, self.constant(WEIGHT, projection.weight, np.float32)]
        if projection.bias is not None:
            inputs.append(self.constant(BIAS, projection.bias, np.float32))
        scale = projection.logit_scale
        logits = self.node("Gemm", inputs, "logits", transB=1, alpha=scale, beta=scale)
        if projection.softcap is None:
            return logits, None
        cap = self.constant("softcap", projection.softcap, np.float32)
        squashed = self.node("Tanh", [self.node("Div", [logits, cap], "scaled")], "squashed")
        square = self.node("Mul", [squashed, squashed], "square")
        slope = self.node("Sub", [self.constant("one", 1, np.float32), square], "slope")
        return self.node("Mul", [squashed, cap], "capped"), slope

    def model(
        self, name: str, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]
    ) -> onnx.ModelProto:
        """Return the graph; ``rows`` and ``targets`` are integers."""

        def info(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
            whole = name in ("rows", "targets")
            kind = TensorProto.INT64 if whole else TensorProto.FLOAT
            return helper.make_tensor_value_info(name, kind, shape)

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


def head_graph(projection: Projection) -> onnx.ModelProto:
    """Build the graph that turns hidden states into log-probabilities of targets.

    Inputs are ``hidden [N, H]``, ``delta [K, H, H]`` (one matrix per head), ``rows [M]``
    and ``targets [M]``; the output is ``log_prob [K, M]`` in nats, where
    ``log_prob[k, m] = log_softmax(logits(h + h @ delta[k]))[targets[m]]`` with
    ``h = hidden[rows[m]]``. A hidden state that predicts several targets is projected once.
    """
    vocabulary, size = projection.weight.shape
    builder = _Builder()
    node, constant = builder.node, builder.constant
    adapted = node("Add", ["hidden", node("MatMul", ["hidden", "delta"], "moved")], "adapted")
    flat = node("Reshape", [adapted, constant("flat_shape", [-1, size])], "flat")
    logits, _ = builder.logits(projection, flat)
    log_probs = node("LogSoftmax", [logits], "log_probs", axis=-1)
    heads = node("Shape", ["delta"], "heads", end=1)
    shape = node("Concat", [heads, constant("minus_one", [-1])], "per_head", axis=0)
    log_probs = node("Reshape", [log_probs, shape], "log_probs_per_head")
    start = node("Mul", ["rows", constant("vocabulary", vocabulary)], "row_start")
    node("Gather", [log_probs, node("Add", [start, "targets"], "index")], "log_prob", axis=1)
    return builder.model(
        "likra_lite_head",
        {"hidden": ["N", size], "delta": ["K", size, size], "rows": ["M"], "targets": ["M"]},
        {"log_prob": ["K", "M"]},
    )


def gradient_graph(projection: Projection) -> onnx.ModelProto:
    """Build the graph that heads are fitted with: a loss and its gradient.

    Inputs are ``hidden [N, H]``, ``delta [H, H]``, ``rows [M]``, ``targets [M]``, ``weight []``,
    the weight of a target, and ``row_weights [N, 1]``, the sum of the weights of each row's
    targets. With z the logits of ``hidden + hidden @ delta``, p their softmax and W the output
    embedding times the slope dz / d(W h), outputs are

    - ``loss []``, the weighted sum of the targets' negative log-probabilities;
    - ``expected [N, H]``, each row's weight times the mean of W under p;
    - ``gradient [H, H]``, that of the loss with respect to ``delta``;
    - ``mass [V]``, the weighted sum of p over the rows, times the slopes' squares.
    """
    vocabulary, size = projection.weight.shape
    builder = _Builder()
    node, constant = builder.node, builder.constant
    adapted = node("Add", ["hidden", node("MatMul", ["hidden", "delta"], "moved")], "adapted")
    logits, slope = builder.logits(projection, adapted)
    log_probs = node("LogSoftmax", [logits], "log_probs", axis=-1)
    last = constant("last", [-1])
    places = [node("Unsqueeze", [name, last], f"{name}_column") for name in ("rows", "targets")]
    index = node("Concat", places, "index", axis=1)
    chosen = node("GatherND", [log_probs, index], "chosen")
    total = node("ReduceSum", [chosen], "total", keepdims=0)
    node("Neg", [node("Mul", [total, "weight"], "weighted_total")], "loss")

    # Below, probabilities would be subnormal floats, which some processors multiply slowly.
    least = constant("least", LEAST_LOG_PROB, np.float32)
    probs = node("Exp", [node("Max", [log_probs, least], "log_probs_kept")], "probs")
    taken = node("Gather", [WEIGHT, "targets"], "taken")
    curved = probs
    if slope is not None:
        probs = node("Mul", [probs, slope], "sloped")
        curved = node("Mul", [probs, slope], "curved")
        steepness = node("GatherND", [slope, index], "chosen_slope")
        steepness = node("Unsqueeze", [steepness, last], "chosen_slope_column")
        taken = node("Mul", [taken, steepness], "taken_sloped")
    across = node("Transpose", ["row_weights"], "row_weights_across")
    node("Reshape", [node("MatMul", [across, curved], "mass_row"), last], "mass")
    mean = node("MatMul", [probs, WEIGHT], "mean")
    scale = constant("logit_scale", projection.logit_scale, np.float32)
    scaled = node("Mul", ["row_weights", scale], "row_scales")
    expected = node("Mul", [mean, scaled], "expected")
    factor = node("Neg", [node("Mul", ["weight", scale], "weight_scale")], "factor")
    removed = node("Mul", [taken, factor], "removed")
    residual = node("ScatterND", [expected, places[0], removed], "residual", reduction="add")
    node("MatMul", [node("Transpose", ["hidden"], "hidden_across"), residual], "gradient")
    return builder.model(
        "likra_lite_gradient",
        {
            "hidden": ["N", size],
            "delta": [size, size],
            "rows": ["M"],
            "targets": ["M"],
            "weight": [],
            "row_weights": ["N", 1],
        },
        {
            "loss": [],
            "expected": ["N", size],
            "gradient": [size, size],
            "mass": [vocabulary],
        },
    )
