"""The trunk traced through ``torch.export`` and PyTorch's current ONNX exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from ..graphs.graph_builder import OPSET
from .example import Example

__all__ = ["trace"]


def trace(example: Example, path: Path) -> onnx.ModelProto:
    """Trace a trunk; see :func:`likra_lite.export.traced.tracers.trunk_graph`."""
    varying = iter(example.inputs.values())
    arguments = example.arguments
    with torch.no_grad(), warnings.catch_warnings(), _quiet():
        # It warns of deprecations of its own parts; the parity check decides.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            example.trunk,
            (),
            kwargs=arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(example.inputs),
            output_names=list(example.outputs),
            dynamic_shapes={name: _dynamic(value, varying) for name, value in arguments.items()},
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    return onnx.load(str(path))


def _dynamic(value: Any, varying: Iterator[dict[int, str]]) -> Any:
    """Return the axes that vary, nested as the arguments are, taking them in order."""
    if isinstance(value, torch.Tensor):
        # Which sizes agree, the tracer finds out; the axes' names are put back afterwards.
        return dict.fromkeys(next(varying), torch.export.Dim.DYNAMIC)
    return type(value)(_dynamic(part, varying) for part in value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log, which tells of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
