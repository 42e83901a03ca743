"""The last layer computes what is asked for only."""

from __future__ import annotations

import onnx

from likra_lite.export.pruning import select_rows_early


def test_the_last_layers_mlp_works_on_the_selected_rows(model_folder):
    graph = onnx.load(str(model_folder / "trunk.onnx"), load_external_data=False).graph
    gathers = [n for n in graph.node if n.op_type == "Gather" and n.input[1] == "rows"]
    assert len(gathers) == 2  # the residual stream, and what the attention mixed
    last = next(n for n in graph.node if n.output[0] == "hidden")
    assert last.op_type == "Mul"  # the final norm
    inputs = {n.output[0]: n for n in graph.node}
    products = [n for n in graph.node if n.op_type == "MatMul" and "layers.1" in n.name]
    out = next(n for n in products if "o_proj" in n.name)
    assert inputs[out.input[0]] in gathers


def test_a_graph_of_another_kind_is_left_alone():
    node = onnx.helper.make_node("Gather", ["x", "rows"], ["hidden"])
    flat = onnx.helper.make_node("Flatten", ["y"], ["x"])
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [flat, node],
        "g",
        [info("y", onnx.TensorProto.FLOAT, [2, 3]), info("rows", onnx.TensorProto.INT64, ["N"])],
        [info("hidden", onnx.TensorProto.FLOAT, ["N", 3])],
    )
    model = onnx.helper.make_model(graph)
    before = model.SerializeToString()
    select_rows_early(model, "hidden", 3)
    assert model.SerializeToString() == before
