"""Shapes and small contents of a graph's tensors, seen by running it on two small inputs.

Shape inference gives up behind a reshape whose target is computed; running the graph does not.
Two runs with inputs of different sizes tell which sizes are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

__all__ = ["Observed"]

SMALL = 16  # values; of small integer tensors the content is kept too

Feeds = Mapping[str, NDArray[Any]]


class Observed:
    """Shapes and small contents of all tensors in two runs.

    Parameters
    ----------
    model : onnx.ModelProto
        Its weights may be elsewhere.
    runs : pair of dict of str to ndarray
        Inputs of different sizes wherever sizes are free.
    """

    def __init__(self, model: onnx.ModelProto, runs: tuple[Feeds, Feeds]) -> None:
        self.shapes: list[dict[str, tuple[int, ...]]] = []
        self.contents: list[dict[str, NDArray[Any]]] = []
        weightless, weights = _without_weights(model)
        evaluator = ReferenceEvaluator(weightless)
        for feeds in runs:
            values = evaluator.run(None, {**feeds, **weights}, intermediate=True)
            self.shapes.append({name: np.shape(value) for name, value in values.items() if name})
            self.contents.append(
                {
                    name: np.asarray(value)
                    for name, value in values.items()
                    if name and name not in weights and np.size(value) <= SMALL
                }
            )

    def rank(self, name: str) -> int:
        """Return the number of dimensions."""
        return len(self.shapes[0][name])

    def sizes(self, name: str) -> list[int | None]:
        """Return the size of each dimension, None where it is free."""
        first, second = (shapes[name] for shapes in self.shapes)
        return [a if a == b else None for a, b in zip(first, second, strict=True)]

    def content(self, name: str) -> NDArray[Any] | None:
        """Return a small tensor that is the same in both runs, else None."""
        first, second = (contents.get(name) for contents in self.contents)
        same = first is not None and second is not None and np.array_equal(first, second)
        return first if same else None

    def stretched_axes(self, name: str, result: str, matrices: bool = False) -> list[int] | None:
        """Return along which axes of `result` a tensor was repeated to take part in it.

        None if it was not. Axes that `name` lacks come first. Of products of `matrices`, the
        last two axes are no matter of repetition.
        """
        missing = self.rank(result) - self.rank(name)
        axes = set(range(missing))
        compared = self.rank(name) - 2 * matrices
        for shapes in self.shapes:
            pairs = zip(shapes[name][:compared], shapes[result][missing:], strict=False)
            axes |= {missing + axis for axis, (own, full) in enumerate(pairs) if own != full}
        return sorted(axes) or None


def _without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Feeds]:
    """Return a graph that takes its large constants as inputs, and zeros for these.

    Shapes do not depend on them, and they may be elsewhere, or too large to be read.
    """
    large = [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > SMALL
    ]
    names = {tensor.name for tensor in large}
    result = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    result.graph.name = model.graph.name
    result.graph.node.extend(model.graph.node)
    result.graph.input.extend(model.graph.input)
    result.graph.output.extend(model.graph.output)
    result.graph.initializer.extend(
        tensor for tensor in model.graph.initializer if tensor.name not in names
    )
    zeros: dict[str, NDArray[Any]] = {}
    for tensor in large:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        zeros[tensor.name] = np.broadcast_to(np.zeros((), kind), tuple(tensor.dims))
        result.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    return result, zeros
