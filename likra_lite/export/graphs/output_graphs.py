"""The graphs behind the trunk, built by hand: scoring with heads, and fitting them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from .graph_builder import GraphBuilder
from .weights import Reference

__all__ = [
    "BIAS",
    "WEIGHT",
    "Projection",
    "gradient_graph",
    "head_graph",
    "loss_graph",
]

WEIGHT, BIAS = "lm_head.weight", "lm_head.bias"
LEAST_LOG_PROB = -80.0  # nats


@dataclass(frozen=True)
class Projection:
    """A language model's vocabulary projection.

    Parameters
    ----------
    weight : ndarray or Reference of shape (V, H)
        The output embedding.
    bias : ndarray or Reference of shape (V,), or None
    logit_scale : float
        The logits are multiplied by this.
    softcap : float or None
        Then a logit x becomes ``softcap * tanh(x / softcap)``.
    """

    weight: NDArray[np.float32] | Reference
    bias: NDArray[np.float32] | Reference | None = None
    logit_scale: float = 1.0
    softcap: float | None = None


INTEGERS = ("rows", "target_rows", "targets")


def _logits(builder: GraphBuilder, projection: Projection, hidden: str) -> tuple[str, str | None]:
    """Return the logits of rows [N, H] and, if they are capped, the slope of the cap."""
    node = builder.node
    inputs = [hidden, builder.weight(WEIGHT, projection.weight)]
    if projection.bias is not None:
        inputs.append(builder.weight(BIAS, projection.bias))
    scale = projection.logit_scale
    logits = node("Gemm", inputs, "logits", transB=1, alpha=scale, beta=scale)
    if projection.softcap is None:
        return logits, None
    cap = builder.constant("softcap", projection.softcap, np.float32)
    squashed = node("Tanh", [node("Div", [logits, cap], "scaled")], "squashed")
    square = node("Mul", [squashed, squashed], "square")
    slope = node("Sub", [builder.constant("one", 1, np.float32), square], "slope")
    return node("Mul", [squashed, cap], "capped"), slope


def head_graph(projection: Projection) -> onnx.ModelProto:
    """Build the graph that turns hidden states into log-probabilities of targets.

    Inputs are ``hidden [N, H]``, ``delta [K, H, H]`` (one matrix per head), ``rows [M]``
    and ``targets [M]``; the output is ``log_prob [K, M]`` in nats, where
    ``log_prob[k, m] = log_softmax(logits(h + h @ delta[k]))[targets[m]]`` with
    ``h = hidden[rows[m]]``. A hidden state that predicts several targets is projected once.
    """
    vocabulary, size = projection.weight.shape
    builder = GraphBuilder()
    node, constant = builder.node, builder.constant
    adapted = node("Add", ["hidden", node("MatMul", ["hidden", "delta"], "moved")], "adapted")
    flat = node("Reshape", [adapted, constant("flat_shape", [-1, size])], "flat")
    logits, _ = _logits(builder, projection, flat)
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
        INTEGERS,
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
    builder = GraphBuilder()
    node = builder.node
    adapted = node("Add", ["hidden", node("MatMul", ["hidden", "delta"], "moved")], "adapted")
    curved = _append_loss(builder, projection, adapted, "rows")
    across = node("Transpose", ["row_weights"], "row_weights_across")
    mass = node("MatMul", [across, curved], "mass_row")
    node("Reshape", [mass, builder.constant("last", [-1])], "mass")
    node("MatMul", [node("Transpose", ["hidden"], "hidden_across"), "residual"], "gradient")
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
        INTEGERS,
    )


def loss_graph(projection: Projection) -> onnx.ModelProto:
    """Build the graph of a loss and its gradient with respect to hidden states.

    Inputs are those of :func:`gradient_graph` but for ``delta``, with ``target_rows`` for
    ``rows``; outputs are its ``loss []`` and ``residual [N, H]``, the gradient.
    """
    size = projection.weight.shape[1]
    builder = GraphBuilder()
    _append_loss(builder, projection, "hidden", "target_rows")
    return builder.model(
        "likra_lite_loss",
        {
            "hidden": ["N", size],
            "target_rows": ["M"],
            "targets": ["M"],
            "weight": [],
            "row_weights": ["N", 1],
        },
        {"loss": [], "residual": ["N", size]},
        INTEGERS,
    )


def _append_loss(builder: GraphBuilder, projection: Projection, hidden: str, rows: str) -> str:
    """Append the nodes that make ``loss``, ``expected`` and ``residual``.

    Returns the name of the probabilities times the squares of the cap's slopes.
    """
    node, constant = builder.node, builder.constant
    logits, slope = _logits(builder, projection, hidden)
    log_probs = node("LogSoftmax", [logits], "log_probs", axis=-1)
    last = constant("last", [-1])
    places = [node("Unsqueeze", [name, last], f"{name}_column") for name in (rows, "targets")]
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
    mean = node("MatMul", [probs, WEIGHT], "mean")
    scale = constant("logit_scale", projection.logit_scale, np.float32)
    scaled = node("Mul", ["row_weights", scale], "row_scales")
    expected = node("Mul", [mean, scaled], "expected")
    factor = node("Neg", [node("Mul", ["weight", scale], "weight_scale")], "factor")
    removed = node("Mul", [taken, factor], "removed")
    node("ScatterND", [expected, places[0], removed], "residual", reduction="add")
    return curved
