"""8-bit integers for the matrix products of a model folder.

Weights get one scale per output channel, activations one per token, found as the token
passes: the largest of its values becomes 127. A token's result therefore does not depend
on what else is in the batch, as it does with one scale for the whole tensor. Embeddings,
norms, attention and the adapters of heads stay in float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..engine.folder import (
    GRADIENT,
    HEAD,
    TOKENIZER,
    TRUNK,
    WEIGHTS,
    Manifest,
    check_weights,
    read_manifest,
    write_manifest,
)
from ..engine.folder_writing import atomic_folder, copy_file
from ..errors import ExportError
from ..heads.saved import is_fitted_folder
from .graphs.output_graphs import WEIGHT
from .graphs.weights import load_graph, store_weights

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
    graphs = {name: _Quantizer(load_graph(source / name)).run() for name in (TRUNK, HEAD)}
    graphs[GRADIENT] = load_graph(source / GRADIENT)  # heads are fitted in float32
    with atomic_folder(out) as scratch:
        names = store_weights(graphs, scratch, WEIGHTS)
        copy_file(source / TOKENIZER, scratch / TOKENIZER)
        head = {**manifest.head, "weight": names[GRADIENT, WEIGHT]}
        quantized = replace(manifest, precision=INT8, head=head)
        return write_manifest(scratch, quantized)


def quantize_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a weight of shape (K, N) to 8 bits, with one scale for each of its N columns.

    Processors without VNNI multiply neighbours 2k and 2k+1 by activations of up to 255 and add
    the two products to a 16-bit integer, which cuts off sums above 32,767. So the scale is such
    that the magnitudes of two neighbours add up to 127, and after rounding to 128 at most.

    Returns
    -------
    rounded : ndarray of shape (K, N)
        int8, such that ``rounded * scale`` is close to `weight`.
    scale : ndarray of shape (N,)
    """
    largest = np.add.reduceat(np.abs(weight), np.arange(0, len(weight), 2)).max(axis=0)
    scale = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    return np.round(weight / scale).astype(np.int8), scale


def int8_name(name: str) -> str:
    """Return what a rounded weight is called."""
    return f"{name}.int8"


def scale_name(name: str) -> str:
    """Return what the scales of a rounded weight's columns are called."""
    return f"{name}.scale"


class _Quantizer:
    """Rewrites the products of activations and weights in one graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.rows: dict[str, tuple[str, str]] = {}  # activation -> (rounded, scale of each row)

    def run(self) -> onnx.ModelProto:
        """Return the rewritten graph, at the same inputs and outputs."""
        self._constant("int8.one", np.float32(1))
        self._constant("int8.zero", np.uint8(ZERO))
        self._constant("int8.step", np.float32(1 / LARGEST))
        self._constant("int8.last", np.array([-1]))
        for node in self.graph.node:
            if node.op_type in ("MatMul", "Gemm") and self._is_matrix(node.input[1]):
                self._product(node)
            else:
                self.nodes.append(node)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.weights.values() if tensor.name in used]
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self.model

    def _is_matrix(self, name: str) -> bool:
        return name in self.weights and len(self.weights[name].dims) == 2

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
        if rounded not in self.weights:
            weight = numpy_helper.to_array(self.weights[name])
            values, steps = quantize_weight(weight.T if transposed else weight)
            self._constant(rounded, np.ascontiguousarray(values))
            self._constant(scale, steps)
        return rounded, scale

    def _product(self, node: onnx.NodeProto) -> None:
        """Replace a MatMul, or a Gemm with its bias and factor, by an integer product."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        factor = attributes.get("alpha", 1.0)
        bias = node.input[2] if len(node.input) > 2 else None
        if attributes.get("transA", 0) or (bias and attributes.get("beta", 1.0) != factor):
            self.nodes.append(node)
            return
        weight, scale = self._round_weight(node.input[1], bool(attributes.get("transB", 0)))
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
