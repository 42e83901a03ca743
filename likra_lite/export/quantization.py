"""8-bit integers for the matrix products of a model folder.

Weights get one scale per output channel, activations one per token, found as the token
passes: the largest of its values becomes 127. A token's result therefore does not depend
on what else is in the batch, as it does with one scale for the whole tensor. Embeddings,
norms, attention and the adapters of heads stay in float32.

Where LoRA heads are trained, the forward pass is that of scoring. The backward pass takes the
rounded weights back in float32, one matrix at a time, and knows nothing of the rounding of
activations (a straight-through estimate, Bengio et al. 2013, arXiv 1308.3432).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..engine.folder import check_weights, read_manifest, write_manifest
from ..engine.folder_writing import atomic_folder, copy_file
from ..engine.manifest import (
    ADAPTED,
    GRADIENT,
    HEAD,
    LORA_GRADIENT,
    TOKENIZER,
    TRUNK,
    WEIGHTS,
    Manifest,
)
from ..engine.subgraph import nodes_needed
from ..errors import ExportError
from ..heads.saved import is_fitted_folder
from .gradient.lora_gradient import LOSS, PROJECTION
from .graphs.weights import LazyTensor, Reference, referring_graph, store_weights, stored_tensors

__all__ = ["quantize_folder"]

INT8 = "int8"
LARGEST = 127  # of a symmetric 8-bit integer
ZERO = 128  # what stands for 0 in an unsigned one, which is what the processors multiply fastest
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


def quantize_folder(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Manifest:
    """Do the work of :func:`likra_lite.export.quantize_model`."""
    source = Path(folder)
    manifest = read_manifest(source)
    check_weights(source, manifest)
    if manifest.precision != "float32":
        raise ExportError(f"{folder} is {manifest.precision} already; expected float32")
    if is_fitted_folder(source):
        raise ExportError(
            f"{folder} has fitted heads, which belong to its float32 hidden states; quantize the "
            "model without heads and fit again"
        )
    weights = _Weights(stored_tensors(source / WEIGHTS))
    graphs = {
        name: _Quantizer(referring_graph(source / name), weights).run()
        for name in (TRUNK, HEAD, ADAPTED)
        if name in manifest.files
    }
    # The vocabulary is projected on in float32 wherever heads are fitted.
    graphs[GRADIENT] = referring_graph(source / GRADIENT)
    if LORA_GRADIENT in manifest.files:
        graph = referring_graph(source / LORA_GRADIENT)
        graphs[LORA_GRADIENT] = _Quantizer(graph, weights, LOSS, {PROJECTION}).run()
    with atomic_folder(out) as scratch:
        store_weights(graphs, scratch, WEIGHTS, weights.tensors)
        copy_file(source / TOKENIZER, scratch / TOKENIZER)
        return write_manifest(scratch, replace(manifest, precision=INT8))


def column_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the step of each of the N columns of a weight of shape (K, N), for 8 bits.

    Processors without VNNI multiply neighbours 2k and 2k+1 by activations of up to 255 and add
    the two products to a 16-bit integer, which cuts off sums above 32,767. So the step is such
    that the magnitudes of two neighbours add up to 127, and after rounding to 128 at most.
    """
    largest = np.add.reduceat(np.abs(weight), np.arange(0, len(weight), 2)).max(axis=0)
    return np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)


