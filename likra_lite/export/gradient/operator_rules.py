"""Rules of differentiation for arithmetic and for what moves values around."""

from __future__ import annotations

import numpy as np
import onnx

from .autodiff import Gradients, attributes, rule

__all__: list[str] = []

END = 2**31  # and above: the end of an axis


@rule("Add")
def _add(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    for name in node.input:
        g.add_summed(name, node.output[0], dy)


@rule("Sub")
def _sub(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    left, right = node.input
    g.add_summed(left, node.output[0], dy)
    if g.needs(right):
        g.add_summed(right, node.output[0], g.node("Neg", [dy]))


@rule("Mul")
def _mul(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    left, right = node.input
    for name, other in ((left, right), (right, left)):
        if g.needs(name):
            g.add_summed(name, node.output[0], g.node("Mul", [dy, other]))


@rule("Div")
def _div(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    left, right = node.input
    share = g.node("Div", [dy, right])
    g.add_summed(left, node.output[0], share)
    if g.needs(right):
        change = g.node("Mul", [share, node.output[0]])
        g.add_summed(right, node.output[0], g.node("Neg", [change]))


@rule("Neg")
def _neg(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    g.add(node.input[0], g.node("Neg", [dy]))


@rule("Pow")
def _pow(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    base, exponent = node.input
    power = g.observed.content(exponent)
    if power is None or power.size != 1:
        raise g.refuse(node, "its exponent is no constant number")
    number = float(power.reshape(-1)[0])
    below = base
    if number != 2.0:
        below = g.node("Pow", [base, g.constant(number - 1.0, np.float32)])
    slope = g.node("Mul", [below, g.constant(number, np.float32)])
    g.add(base, g.node("Mul", [dy, slope]))


@rule("Sqrt")
def _sqrt(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    half = g.node("Mul", [dy, g.constant(0.5, np.float32)])
    g.add(node.input[0], g.node("Div", [half, node.output[0]]))


@rule("Reciprocal")
def _reciprocal(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    y = node.output[0]
    g.add(node.input[0], g.node("Neg", [g.node("Mul", [dy, g.node("Mul", [y, y])])]))


@rule("Exp")
def _exp(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    g.add(node.input[0], g.node("Mul", [dy, node.output[0]]))


@rule("Cast")
def _cast(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    if attributes(node)["to"] != onnx.TensorProto.FLOAT:
        raise g.refuse(node, "it rounds")
    g.add(node.input[0], dy)


@rule("Identity")
def _identity(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    g.add(node.input[0], dy)


@rule("Reshape", "Unsqueeze", "Squeeze", "Flatten")
def _reshape(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    g.add(node.input[0], g.node("Reshape", [dy, g.shape(node.input[0])]))


@rule("Transpose")
def _transpose(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    perm = attributes(node).get("perm") or range(g.observed.rank(node.input[0]))[::-1]
    g.add(node.input[0], g.node("Transpose", [dy], perm=np.argsort(list(perm)).tolist()))


@rule("Expand")
def _expand(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    g.add_summed(node.input[0], node.output[0], dy)


@rule("Concat")
def _concat(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    axis = attributes(node)["axis"]
    place = g.constant([axis])
    sizes = [g.node("Gather", [g.shape(name), place]) for name in node.input]
    split = g.node("Concat", sizes, axis=0)
    parts = g.nodes_of("Split", [dy, split], len(node.input), axis=axis)
    for name, part in zip(node.input, parts, strict=True):
        g.add(name, part)


@rule("Split")
def _split(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    zero = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.0])
    parts = [
        g.gradients.get(name) or g.node("ConstantOfShape", [g.shape(name)], value=zero)
        for name in node.output
    ]
    g.add(node.input[0], g.node("Concat", parts, axis=attributes(node).get("axis", 0)))


@rule("Slice")
def _slice(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x = node.input[0]
    rank, sizes = g.observed.rank(x), g.observed.sizes(x)
    given = [g.observed.content(name) for name in node.input[1:]]
    if any(value is None for value in given):
        raise g.refuse(node, "what it takes is computed")
    starts, ends, *rest = (value.tolist() for value in given if value is not None)
    axes = rest[0] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    before, after = [0] * rank, [0] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = sizes[axis]
        if start == 0 and end >= END and step == 1:
            continue
        if size is None:
            raise g.refuse(node, "it takes a part of an axis of free size")
        first, last, _ = slice(start, end, step).indices(size)
        if step == 1:
            before[axis], after[axis] = first, size - last
        elif axis in (-1, rank - 1) and step > 1 and size % step == 0 and last == size:
            dy = _spread(g, dy, x, first, step)
        else:
            raise g.refuse(node, f"it takes every {step}th value of {size}")
    if any(before) or any(after):
        dy = g.node("Pad", [dy, g.constant([*before, *after])])
    g.add(x, dy)


def _spread(g: Gradients, dy: str, x: str, first: int, step: int) -> str:
    """Put zeros between values, so that they are every `step`-th of the last axis again."""
    rank = g.observed.rank(x)
    apart = g.node("Unsqueeze", [dy, g.constant([-1])])
    pads = [0] * (2 * rank + 2)
    pads[rank], pads[-1] = first, step - 1 - first
    return g.node("Reshape", [g.node("Pad", [apart, g.constant(pads)]), g.shape(x)])


@rule("Gather")
def _gather(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x, rows = node.input
    if attributes(node).get("axis", 0) != 0 or g.observed.rank(rows) != 1:
        raise g.refuse(node, "it takes other than rows")
    zero = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.0])
    empty = g.once("ConstantOfShape", [g.shape(x)], value=zero)
    places = g.once("Unsqueeze", [rows, g.constant([-1])])
    g.add(x, g.node("ScatterND", [empty, places, dy], reduction="add"))


@rule("ReduceMean", "ReduceSum")
def _reduce(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x = node.input[0]
    how = attributes(node)
    axes = g.observed.content(node.input[1]) if len(node.input) > 1 else how.get("axes")
    if axes is None or not how.get("keepdims", 1):
        raise g.refuse(node, "it drops axes")
    if node.op_type == "ReduceMean":
        sizes = [g.observed.sizes(x)[axis] for axis in np.asarray(axes).tolist()]
        if None in sizes:
            raise g.refuse(node, "it reduces an axis of free size")
        count = np.prod(np.array(sizes, np.float64))
        dy = g.node("Mul", [dy, g.constant(1.0 / count, np.float32)])
    g.add(x, g.node("Expand", [dy, g.shape(x)]))


@rule("Where")
def _where(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    condition, yes, no = node.input
    zero = g.constant(0.0, np.float32)
    if g.needs(yes):
        g.add_summed(yes, node.output[0], g.node("Where", [condition, dy, zero]))
    if g.needs(no):
        g.add_summed(no, node.output[0], g.node("Where", [condition, zero, dy]))


@rule("MatMul")
def _matmul(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    x, w = node.input
    if g.is_weight(w):
        g.add(x, _through_weight(g, dy, x, w, transposed=False, factor=1.0))
        return
    rank = g.observed.rank(x), g.observed.rank(w)
    if min(rank) < 2:
        raise g.refuse(node, "it multiplies a vector")

    def swapped(name: str, count: int) -> str:
        perm = [*range(count - 2), count - 1, count - 2]
        return g.once("Transpose", [name], perm=perm)

    if g.needs(x):
        product = g.node("MatMul", [dy, swapped(w, rank[1])])
        g.add_summed(x, node.output[0], product, matrices=True)
    if g.needs(w):
        product = g.node("MatMul", [swapped(x, rank[0]), dy])
        g.add_summed(w, node.output[0], product, matrices=True)


@rule("Gemm")
def _gemm(g: Gradients, node: onnx.NodeProto, dy: str) -> None:
    how = attributes(node)
    x, w = node.input[:2]
    if how.get("transA", 0) or not g.is_weight(w) or any(map(g.needs, node.input[1:])):
        raise g.refuse(node, "its second factor is no weight")
    factor = how.get("alpha", 1.0)
    g.add(x, _through_weight(g, dy, x, w, transposed=bool(how.get("transB", 0)), factor=factor))


def _through_weight(
    g: Gradients, dy: str, x: str, weight: str, transposed: bool, factor: float
) -> str:
    """Multiply by the transpose of a weight, as ONNX Runtime does fastest: from a packed copy."""
    columns = g.constants[weight].dims[0 if transposed else 1]
    flat = g.observed.rank(x) == 2
    rows = dy if flat else g.reshaped(dy, [-1, columns])
    product = g.node("Gemm", [rows, weight], transB=int(not transposed), alpha=factor)
    return product if flat else g.node("Reshape", [product, g.shape(x)])
