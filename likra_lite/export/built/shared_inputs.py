"""Inputs that all layers of a graph share: masks, and the angles of rotary embeddings.

Each kind is computed once, whatever number of layers uses it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ...engine.trees import MASKED
from ..graphs.graph_builder import GraphBuilder
from .decoder_spec import Rotary

__all__ = ["SharedInputs"]


class SharedInputs:
    """Made from the graph's ``input_ids``, ``position_ids`` and ``attention_bias``.

    Shapes are those of :mod:`.decoder_graph`.

    Parameters
    ----------
    builder : GraphBuilder
    repeated : callable
        Returns the name of a tensor with its rows for every head, of the tensor's name and its
        number of axes.
    """

    def __init__(self, builder: GraphBuilder, repeated: Callable[[str, int], str]) -> None:
        self.builder, self.repeated = builder, repeated
        self.angles: dict[Rotary, tuple[str, str]] = {}
        self.masks: dict[int | None, str] = {}

    def cosine_and_sine(self, rotary: Rotary) -> tuple[str, str]:
        """Return the cosine and the sine of every token's angles, each [B, T, size / 2]."""
        if rotary not in self.angles:
            self.angles[rotary] = self._cosine_and_sine(rotary)
        return self.angles[rotary]

    def _cosine_and_sine(self, rotary: Rotary) -> tuple[str, str]:
        name = f"rotary.{len(self.angles)}"
        frequencies = self.builder.constant(f"{name}.frequencies", rotary.frequencies, np.float32)
        if not self.angles:
            column = self.builder.node("Unsqueeze", ["position_ids", "last"], "position_column")
            self.builder.node("Cast", [column], "positions_float", to=onnx.TensorProto.FLOAT)
        angles = self.builder.node("Mul", ["positions_float", frequencies], f"{name}.angles")
        both = []
        for kind in ("Cos", "Sin"):
            x = self.builder.node(kind, [angles], f"{name}.{kind.lower()}")
            if rotary.factor != 1.0:
                x = self.builder.scaled(x, rotary.factor, f"{x}.scaled")
            both.append(self.repeated(x, 3))
        return both[0], both[1]

    def mask(self, window: int | None) -> str:
        """Return what is added to the attention logits, [B, 1, T, S]."""
        if window not in self.masks:
            mask = "attention_bias"
            if window is not None:
                far = self.builder.node(
                    "GreaterOrEqual",
                    [self._distance(), self.builder.constant(f"window_{window}", window)],
                    f"beyond_{window}",
                )
                masked = self.builder.constant("masked", MASKED, np.float32)
                mask = self.builder.node("Where", [far, masked, mask], f"attention_bias_{window}")
            self.masks[window] = self.repeated(mask, 4)
        return self.masks[window]

    def _distance(self) -> str:
        """Return how many positions each key is before each token, [B, 1, T, S].

        Windows are of depth in a token tree, not of places in its row.
        """
        if not self.builder.has("distance"):
            node = self.builder.node
            total = node("Shape", ["attention_bias"], "n_keys", start=3, end=4)
            new = node("Shape", ["input_ids"], "n_new", start=1, end=2)
            before = node("Sub", [total, new], "n_past")
            scalar = node("Squeeze", [before, "first"], "n_past_scalar")
            places = node(
                "Range", [self.builder.number(0), scalar, self.builder.number(1)], "past_places"
            )
            rows = node("Shape", ["input_ids"], "n_rows", start=0, end=1)
            shape = node("Concat", [rows, before], "past_shape", axis=0)
            past = node("Expand", [places, shape], "past_positions")
            keys = node("Concat", [past, "position_ids"], "key_positions", axis=1)
            across = node(
                "Unsqueeze", [keys, self.builder.constant("key_axes", [1, 2])], "keys_across"
            )
            down = node(
                "Unsqueeze",
                ["position_ids", self.builder.constant("query_axes", [1, 3])],
                "queries_down",
            )
            node("Sub", [down, across], "distance")
        return "distance"
