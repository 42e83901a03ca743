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

from ..engine.head import LORA, ROWS_OF_HEADS
from .adapted import AdaptedTrunk, expand_products
from .operators import use_standard_domain
from .pruning import select_rows_early
from .trunk import Trunk

__all__ = ["trunk_graph"]

TRACING_OPSET = 18  # the newest that the tracer knows without gaps


class _TrunkOnnxConfig(OnnxConfig):
    """Optimum's description of the trunk: names, dynamic axes and tracing inputs."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig

    def __init__(self, trunk: Trunk, past: list[tuple[int, int]]) -> None:
        super().__init__(trunk.config, task="feature-extraction")
        self.past = past
        self.targets = trunk.targets if isinstance(trunk, AdaptedTrunk) else None

    def _rows_of(self, layer: int) -> str:
        """Return the name of a layer's batch axis: from the first adapted layer on, K*B."""
        return ROWS_OF_HEADS if self.targets and layer >= self.targets.first_layer else "B"

    def _layers(self, prefix: str, length: str) -> dict[str, dict[int, str]]:
        return {
            f"{prefix}.{layer}.{part}": {0: self._rows_of(layer), 2: length}
            for layer in range(len(self.past))
            for part in ("key", "value")
        }

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        names = {
            "input_ids": {0: "B", 1: "T"},
            "position_ids": {0: "B", 1: "T"},
            "attention_bias": {0: "B", 2: "T", 3: "S"},
            "rows": {0: "N"},
            **self._layers("past", "P"),
        }
        for module in self.targets.modules if self.targets else ():
            names[f"{LORA}{module}.a"] = {0: "K", 2: "R"}
            names[f"{LORA}{module}.b"] = {0: "K", 1: "R"}
        return names

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"hidden": {0: "KN" if self.targets else "N"}, **self._layers("present", "S")}

    def generate_dummy_inputs(self, framework: str = "pt", **_: Any) -> dict[str, Any]:
        batch, length, prefix, heads, rank = 2, 5, 3, 3, 4
        inputs = {
            "input_ids": torch.ones((batch, length), dtype=torch.int64),
            "position_ids": torch.arange(prefix, prefix + length).expand(batch, -1).contiguous(),
            "attention_bias": torch.zeros(batch, 1, length, prefix + length),
            "rows": torch.tensor([4, 7, 9]),
            "past": [
                2 * (torch.zeros(batch * (heads if many else 1), kv_heads, prefix, size),)
                for layer, (kv_heads, size) in enumerate(self.past)
                for many in [self._rows_of(layer) == ROWS_OF_HEADS]
            ],
        }
        if self.targets:
            inputs["lora"] = [
                (torch.zeros(heads, n_in, rank), torch.zeros(heads, rank, n_out))
                for n_in, n_out in self.targets.modules.values()
            ]
        return inputs


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
            _TrunkOnnxConfig(trunk, past),
            path,
            opset=TRACING_OPSET,
            disable_dynamic_axes_fix=True,
        )
    graph = use_standard_domain(onnx.load(str(path)))
    select_rows_early(graph, "hidden", trunk.config.hidden_size)
    if isinstance(trunk, AdaptedTrunk):
        expand_products(graph)
    return graph
