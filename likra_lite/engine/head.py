"""Heads: changes of the language model, as arrays.

A head is an :class:`OutputMatrix`, behind the model, or a :class:`Lora`, inside it. Where a
head may be None, that is the model as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFolderError
from .cache import cache_key

__all__ = [
    "GRADIENT_OF",
    "LORA",
    "ROWS_OF_HEADS",
    "Head",
    "Lora",
    "OutputMatrix",
    "head_of_tensors",
    "stack_factors",
]

MATRIX = "delta"  # the name of an output matrix in its file
LORA = "lora."  # graph inputs: lora.{module}.a and lora.{module}.b
GRADIENT_OF = "gradient."  # before the name of such an input: the output that is its gradient
ROWS_OF_HEADS = "KB"  # the name of the batch axis from the first adapted layer on

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OutputMatrix:
    """A matrix behind the model: the final hidden state h becomes ``h + h @ matrix``.

    Parameters
    ----------
    matrix : ndarray of shape (H, H)
    """

    matrix: FloatArray
    adapter: ClassVar[str] = "output"

    @cached_property
    def key(self) -> bytes:
        """A hash of the matrix; no two heads share one."""
        return cache_key("output matrix", np.ascontiguousarray(self.matrix).tobytes())

    def tensors(self) -> dict[str, FloatArray]:
        """Return the matrix by its name, as it is stored."""
        return {MATRIX: self.matrix}


@dataclass(frozen=True, eq=False)
class Lora:
    """A low-rank change of some weight matrices: ``x @ W`` becomes ``x @ W + x @ a @ b``.

    Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", arXiv 2106.09685.

    Parameters
    ----------
    factors : mapping of str to (a, b)
        By module; a of shape (n_in, rank), b of shape (rank, n_out), with LoRA's scale in b.
    """

    factors: Mapping[str, tuple[FloatArray, FloatArray]]
    adapter: ClassVar[str] = "lora"

    @cached_property
    def key(self) -> bytes:
        """A hash of the factors; no two heads share one."""
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


Head = OutputMatrix | Lora


def head_of_tensors(tensors: Mapping[str, FloatArray]) -> Head:
    """Return the head whose :meth:`tensors` these are.

    Raises
    ------
    KeyError
        If a factor has no partner.
    """
    if MATRIX in tensors:
        return OutputMatrix(tensors[MATRIX])
    modules = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    return Lora({name: (tensors[f"{name}.a"], tensors[f"{name}.b"]) for name in modules})


def stack_factors(
    heads: Sequence[Lora | None], shapes: Mapping[str, tuple[int, int]], graph: Path
) -> dict[str, FloatArray]:
    """Return the graph inputs of K LoRA heads.

    Parameters
    ----------
    heads : sequence of Lora or None
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
        If a head changes what the graph cannot.
    """
    for head in heads:
        for module, (a, b) in {} if head is None else head.factors.items():
            shape = (a.shape[0], b.shape[1])
            if shapes.get(module) != shape or a.shape[1] != b.shape[0]:
                raise ModelFolderError(
                    f"a head changes {module} by factors of shapes {a.shape} and {b.shape}, "
                    f"which is not in {graph} or has shape {shapes.get(module)}"
                )
    feeds = {}
    for module, (n_in, n_out) in shapes.items():
        pairs = [None if one is None else one.factors.get(module) for one in heads]
        rank = max((pair[0].shape[1] for pair in pairs if pair is not None), default=1)
        a = np.zeros((len(pairs), n_in, rank), np.float32)
        b = np.zeros((len(pairs), rank, n_out), np.float32)
        for place, pair in enumerate(pairs):
            if pair is not None:
                a[place, :, : pair[0].shape[1]] = pair[0]
                b[place, : pair[1].shape[0]] = pair[1]
        feeds[f"{LORA}{module}.a"], feeds[f"{LORA}{module}.b"] = a, b
    return feeds