def rounded_to(scale: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return a weight of shape (K, N) in steps of its N columns' scales."""
    return np.round(weight / scale).astype(np.int8)


class _Weights:
    """The tensors of all graphs: a rounded one is made once, and read when it is written.

    Parameters
    ----------
    tensors : dict of str to LazyTensor
        Those of the float32 folder, by their names in its weights file. The rounded ones are
        added.
    """

    def __init__(self, tensors: dict[str, LazyTensor]) -> None:
        self.tensors = tensors
        self.scales: dict[str, NDArray[np.float32]] = {}

    def rounded(self, weight: TensorProto, transposed: bool) -> tuple[TensorProto, TensorProto]:
        """Return the initializers of a rounded weight, of shape (K, N), and of its scales."""
        name = int8_name(weight.name)
        if weight.data_location != TensorProto.EXTERNAL:  # a small one
            array = _turned(numpy_helper.to_array(weight), transposed)
            scale = column_scales(array)
            values = numpy_helper.from_array(np.ascontiguousarray(rounded_to(scale, array)), name)
            return values, numpy_helper.from_array(scale, scale_name(weight.name))
        stored = weight.external_data[0].value
        key = int8_name(f"{stored}.transposed" if transposed else stored)
        if key not in self.tensors:
            load = self.tensors[stored].load
            scale = self.scales[key] = column_scales(_turned(load(), transposed))
            self.tensors[key] = LazyTensor(
                tuple(weight.dims)[:: -1 if transposed else 1],
                lambda: rounded_to(scale, _turned(load(), transposed)),
                "int8",
            )
        values = Reference(key, self.tensors[key].shape, "int8").initializer(name)
        return values, numpy_helper.from_array(self.scales[key], scale_name(weight.name))


def _turned(weight: NDArray[Any], transposed: bool) -> NDArray[Any]:
    return weight.T if transposed else weight


def int8_name(name: str) -> str:
    """Return what a rounded weight is called."""
    return f"{name}.int8"


def scale_name(name: str) -> str:
    """Return what the scales of a rounded weight's columns are called."""
    return f"{name}.scale"


class _Quantizer:
    """Rewrites the products of activations and weights in one graph.

    Parameters
    ----------
    model : onnx.ModelProto
    weights : _Weights
    forward : str, optional
        Products that this output does not depend on stay in float32. All are rewritten by default.
    kept : collection of str, default=()
        Weights whose products stay in float32.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        weights: _Weights,
        forward: str | None = None,
        kept: Collection[str] = (),
    ) -> None:
        self.model, self.source, self.kept = model, weights, kept
        self.graph = model.graph
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        needed = None if forward is None else nodes_needed(self.graph, [forward])
        self.forward = None if needed is None else {node.output[0] for node in needed}
        self.nodes: list[onnx.NodeProto] = []
        self.rows: dict[str, tuple[str, str]] = {}  # activation -> (rounded, scale of each row)
        self.turned: dict[str, bool] = {}  # weight that was rounded -> whether transposed

    def run(self) -> onnx.ModelProto:
        """Return the rewritten graph, at the same inputs and outputs."""
        self._constant("int8.one", np.float32(1))
        self._constant("int8.zero", np.uint8(ZERO))
        self._constant("int8.step", np.float32(1 / LARGEST))
        self._constant("int8.last", np.array([-1]))
        for node in self.graph.node:
            if not (self._is_product(node) and self._rounded(node)):
                self._keep(node)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.weights.values() if tensor.name in used]
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self.model

    def _is_product(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] in self.kept:
            return False
        weight = self.weights.get(node.input[1])
        ahead = self.forward is None or node.output[0] in self.forward
        return ahead and weight is not None and len(weight.dims) == 2

    def _keep(self, node: onnx.NodeProto) -> None:
        """Keep a node; weights that are rounded elsewhere it takes back in float32."""
        for place, name in enumerate(node.input):
            if name in self.turned:
                # Each use has its own, so that no float32 weight outlives its product.
                back = f"{name}.back.{node.output[0]}"
                inputs = [int8_name(name), scale_name(name)]
                self._node("DequantizeLinear", inputs, back, axis=1)
                if self.turned[name]:
                    back = self._node("Transpose", [back], f"{back}.turned", perm=[1, 0])
                node.input[place] = back
        self.nodes.append(node)

    def _constant(self, name: str, value: Any) -> str:
        self.weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _node(
        self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **how: Any
    ) -> str:
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=output, domain=domain, **how)
        )
        return output

    def _round_rows(self, x: str, size: int) -> tuple[str, str]:
        """Return an activation's rows of `size` rounded, and the scale of each, made once.

        Unsigned with 128 for zero: ONNX Runtime multiplies signed activations 20 times slower.
        """
        if x not in self.rows:
            largest = self._node(
                "ReduceMax", [self._node("Abs", [x], f"{x}.abs"), "int8.last"], f"{x}.max"
            )
            scale = self._node("Mul", [largest, "int8.step"], f"{x}.scale")
            shape = self._node("Shape", [scale], f"{x}.rows")
            zero = self._node("Expand", ["int8.zero", shape], f"{x}.zero")
            rounded = self._node(
                "QuantizeLinear", [x, scale, zero], f"{x}.rounded", axis=-1, block_size=size
            )
            self.rows[x] = rounded, scale
        return self.rows[x]

    def _round_weight(self, name: str, transposed: bool) -> tuple[str, str]:
        """Return the rounded weight, of shape (K, N), and the scale of each of its columns."""
        rounded, scale = int8_name(name), scale_name(name)
        if name not in self.turned:
            self.turned[name] = transposed
            for tensor in self.source.rounded(self.weights[name], transposed):
                self.weights[tensor.name] = tensor
        return rounded, scale

    def _rounded(self, node: onnx.NodeProto) -> bool:
        """Replace a product, with bias and factor, by one of integers, unless that cannot be."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        factor = attributes.get("alpha", 1.0)
        bias = node.input[2] if len(node.input) > 2 else None
        if attributes.get("transA", 0) or (bias and attributes.get("beta", 1.0) != factor):
            return False
        transposed = bool(attributes.get("transB", 0))
        if self.turned.get(node.input[1], transposed) != transposed:
            return False
        weight, scale = self._round_weight(node.input[1], transposed)
        size = self.weights[weight].dims[0]
        x, row_scale = self._round_rows(node.input[0], size)
        output = node.output[0]
        steps: list[tuple[str, str]] = [("Mul", row_scale)]
        if bias:
            steps.append(("Add", bias))
        if factor != 1.0:
            steps.append(("Mul", self._constant(f"{output}.factor", np.float32(factor))))
        result = self._node(
            "MatMulIntegerToFloat",
            [x, weight, "int8.one", scale, "int8.zero"],
            f"{output}.product",
            domain=MICROSOFT,
        )
        for place, (kind, operand) in enumerate(steps, start=1):
            name = output if place == len(steps) else f"{output}.step{place}"
            result = self._node(kind, [result, operand], name)
        return True
