"""The graphs behind the trunk, built by hand: scoring with heads, and fitting them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

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
LEAST = -70.0  # nats, from the likeliest token to one that still counts


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


def _shifted(builder: GraphBuilder, logits: str) -> str:
    """Return the logits of rows [N, V], the largest of each row shifted to 0."""
    node, axis = builder.node, builder.constant("tokens_axis", [1])
    return node(
        "Sub", [logits, node("ReduceMax", [logits, axis], "largest", keepdims=1)], "shifted"
    )


def _total(builder: GraphBuilder, exponentials: str, vocabulary: int) -> str:
    """Return the sum of each row of [N, V], of shape [N, 1].

    As a product with ones, which is summed in blocks. ONNX Runtime's LogSoftmax and ReduceSum, as
    PyTorch's log_softmax, add one by one in float32, where the many small ones no longer move
    the sum: of 49,152 tokens, each came out 2e-5 nats too likely, an answer up to 3e-4.
    """
    size = builder.constant("ones_shape", [vocabulary, 1])
    one = numpy_helper.from_array(np.ones(1, np.float32))
    ones = builder.node("ConstantOfShape", [size], "ones", value=one)
    return builder.node("MatMul", [exponentials, ones], "total_exponential")


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
    shifted = _shifted(builder, logits)
    total = _total(builder, node("Exp", [shifted], "exponentials"), vocabulary)
    heads = node("Shape", ["delta"], "heads", end=1)
    shape = node("Concat", [heads, constant("minus_one", [-1])], "per_head", axis=0)
    shifted = node("Reshape", [shifted, shape], "shifted_per_head")
    log_total = node("Reshape", [node("Log", [total], "log_total"), shape], "log_total_per_head")
    start = node("Mul", ["rows", constant("vocabulary", vocabulary)], "row_start")
    index = node("Add", [start, "targets"], "index")
    chosen = node("Gather", [shifted, index], "chosen", axis=1)
    node("Sub", [chosen, node("Gather", [log_total, "rows"], "subtracted", axis=1)], "log_prob")
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
    shifted = _shifted(builder, logits)
    # Below, probabilities would be subnormal floats, which some processors multiply slowly.
    least = constant("least", LEAST, np.float32)
    exponentials = node("Exp", [node("Max", [shifted, least], "shifted_kept")], "exponentials")
    total = _total(builder, exponentials, projection.weight.shape[0])
    probs = node("Div", [exponentials, total], "probs")
    last = constant("last", [-1])
    places = [node("Unsqueeze", [name, last], f"{name}_column") for name in (rows, "targets")]
    index = node("Concat", places, "index", axis=1)
    chosen = node("GatherND", [shifted, index], "chosen")
    log_total = node("Squeeze", [node("Log", [total], "log_total"), last], "log_total_row")
    subtracted = node("Gather", [log_total, rows], "subtracted")
    log_prob = node("Sub", [chosen, subtracted], "log_prob")
    loss = node("ReduceSum", [log_prob], "log_likelihood", keepdims=0)
    node("Neg", [node("Mul", [loss, "weight"], "weighted")], "loss")
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
