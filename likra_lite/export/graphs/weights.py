"""One weights file for all graphs: a tensor that several use is stored once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...errors import ExportError
from ...system.safetensors_file import read_header

__all__ = ["LazyTensor", "Reference", "referring_graph", "store_weights", "stored_tensors"]

Names = dict[tuple[str, str], str]
Tensors = dict[str, "NDArray[Any] | LazyTensor"]

INLINE_BELOW = 1024  # bytes; small constants stay in the graph, where shape inference sees them
ALIGNMENT = 64  # bytes, of the first tensor in the file

# What safetensors calls the number formats that graphs have.
FORMATS = {"float32": "F32", "int64": "I64", "int8": "I8", "uint8": "U8"}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read when it is needed.

    Parameters
    ----------
    shape : tuple of int
    load : callable
        Returns the array, which may be read-only and in any order of its axes. The caller does
        not keep it.
    dtype : str, default="float32"
    """

    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]
    dtype: str = "float32"


@dataclass(frozen=True)
class Reference:
    """A tensor of the weights file, for graphs that are made before it is written.

    Parameters
    ----------
    tensor : str
        Its name there.
    shape : tuple of int
    dtype : str, default="float32"
    """

    tensor: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    def initializer(self, name: str) -> TensorProto:
        """Return the graph's initializer of the tensor; :func:`store_weights` completes it."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        proto = TensorProto(name=name, data_type=kind, dims=self.shape)
        proto.data_location = TensorProto.EXTERNAL
        proto.external_data.add(key="location", value=self.tensor)
        return proto


def store_weights(
    graphs: Mapping[str, onnx.ModelProto],
    folder: Path,
    weights_name: str,
    referred: Mapping[str, LazyTensor] | None = None,
) -> Names:
    """Write `graphs` to `folder`, their weights moved to one safetensors file.

    The graphs refer into that file by offset, as ONNX external data, so that a tied
    embedding is on disk once and any safetensors reader can open the weights.

    Parameters
    ----------
    graphs : mapping of str to onnx.ModelProto
        File name to graph. The graphs are changed in place.
    folder : Path
    weights_name : str
        Name of the safetensors file inside `folder`.
    referred : mapping of str to LazyTensor, optional
        The tensors that a :class:`Reference` names. They are read one at a time.

    Returns
    -------
    dict of (str, str) to str
        (graph file, initializer) to the tensor's name in the weights file.
    """
    tensors: Tensors = {}
    names: dict[tuple[object, ...], str] = {}
    stored: Names = {}
    moved: list[tuple[TensorProto, str]] = []
    for graph_name, graph in graphs.items():
        for initializer in graph.graph.initializer:
            if initializer.data_location == TensorProto.EXTERNAL:
                name = initializer.external_data[0].value
                tensors[name] = (referred or {})[name]
            else:
                array = numpy_helper.to_array(initializer)
                if array.nbytes < INLINE_BELOW:
                    continue
                array = np.ascontiguousarray(array)
                digest = hashlib.sha256(array.tobytes()).digest()
                key = (digest, array.shape, array.dtype.str)
                if key not in names:
                    names[key] = f"{graph_name.removesuffix('.onnx')}.{initializer.name}"
                    tensors[names[key]] = array
                name = names[key]
            stored[graph_name, initializer.name] = name
            moved.append((initializer, name))
    places = _write(folder / weights_name, tensors)
    for initializer, name in moved:
        start, end = places[name]
        initializer.ClearField("raw_data")
        initializer.ClearField("float_data")
        initializer.data_location = TensorProto.EXTERNAL
        del initializer.external_data[:]
        for field, value in (
            ("location", weights_name),
            ("offset", start),
            ("length", end - start),
        ):
            initializer.external_data.add(key=field, value=str(value))
    for graph_name, graph in graphs.items():
        (folder / graph_name).write_bytes(graph.SerializeToString())
    return stored


def _write(path: Path, tensors: Tensors) -> dict[str, tuple[int, int]]:
    """Write a safetensors file tensor by tensor, and return where in it each one lies."""
    widths = {name: np.dtype(tensor.dtype) for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: -widths[name].itemsize)  # each at its own alignment
    header: dict[str, Any] = {}
    end = 0
    for name in order:
        start, end = end, end + widths[name].itemsize * int(np.prod(tensors[name].shape))
        header[name] = {
            "dtype": FORMATS[widths[name].name],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            tensor = tensors[name]
            array = tensor.load() if isinstance(tensor, LazyTensor) else tensor
            if array.shape != tensor.shape or array.dtype != widths[name]:
                raise ExportError(
                    f"{name} has shape {array.shape} and format {array.dtype}, but expected "
                    f"{tensor.shape} and {widths[name]}"
                )
            stream.write(np.ascontiguousarray(array).data)
    first = 8 + len(text)
    return {
        name: (first + entry["data_offsets"][0], first + entry["data_offsets"][1])
        for name, entry in header.items()
    }


def referring_graph(path: Path) -> onnx.ModelProto:
    """Read a graph of a model folder; its weights are named as :class:`Reference` names them."""
    model = onnx.load(str(path), load_external_data=False)
    names: dict[str, dict[int, str]] = {}
    for initializer in model.graph.initializer:
        if initializer.data_location != TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in initializer.external_data}
        file = where["location"]
        if file not in names:
            first, header = read_header(path.parent / file)
            names[file] = {first + entry["data_offsets"][0]: name for name, entry in header.items()}
        del initializer.external_data[:]
        tensor = names[file][int(where["offset"])]
        initializer.external_data.add(key="location", value=tensor)
    return model


def stored_tensors(path: Path) -> dict[str, LazyTensor]:
    """Return the tensors of a weights file by name, each read when it is needed."""
    formats = {short: dtype for dtype, short in FORMATS.items()}
    first, header = read_header(path)
    tensors = {}
    for name, entry in header.items():
        shape, dtype = tuple(entry["shape"]), formats[entry["dtype"]]
        start = first + entry["data_offsets"][0]

        def load(start: int = start, shape: tuple[int, ...] = shape, dtype: str = dtype) -> Any:
            count = int(np.prod(shape))
            return np.fromfile(path, dtype, count, offset=start).reshape(shape)

        tensors[name] = LazyTensor(shape, load, dtype)
    return tensors
