"""The trunk traced through Optimum and PyTorch's TorchScript exporter."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from optimum.exporters.onnx.base import OnnxConfig
from optimum.exporters.onnx.convert import export as optimum_export
from optimum.utils import NormalizedConfig

from .example import Example

__all__ = ["trace"]

TRACING_OPSET = 18  # the newest that the tracer knows without gaps


class _TrunkOnnxConfig(OnnxConfig):
    """Optimum's description of the trunk: names, dynamic axes and tracing inputs."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig

    def __init__(self, example: Example) -> None:
        super().__init__(example.trunk.config, task="feature-extraction")
        self.example = example

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return self.example.inputs

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return self.example.outputs

    def generate_dummy_inputs(self, framework: str = "pt", **_: Any) -> dict[str, Any]:
        return self.example.arguments


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Drop what the tracer's C++ code prints: the whole graph, when it fails."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def trace(example: Example, path: Path) -> onnx.ModelProto:
    """Trace a trunk; see :func:`likra_lite.export.traced.tracers.trunk_graph`."""
    with _silent_stdout(), warnings.catch_warnings():
        # The tracer warns of every Python branch of every decoder; the parity check decides.
        warnings.simplefilter("ignore")
        optimum_export(
            example.trunk,
            _TrunkOnnxConfig(example),
            path,
            opset=TRACING_OPSET,
            disable_dynamic_axes_fix=True,
        )
    return onnx.load(str(path))
