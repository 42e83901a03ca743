"""Low-rank adapters inside a language model, as arrays: what a LoRA head is made of.

Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", arXiv 2106.09685.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFolderError
from .cache import cache_key

__all__ = ["LORA", "ROWS_OF_HEADS", "LoraAdapter", "stack_adapters"]

LORA = "lora."  # graph inputs: lora.{module}.a and lora.{module}.b
ROWS_OF_HEADS = "KB"  # the name of the batch axis from the first adapted layer on

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """A low-rank change of some weight matrices: ``x @ W`` becomes ``x @ W + x @ a @ b``.

    Parameters
    ----------
    factors : mapping of str to (a, b)
        By module; a of shape (n_in, rank), b of shape (rank, n_out), with LoRA's scale in b.
    """

    factors: Mapping[str, tuple[FloatArray, FloatArray]]

    @cached_property
    def key(self) -> bytes:
        """A hash of the factors: no other adapter has it."""
        parts: list[str | bytes] = []
        for module, pair in sorted(self.factors.items()):
            parts.append(module)
            for factor in pair:
                parts += [str(factor.shape), np.ascontiguousarray(factor).tobytes()]
        return cache_key(*parts)

    def tensors(self) -> dict[str, FloatArray]:
        """Return the factors by name, as they are stored."""
        return {
            f"{module}.{side}": np.ascontiguousarray(factor, np.float32)
            for module, pair in self.factors.items()
            for side, factor in zip("ab", pair, strict=True)
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, FloatArray]) -> LoraAdapter:
        """Return the adapter whose :meth:`tensors` these are."""
        modules = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
        return cls({name: (tensors[f"{name}.a"], tensors[f"{name}.b"]) for name in modules})


def stack_adapters(
    adapters: Sequence[LoraAdapter | None], shapes: Mapping[str, tuple[int, int]], graph: Path
) -> dict[str, FloatArray]:
    """Return the graph inputs of K adapters; None is the base model.

    Parameters
    ----------
    adapters : sequence of LoraAdapter or None
    shapes : mapping of str to (n_in, n_out)
        Of the modules that the graph can adapt.
    graph : Path
        For the message.

    Returns
    -------
    dict of str to ndarray
        Of shapes (K, n_in, rank) and (K, rank, n_out). Ranks are filled up with zeros.

    Raises
    ------
    ModelFolderError
        If an adapter changes what the graph cannot.
    """
    for adapter in adapters:
        for module, (a, b) in {} if adapter is None else adapter.factors.items():
            shape = (a.shape[0], b.shape[1])
            if shapes.get(module) != shape or a.shape[1] != b.shape[0]:
                raise ModelFolderError(
                    f"an adapter changes {module} by factors of shapes {a.shape} and {b.shape}, "
                    f"which is not in {graph} or has shape {shapes.get(module)}"
                )
    feeds = {}
    for module, (n_in, n_out) in shapes.items():
        pairs = [None if one is None else one.factors.get(module) for one in adapters]
        rank = max((pair[0].shape[1] for pair in pairs if pair is not None), default=1)
        a = np.zeros((len(pairs), n_in, rank), np.float32)
        b = np.zeros((len(pairs), rank, n_out), np.float32)
        for place, pair in enumerate(pairs):
            if pair is not None:
                a[place, :, : pair[0].shape[1]] = pair[0]
                b[place, : pair[1].shape[0]] = pair[1]
        feeds[f"{LORA}{module}.a"], feeds[f"{LORA}{module}.b"] = a, b
    return feeds
