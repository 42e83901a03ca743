"""One weights file for both graphs: a tensor that both use is stored once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from safetensors.numpy import save_file

__all__ = ["load_graph", "store_weights"]

Names = dict[tuple[str, str], str]

INLINE_BELOW = 1024  # bytes; small constants stay in the graph, where shape inference sees them


def store_weights(graphs: dict[str, onnx.ModelProto], folder: Path, weights_name: str) -> Names:
    """Write `graphs` to `folder`, their weights moved to one safetensors file.

    The graphs refer into that file by offset, as ONNX external data, so that a tied
    embedding is on disk once and any safetensors reader can open the weights.

    Parameters
    ----------
    graphs : dict of str to onnx.ModelProto
        File name to graph. The graphs are changed in place.
    folder : Path
    weights_name : str
        Name of the safetensors file inside `folder`.

    Returns
    -------
    dict of (str, str) to str
        (graph file, initializer) to the tensor's name in the weights file.
    """
    tensors: dict[str, np.ndarray] = {}
    names: dict[tuple[object, ...], str] = {}
    stored: Names = {}
    moved: list[tuple[TensorProto, str]] = []
    for graph_name, graph in graphs.items():
        for initializer in graph.graph.initializer:
            array = numpy_helper.to_array(initializer)
            if array.nbytes < INLINE_BELOW:
                continue
            array = np.ascontiguousarray(array)
            digest = hashlib.sha256(array.tobytes()).digest()
            key = (digest, array.shape, array.dtype.str)
            if key not in names:
                names[key] = f"{graph_name.removesuffix('.onnx')}.{initializer.name}"
                tensors[names[key]] = array
            stored[graph_name, initializer.name] = names[key]
            moved.append((initializer, names[key]))
    path = folder / weights_name
    save_file(tensors, str(path))
    path.chmod(folder.stat().st_mode & 0o666)  # safetensors writes for the owner alone
    with path.open("rb") as stream:
        header_length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_length))
    for initializer, name in moved:
        start, end = header[name]["data_offsets"]
        initializer.ClearField("raw_data")
        initializer.ClearField("float_data")
        initializer.data_location = TensorProto.EXTERNAL
        del initializer.external_data[:]
        for field, value in (
            ("location", weights_name),
            ("offset", 8 + header_length + start),
            ("length", end - start),
        ):
            initializer.external_data.add(key=field, value=str(value))
    for graph_name, graph in graphs.items():
        (folder / graph_name).write_bytes(graph.SerializeToString())
    return stored


def load_graph(path: Path) -> onnx.ModelProto:
    """Read a graph with the weights that it refers to.

    As ``onnx.load`` does, which refuses a weights file that several model folders share by
    hard links.
    """
    graph = onnx.load(str(path), load_external_data=False)
    for tensor in graph.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        with (path.parent / where["location"]).open("rb") as stream:
            stream.seek(int(where["offset"]))
            tensor.raw_data = stream.read(int(where["length"]))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return graph
