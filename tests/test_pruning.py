"""The last layer computes what is asked for only."""

from __future__ import annotations

import onnx
import pytest

from likra_lite.export import export_model
from likra_lite.export.exporters import TRACERS, missing_packages
from likra_lite.export.traced.pruning import select_rows_early

INSTALLED = [name for name in TRACERS if not missing_packages(name)]


@pytest.mark.parametrize("exporter", ["built", *INSTALLED])
def test_the_last_layers_mlp_works_on_the_selected_rows(exporter, llama_checkpoint, tmp_path):
    export_model(llama_checkpoint, tmp_path / "model", exporter=exporter)
    graph = onnx.load(str(tmp_path / "model" / "trunk.onnx"), load_external_data=False).graph
    gathers = [n for n in graph.node if n.op_type == "Gather" and n.name.endswith(".selected")]
    assert len(gathers) == 2  # the residual stream, and what the attention mixed
    selected = {node.output[0] for node in gathers}
    producers = {name: node for node in graph.node for name in node.output}
    behind, waiting = {}, ["hidden"]  # what lies between the selection and the result
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in behind and not selected & {*node.output}:
            behind[node.name] = node
            waiting.extend(node.input)
    products = [node for node in behind.values() if node.op_type == "MatMul"]
    assert len(products) == 4  # attention's output, gate, up, down
    assert sum(node.input[0] in selected for node in products) == 1
    assert "Attention" not in {node.op_type for node in behind.values()}


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
