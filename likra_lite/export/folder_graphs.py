"""All graphs of a model folder, from its trunks and its vocabulary projection."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import onnx

from ..engine.manifest import ADAPTED, GRADIENT, HEAD, LORA_GRADIENT
from ..errors import ExportError, NoGradientWarning
from .gradient.lora_gradient import lora_gradient_graph
from .graphs.output_graphs import Projection, gradient_graph, head_graph

__all__ = ["complete"]


def complete(
    trunks: Mapping[str, onnx.ModelProto], projection: Projection
) -> dict[str, onnx.ModelProto]:
    """Return all graphs of a model folder: those that were given, and what is made of them.

    Every exporter ends here, whichever way it came to its trunks.

    Parameters
    ----------
    trunks : mapping of str to onnx.ModelProto
        ``trunk.onnx`` and ``adapted.onnx``.
    projection : Projection

    Warns
    -----
    NoGradientWarning
        If LoRA heads can be used, but not trained on the CPU.
    """
    graphs = {**trunks, HEAD: head_graph(projection), GRADIENT: gradient_graph(projection)}
    try:
        graphs[LORA_GRADIENT] = lora_gradient_graph(trunks[ADAPTED], projection)
    except ExportError as error:
        warnings.warn(str(error), NoGradientWarning, stacklevel=2)
    return graphs
