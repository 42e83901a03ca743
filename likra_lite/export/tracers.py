"""The traced trunk as an ONNX graph, whichever exporter traces it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from ..errors import import_extra
from .adapted import AdaptedTrunk, expand_products
from .example import axes
from .exporters import TRACERS
from .operators import use_standard_domain
from .pruning import select_rows_early
from .trunk import Trunk

__all__ = ["trunk_graph"]


def trunk_graph(
    trunk: Trunk, past: list[tuple[int, int]], path: Path, tracer: str
) -> onnx.ModelProto:
    """Trace `trunk` and return its graph.

    Parameters
    ----------
    trunk : Trunk
    past : list of (kv_heads, head_size)
        One pair per layer, see :func:`likra_lite.export.trunk.past_shapes`.
    path : Path
        A scratch file for the tracer.
    tracer : str
        A key of :data:`.exporters.TRACERS`.

    Returns
    -------
    onnx.ModelProto
        The graph with its weights loaded.

    Raises
    ------
    MissingExtraError
        If the tracer is not installed.
    """
    package, extra, module = TRACERS[tracer]
    import_extra(package, extra)
    tracing: Any = import_extra(module, extra)
    graph = use_standard_domain(tracing.trace(trunk, past, path))
    _name_axes(graph, trunk, past)
    select_rows_early(graph, "hidden", trunk.config.hidden_size)
    if isinstance(trunk, AdaptedTrunk):
        expand_products(graph)
    return graph


def _name_axes(graph: onnx.ModelProto, trunk: Trunk, past: list[tuple[int, int]]) -> None:
    """Give the axes of inputs and outputs their names; tracers rename them."""
    inputs, outputs = axes(trunk, past)
    for entries, names in ((graph.graph.input, inputs), (graph.graph.output, outputs)):
        for entry in entries:
            for axis, name in names[entry.name].items():
                entry.type.tensor_type.shape.dim[axis].dim_param = name
