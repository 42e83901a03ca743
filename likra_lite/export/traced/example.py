"""What a trunk is traced with: the names of its inputs and outputs, their axes, an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...engine.head import LORA, ROWS_OF_HEADS
from .adapted import AdaptedTrunk
from .targets import Targets
from .trunk import Trunk

__all__ = ["Example"]

Axes = dict[str, dict[int, str]]
Past = list[tuple[int, int]]


@dataclass(frozen=True)
class Example:
    """A trunk with what a tracer has to know of it.

    Attributes
    ----------
    trunk : Trunk
    inputs, outputs : dict of str to dict of int to str
        The name of each axis that varies, by input and by output, in order.
    arguments : dict of str to Any
        Of ``trunk.forward``, every size of an axis that varies above 1.
    """

    trunk: Trunk
    inputs: Axes
    outputs: Axes
    arguments: dict[str, Any]

    @classmethod
    def of(cls, trunk: Trunk, past: Past) -> Example:
        """Make the example of a trunk with one pair of (kv_heads, head_size) per layer."""
        targets = trunk.targets if isinstance(trunk, AdaptedTrunk) else None
        return cls(trunk, *_axes(targets, len(past)), _arguments(targets, past))


def _rows_of(targets: Targets | None, layer: int) -> str:
    """Return the name of a layer's batch axis: from the first adapted layer on, K*B."""
    return ROWS_OF_HEADS if targets and layer >= targets.first_layer else "B"


def _axes(targets: Targets | None, n_layers: int) -> tuple[Axes, Axes]:
    """Return the names of the axes of inputs and of outputs."""

    def layers(prefix: str, length: str) -> Axes:
        return {
            f"{prefix}.{layer}.{part}": {0: _rows_of(targets, layer), 2: length}
            for layer in range(n_layers)
            for part in ("key", "value")
        }

    inputs = {
        "input_ids": {0: "B", 1: "T"},
        "position_ids": {0: "B", 1: "T"},
        "attention_bias": {0: "B", 2: "T", 3: "S"},
        "rows": {0: "N"},
        **layers("past", "P"),
    }
    for module in targets.modules if targets else ():
        inputs[f"{LORA}{module}.a"] = {0: "K", 2: "R"}
        inputs[f"{LORA}{module}.b"] = {0: "K", 1: "R"}
    return inputs, {"hidden": {0: "KN" if targets else "N"}, **layers("present", "S")}


def _arguments(targets: Targets | None, past: Past) -> dict[str, Any]:
    """Return small arguments of the trunk."""
    batch, length, prefix, heads, rank = 2, 5, 3, 3, 4

    def rows(layer: int) -> int:
        return batch * (heads if _rows_of(targets, layer) == ROWS_OF_HEADS else 1)

    def cached(layer: int) -> torch.Tensor:
        kv_heads, size = past[layer]
        return torch.zeros(rows(layer), kv_heads, prefix, size)

    inputs: dict[str, Any] = {
        "input_ids": torch.ones((batch, length), dtype=torch.int64),
        "position_ids": torch.arange(prefix, prefix + length).expand(batch, -1).contiguous(),
        "attention_bias": torch.zeros(batch, 1, length, prefix + length),
        "rows": torch.tensor([4, 7, 9]),
        # Tensors of their own: a tracer takes one tensor that is passed twice for one input.
        "past": [(cached(layer), cached(layer)) for layer in range(len(past))],
    }
    if targets:
        inputs["lora"] = [
            (torch.zeros(heads, n_in, rank), torch.zeros(heads, rank, n_out))
            for n_in, n_out in targets.modules.values()
        ]
    return inputs
