"""The traced trunk as an ONNX graph, whichever exporter traces it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from ...errors import import_extra
from ..exporters import TRACERS
from .adapted import AdaptedTrunk, expand_products
from .example import Example
from .operators import use_standard_domain
from .pruning import select_rows_early
from .trunk import Trunk

__all__ = ["Tracer", "open_tracer", "trunk_graph"]

Tracer = Callable[[Example, Path], onnx.ModelProto]


def open_tracer(name: str) -> Tracer:
    """Return what traces an example, with a scratch file for itself.

    Parameters
    ----------
    name : str
        A key of :data:`likra_lite.export.exporters.TRACERS`.

    Raises
    ------
    MissingExtraError
        If its package is not installed.
    """
    package, extra, module = TRACERS[name]
    import_extra(package, extra)
    tracing: Any = import_extra(module, extra)
    return tracing.trace


def trunk_graph(
    trunk: Trunk, past: list[tuple[int, int]], path: Path, trace: Tracer
) -> onnx.ModelProto:
    """Trace `trunk` and return its graph.

    Parameters
    ----------
    trunk : Trunk
    past : list of (kv_heads, head_size)
        One pair per layer, see :func:`likra_lite.export.traced.trunk.past_shapes`.
    path : Path
        A scratch file for the tracer.
    trace : callable
        See :func:`open_tracer`.

    Returns
    -------
    onnx.ModelProto
        The graph with its weights loaded.
    """
    example = Example.of(trunk, past)
    graph = use_standard_domain(trace(example, path))
    _name_axes(graph, example)
    select_rows_early(graph, "hidden", trunk.config.hidden_size)
    if isinstance(trunk, AdaptedTrunk):
        expand_products(graph)
    return graph


def _name_axes(graph: onnx.ModelProto, example: Example) -> None:
    """Give the axes of inputs and outputs their names; tracers rename them."""
    for entries, names in (
        (graph.graph.input, example.inputs),
        (graph.graph.output, example.outputs),
    ):
        for entry in entries:
            for axis, name in names[entry.name].items():
                entry.type.tensor_type.shape.dim[axis].dim_param = name
