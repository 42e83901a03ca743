"""Gradients of ONNX graphs, operator by operator, against finite differences."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from likra_lite.errors import ExportError
from likra_lite.export.gradient import layer_rules, operator_rules  # noqa: F401  (they fill the table)
from likra_lite.export.gradient.autodiff import append_gradients
from likra_lite.export.gradient.norms import use_norm_operator
from likra_lite.export.gradient.observed import Observed

OPSET = 23
node = helper.make_node


def graph_of(nodes, constants=None):
    """Return a model from x [B, T, 6] to y, with float32 and integer constants."""
    tensors = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (constants or {}).items()
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "T", 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "test", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=11)


def drawn(*shape):
    return np.random.default_rng(len(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


def gradient(model):
    """Return the gradient of the weighted sum of y for x, and the finite differences."""
    observed = Observed(model, ({"x": drawn(2, 5, 6)}, {"x": drawn(3, 4, 6)}))
    x = drawn(2, 5, 6)
    forward = ReferenceEvaluator(model)
    seed = drawn(*forward.run(None, {"x": x})[0].shape)
    both = onnx.ModelProto()
    both.CopyFrom(model)
    both.graph.initializer.append(numpy_helper.from_array(seed, "seed"))
    names = append_gradients(both.graph, observed, {"y": "seed"}, ["x"])
    both.graph.output.append(helper.make_tensor_value_info(names["x"], TensorProto.FLOAT, None))
    got = ReferenceEvaluator(both).run([names["x"]], {"x": x})[0]
    expected = np.zeros(x.shape)
    step = 1e-2
    for place in np.ndindex(x.shape):
        change = np.zeros_like(x)
        change[place] = step
        ends = [forward.run(None, {"x": x + sign * change})[0] for sign in (1, -1)]
        difference = ends[0].astype(np.float64) - ends[1]
        expected[place] = np.sum(difference * seed) / (2 * step)
    return got, expected


ROW, MATRIX = drawn(6), drawn(6, 4)
CASES = {
    **{kind: ([node(kind, ["x"], ["y"])], {}) for kind in (
        "Sigmoid", "Tanh", "Erf", "Relu", "Exp", "Sqrt", "Reciprocal", "Neg", "Identity", "Gelu",
    )},
    "Gelu tanh": ([node("Gelu", ["x"], ["y"], approximate="tanh")], {}),
    "Softmax": ([node("Softmax", ["x"], ["y"], axis=-1)], {}),
    "LayerNormalization": (
        [node("LayerNormalization", ["x", "w", "b"], ["y"], axis=-1)], {"w": ROW, "b": ROW}
    ),
    "RMSNormalization": ([node("RMSNormalization", ["x", "w"], ["y"], axis=-1)], {"w": ROW}),
    "Pow": ([node("Pow", ["x", "three"], ["y"])], {"three": np.float32(3)}),
    "Sub and Div by a sum": (
        [
            node("ReduceSum", ["x", "axes"], ["total"], keepdims=1),
            node("Sub", ["total", "x"], ["rest"]),
            node("Div", ["rest", "total"], ["y"]),
        ],
        {"axes": np.array([-1])},
    ),
    "Mul by a mean": (
        [
            node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            node("Mul", ["x", "mean"], ["y"]),
        ],
        {"axes": np.array([-1])},
    ),
    "Where": (
        [
            node("Greater", ["x", "one"], ["large"]),
            node("Mul", ["x", "x"], ["square"]),
            node("Where", ["large", "square", "x"], ["y"]),
        ],
        {"one": np.float32(1)},
    ),
    "Split and Concat": (
        [
            node("Split", ["x", "sizes"], ["a", "b"], axis=-1),
            node("Mul", ["b", "b"], ["bb"]),
            node("Concat", ["bb", "a", "a"], ["y"], axis=-1),
        ],
        {"sizes": np.array([2, 4])},
    ),
    "a part of Split": (
        [node("Split", ["x", "sizes"], ["a", "b"], axis=-1), node("Exp", ["b"], ["y"])],
        {"sizes": np.array([2, 4])},
    ),
    "Slice": (
        [node("Slice", ["x", "start", "end", "axis"], ["a"]), node("Mul", ["a", "a"], ["y"])],
        {"start": np.array([1]), "end": np.array([-1]), "axis": np.array([2])},
    ),
    "Slice of every second": (
        [
            node("Slice", ["x", "start", "end", "axis", "step"], ["a"]),
            node("Mul", ["a", "a"], ["y"]),
        ],
        {
            "start": np.array([1]), "end": np.array([2**40]),
            "axis": np.array([2]), "step": np.array([2]),
        },
    ),
    "Gather of rows": (
        [
            node("Reshape", ["x", "shape"], ["flat"]),
            node("Gather", ["flat", "rows"], ["some"]),
            node("Mul", ["some", "some"], ["y"]),
        ],
        {"shape": np.array([-1, 6]), "rows": np.array([0, 3, 3])},
    ),
    "Transpose and MatMul": (
        [
            node("Transpose", ["x"], ["across"], perm=[0, 2, 1]),
            node("MatMul", ["x", "across"], ["y"]),
        ],
        {},
    ),
    "MatMul by a weight": ([node("MatMul", ["x", "w"], ["y"])], {"w": MATRIX}),
    "MatMul with repeated matrices": (
        [
            node("ReduceSum", ["x", "axes"], ["one"], keepdims=1),
            node("Transpose", ["one"], ["across"], perm=[0, 2, 1]),
            node("MatMul", ["x", "across"], ["y"]),
        ],
        {"axes": np.array([0])},
    ),
    "Gemm": (
        [
            node("Reshape", ["x", "shape"], ["flat"]),
            node("Gemm", ["flat", "w", "b"], ["y"], alpha=0.5, transB=1),
        ],
        {"shape": np.array([-1, 6]), "w": MATRIX.T.copy(), "b": drawn(4)},
    ),
    "Expand": (
        [
            node("ReduceSum", ["x", "axes"], ["row"], keepdims=1),
            node("Shape", ["x"], ["shape"]),
            node("Expand", ["row", "shape"], ["wide"]),
            node("Mul", ["wide", "x"], ["y"]),
        ],
        {"axes": np.array([1])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_gradient_is_the_limit_of_differences(case):
    got, expected = gradient(graph_of(*CASES[case]))
    np.testing.assert_allclose(got, expected, rtol=2e-2, atol=2e-2 * np.abs(expected).max())


def rms_norm(last):
    return graph_of(
        [
            node("Pow", ["x", "two"], ["square"]),
            node("ReduceMean", ["square", "axes"], ["mean"], keepdims=1),
            node("Add", ["mean", "epsilon"], ["above"]),
            node("Sqrt", ["above"], ["root"]),
            *last,
            node("Mul", ["w", "normal"], ["y"]),
        ],
        {
            "two": np.float32(2), "axes": np.array([-1]), "epsilon": np.float32(1e-5), "w": ROW,
            "one": np.float32(1),
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    "last",
    [
        [node("Div", ["one", "root"], ["scale"]), node("Mul", ["x", "scale"], ["normal"])],
        [node("Reciprocal", ["root"], ["scale"]), node("Mul", ["scale", "x"], ["normal"])],
        [node("Div", ["x", "root"], ["normal"])],
    ],
)
def test_a_norm_in_pieces_becomes_one_operator(last):
    model, x = rms_norm(last), drawn(2, 5, 6)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    use_norm_operator(model.graph)
    assert model.graph.node[-1].op_type == "RMSNormalization"
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"x": x})[0], expected, 1e-5)


def test_what_is_no_norm_stays():
    other = [node("Div", ["w", "root"], ["scale"]), node("Mul", ["x", "scale"], ["normal"])]
    model = rms_norm(other)
    use_norm_operator(model.graph)
    assert "RMSNormalization" not in {one.op_type for one in model.graph.node}


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("Sin", ["x"], ["y"])], {}, "operator Sin .* no rule"),
        ([node("Softmax", ["x"], ["y"], axis=1)], {}, "along axis 1"),
        ([node("Pow", ["x", "x"], ["y"])], {}, "exponent"),
        (
            [node("Slice", ["x", "start", "end", "axis"], ["y"])],
            {"start": np.array([1]), "end": np.array([3]), "axis": np.array([1])},
            "free size",
        ),
    ],
)
def test_what_has_no_rule_is_named(nodes, constants, message):
    with pytest.raises(ExportError, match=message):
        gradient(graph_of(nodes, constants))
