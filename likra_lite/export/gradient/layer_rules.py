"""Rules of differentiation for activations, norms and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from .autodiff import Gradients, attributes, rule

__all__: list[str] = []

AFTER_SOFTMAX = 3  # which logits or weights the operator Attention gives out


def _number(g: Gradients, value: float) -> str:
    return g.constant(value, np.float32)


@rule("Sigmoid")
def _sigmoid(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    y = node.output[0]
    rest = g.node("Sub", [_number(g, 1.0), y])
    g.add(node.input[0], g.node("Mul", [dy, g.node("Mul", [y, rest])]))


@rule("Tanh")
def _tanh(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    y = node.output[0]
    slope = g.node("Sub", [_number(g, 1.0), g.node("Mul", [y, y])])
    g.add(node.input[0], g.node("Mul", [dy, slope]))


@rule("Erf")
def _erf(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x = node.input[0]
    bell = g.node("Exp", [g.node("Neg", [g.node("Mul", [x, x])])])
    slope = g.node("Mul", [bell, _number(g, 2.0 / math.sqrt(math.pi))])
    g.add(x, g.node("Mul", [dy, slope]))


@rule("Relu")
def _relu(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    zero = _number(g, 0.0)
    positive = g.node("Greater", [node.output[0], zero])
    g.add(node.input[0], g.node("Where", [positive, dy, zero]))


@rule("Gelu")
def _gelu(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x = node.input[0]
    one, half = _number(g, 1.0), _number(g, 0.5)
    if attributes(node).get("approximate", b"none") == b"tanh":
        # y = x * (1 + t) / 2 with t = tanh(c * (x + k * x ** 3)).
        c, k = math.sqrt(2.0 / math.pi), 0.044715
        square = g.node("Mul", [x, x])
        grown = g.node("Add", [one, g.node("Mul", [square, _number(g, k)])])
        t = g.node("Tanh", [g.node("Mul", [g.node("Mul", [x, grown]), _number(g, c)])])
        inner = g.node("Add", [_number(g, c), g.node("Mul", [square, _number(g, 3.0 * k * c)])])
        bend = g.node("Mul", [g.node("Sub", [one, g.node("Mul", [t, t])]), inner])
        both = g.node("Add", [g.node("Add", [one, t]), g.node("Mul", [x, bend])])
        slope = g.node("Mul", [both, half])
    else:
        t = g.node("Erf", [g.node("Mul", [x, _number(g, math.sqrt(0.5))])])
        share = g.node("Mul", [g.node("Add", [one, t]), half])
        bell = g.node("Exp", [g.node("Mul", [g.node("Mul", [x, x]), _number(g, -0.5)])])
        density = g.node("Mul", [bell, _number(g, 1.0 / math.sqrt(2.0 * math.pi))])
        slope = g.node("Add", [share, g.node("Mul", [x, density])])
    g.add(x, g.node("Mul", [dy, slope]))


def _mean(g: Gradients, x: str) -> str:
    return g.node("ReduceMean", [x, g.constant([-1])], keepdims=1)


def _check_last_axis(g: Gradients, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", -1)
    if axis not in (-1, g.observed.rank(node.input[0]) - 1):
        raise g.refuse(node, f"it works along axis {axis}, not the last")


@rule("Softmax")
def _softmax(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    _check_last_axis(g, node)
    g.add(node.input[0], _through_softmax(g, node.output[0], dy))


def _through_softmax(g: Gradients, y: str, dy: str) -> str:
    weighted = g.node("Mul", [dy, y])
    total = g.node("ReduceSum", [weighted, g.constant([-1])], keepdims=1)
    return g.node("Sub", [weighted, g.node("Mul", [y, total])])


@rule("RMSNormalization")
def _rms_norm(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    """Go back through y = w * x * r with r = (mean(x ** 2) + epsilon) ** -0.5."""
    _check_last_axis(g, node)
    x, weight = node.input
    if g.needs(weight):
        raise g.refuse(node, "its weight is computed")
    epsilon = _number(g, attributes(node).get("epsilon", 1e-5))
    square = g.node("Add", [_mean(g, g.node("Mul", [x, x])), epsilon])
    r = g.node("Reciprocal", [g.node("Sqrt", [square])])
    # dx = r * (w * dy - x * r * mean(y * dy))
    along = _mean(g, g.node("Mul", [dy, node.output[0]]))
    removed = g.node("Mul", [x, g.node("Mul", [along, r])])
    left = g.node("Sub", [g.node("Mul", [dy, weight]), removed])
    g.add(x, g.node("Mul", [left, r]))


@rule("LayerNormalization")
def _layer_norm(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    """Go back through y = w * n + b with n = (x - mean(x)) * r."""
    _check_last_axis(g, node)
    x, weight = node.input[:2]
    if any(map(g.needs, node.input[1:])):
        raise g.refuse(node, "its weight is computed")
    while len(node.output) < 3:  # the mean and r, which the operator knows
        node.output.append(f"{node.output[0]}.statistic{len(node.output)}")
    centre, r = node.output[1:3]
    n = g.node("Mul", [g.node("Sub", [x, centre]), r])
    dn = g.node("Mul", [dy, weight])
    along = g.node("Mul", [n, _mean(g, g.node("Mul", [dn, n]))])
    left = g.node("Sub", [g.node("Sub", [dn, _mean(g, dn)]), along])
    g.add(x, g.node("Mul", [left, r]))


@rule("RotaryEmbedding")
def _rotary(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x, cos, sin, *rest = node.input
    back = g.once("Neg", [sin])  # the inverse of a rotation turns the other way
    g.add(x, g.node("RotaryEmbedding", [dy, cos, back, *rest], **attributes(node)))


@rule("Attention")
def _attention(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    """Go back through attention without a past, from the weights that the operator gives out."""
    how = attributes(node)
    query, key, value, *rest = node.input
    unknown = set(how) - {"scale", "softcap", "q_num_heads", "kv_num_heads"}
    if unknown or len(rest) != 1 or "scale" not in how:
        raise g.refuse(node, f"it has inputs or attributes that are not expected: {unknown}")
    shape = _Heads(g, node, how)
    q = g.node("Mul", [shape.queries(query), _number(g, how["scale"])])
    k, v, d_mixed = shape.keys(key), shape.keys(value), shape.mixed(dy)
    weights = shape.weights(node)

    if g.needs(value):
        across = g.node("Transpose", [weights], perm=[0, 1, 3, 2])
        g.add(value, shape.keys_back(g.node("MatMul", [across, d_mixed])))
    d_weights = g.node("MatMul", [d_mixed, g.node("Transpose", [v], perm=[0, 1, 3, 2])])
    d_logits = _through_softmax(g, weights, d_weights)
    if how.get("softcap"):
        logits = g.node("MatMul", [q, g.node("Transpose", [k], perm=[0, 1, 3, 2])])
        t = g.node("Tanh", [g.node("Mul", [logits, _number(g, 1.0 / how["softcap"])])])
        slope = g.node("Sub", [_number(g, 1.0), g.node("Mul", [t, t])])
        d_logits = g.node("Mul", [d_logits, slope])
    if g.needs(query):
        d_query = g.node("MatMul", [d_logits, k])
        g.add(query, shape.queries_back(g.node("Mul", [d_query, _number(g, how["scale"])])))
    if g.needs(key):
        across = g.node("Transpose", [d_logits], perm=[0, 1, 3, 2])
        g.add(key, shape.keys_back(g.node("MatMul", [across, q])))


class _Heads:
    """The layouts of attention: [B, T, heads * d] or [B, heads, T, d] outside.

    Inside, the queries that share a key stand one after the other, [B, kv_heads, group * T, d],
    so that no key is repeated.
    """

    def __init__(self, g: Gradients, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        self.g = g
        self.flat = g.observed.rank(node.input[0]) == 3
        axis = 2 if self.flat else 1
        query, key, value = (g.observed.sizes(name) for name in node.input[:3])
        if self.flat:
            self.heads, self.kv_heads = how["q_num_heads"], how["kv_num_heads"]
        else:
            self.heads, self.kv_heads = int(query[axis] or 0), int(key[axis] or 0)
        share = (self.heads, self.kv_heads) if self.flat else (1, 1)
        self.size, self.value_size = (query[-1] or 0) // share[0], (value[-1] or 0) // share[1]
        if 0 in (self.heads, self.kv_heads, self.size, self.value_size):
            raise g.refuse(node, "the number and size of its heads are not fixed")

    def _apart(self, x: str, heads: int) -> str:
        if not self.flat:
            return x
        return self.g.node("Transpose", [self.g.reshaped(x, [0, 0, heads, -1])], perm=[0, 2, 1, 3])

    def _joined(self, x: str) -> str:
        if not self.flat:
            return x
        return self.g.reshaped(self.g.node("Transpose", [x], perm=[0, 2, 1, 3]), [0, 0, -1])

    def keys(self, x: str) -> str:
        """Bring keys or values inside."""
        return self._apart(x, self.kv_heads)

    def keys_back(self, x: str) -> str:
        """Bring the gradient of keys or values outside."""
        return self._joined(x)

    def queries(self, x: str) -> str:
        """Bring queries inside."""
        return self._grouped(self._apart(x, self.heads), self.size)

    def mixed(self, x: str) -> str:
        """Bring the gradient of the result inside."""
        return self._grouped(self._apart(x, self.heads), self.value_size)

    def queries_back(self, x: str) -> str:
        """Bring the gradient of queries outside."""
        if self.heads != self.kv_heads:
            x = self.g.reshaped(x, [0, self.heads, -1, self.size])
        return self._joined(x)

    def weights(self, node: onnx.NodeProto) -> str:
        """Let the operator give out its weights, and return them inside."""
        name = f"{node.output[0]}.weights"
        node.output.extend([""] * (3 - len(node.output)) + [name])
        node.attribute.append(onnx.helper.make_attribute("qk_matmul_output_mode", AFTER_SOFTMAX))
        # The operator's shape inference takes the number of keys for 0, so it is given here.
        keys = self.g.once("Gather", [self.g.shape(node.input[3]), self.g.constant([-1])])
        start = self.g.constant([0, self.kv_heads, -1])
        return self.g.node("Reshape", [name, self.g.once("Concat", [start, keys], axis=0)])

    def _grouped(self, x: str, size: int) -> str:
        return (
            x if self.heads == self.kv_heads else self.g.reshaped(x, [0, self.kv_heads, -1, size])
        )
