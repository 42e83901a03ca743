"""The traced trunk as an ONNX graph."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from optimum.exporters.onnx.base import OnnxConfig
from optimum.exporters.onnx.convert import export as optimum_export
from optimum.utils import NormalizedConfig

from .operators import use_standard_domain
from .pruning import select_rows_early
from .trunk import Trunk

__all__ = ["trunk_graph"]

TRACING_OPSET = 18  # the newest that the tracer knows without gaps


class _TrunkOnnxConfig(OnnxConfig):
    """Optimum's description of the trunk: names, dynamic axes and tracing inputs."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig

    def __init__(self, config: Any, past: list[tuple[int, int]]) -> None:
        super().__init__(config, task="feature-extraction")
        self.past = past

    def _layers(self, prefix: str, axes: dict[int, str]) -> dict[str, dict[int, str]]:
        return {
            f"{prefix}.{layer}.{part}": axes
            for layer in range(len(self.past))
            for part in ("key", "value")
        }

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {
            "input_ids": {0: "B", 1: "T"},
            "position_ids": {0: "B", 1: "T"},
            "attention_bias": {0: "B", 2: "T", 3: "S"},
            "rows": {0: "N"},
            **self._layers("past", {0: "B", 2: "P"}),
        }

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"hidden": {0: "N"}, **self._layers("present", {0: "B", 2: "S"})}

    def generate_dummy_inputs(self, framework: str = "pt", **_: Any) -> dict[str, Any]:
        batch, length, prefix = 2, 5, 3
        return {
            "input_ids": torch.ones((batch, length), dtype=torch.int64),
            "position_ids": torch.arange(prefix, prefix + length).expand(batch, -1).contiguous(),
            "attention_bias": torch.zeros(batch, 1, length, prefix + length),
            "rows": torch.tensor([4, 7, 9]),
            "past": [
                (torch.zeros(batch, heads, prefix, size), torch.zeros(batch, heads, prefix, size))
                for heads, size in self.past
            ],
        }


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


def trunk_graph(trunk: Trunk, past: list[tuple[int, int]], path: Path) -> onnx.ModelProto:
    """Trace `trunk` through Optimum and return the graph.

    Parameters
    ----------
    trunk : Trunk
    past : list of (kv_heads, head_size)
        One pair per layer, see :func:`past_shapes`.
    path : Path
        A scratch file for the exporter.

    Returns
    -------
    onnx.ModelProto
        The graph with its weights loaded.
    """
    with _silent_stdout(), warnings.catch_warnings():
        # The tracer warns of every Python branch of every decoder; the parity check decides.
        warnings.simplefilter("ignore")
        optimum_export(
            trunk,
            _TrunkOnnxConfig(trunk.config, past),
            path,
            opset=TRACING_OPSET,
            disable_dynamic_axes_fix=True,
        )
    graph = use_standard_domain(onnx.load(str(path)))
    select_rows_early(graph, "rows", "hidden", trunk.config.hidden_size)
    return graph
