"""Chunks of items: what is scored together, in one process, and comes back together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.manifest import WEIGHTS, Manifest
from ..errors import TruncationWarning, UnscorableItemError
from ..questions.item import Item
from .table import LogLikelihoods

__all__ = ["Chunk", "chunk_size", "chunked", "items_named", "warn_of_truncation"]

# A chunk takes some seconds on one core: long beside what it costs to hand it to a worker, short
# beside what is lost with one. The time is that of the weights, once for every item.
BYTES_READ = 2**33
LEAST, MOST = 16, 256  # items


class Chunk(NamedTuple):
    """Some items that were scored, and those that could not be.

    Attributes
    ----------
    items : list of Item
        In the order that they came in.
    scored : ndarray of shape (n_scored,)
        Indices of the items that were scored.
    table : LogLikelihoods or None
        Of these; None if there are none.
    problems : UnscorableItemError or None
        Why the others were not, by their number among all items.
    truncated : list of int
        Numbers of the items whose context was cut to fit the model.
    """

    items: list[Item]
    scored: NDArray[np.int64]
    table: LogLikelihoods | None
    problems: UnscorableItemError | None
    truncated: list[int]


def chunk_size(manifest: Manifest) -> int:
    """Return how many items a model scores together.

    It depends on the model alone: which texts share a forward pass decides how sums are rounded,
    so that scores are the same to the last bit however many processes there are.
    """
    return min(MOST, max(LEAST, BYTES_READ // manifest.files[WEIGHTS]["bytes"]))


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of so many items; the last one may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


@contextmanager
def items_named(
    items: Sequence[Item], owners: NDArray[np.int64], numbers: NDArray[np.int64] | None = None
) -> Iterator[None]:
    """Let an error that tells of pairs tell of the items that they belong to.

    Parameters
    ----------
    items : sequence of Item
    owners : ndarray of shape (n_pairs,)
        Index of every pair's item.
    numbers : ndarray of shape (n_items,), optional
        What the items are called; 0, 1, ... by default.
    """
    try:
        yield
    except UnscorableItemError as error:
        problems: dict[int, str] = {}
        places: dict[int, str] = {}
        for pair, reason in error.problems.items():
            index = int(owners[pair])
            number = index if numbers is None else int(numbers[index])
            problems.setdefault(number, reason)
            source = items[index].source
            if source is not None:
                places[number] = source
        raise UnscorableItemError(problems, places) from None


def warn_of_truncation(
    truncated: Sequence[int], total: int, max_length: int, count: int | None = None
) -> None:
    """Warn once of the contexts that were cut.

    Parameters
    ----------
    truncated : sequence of int
        Their numbers, or the first of them.
    total : int
        Number of all contexts.
    max_length : int
        The model's window in tokens.
    count : int, optional
        How many were cut, if not all of them are given.
    """
    if truncated:
        warnings.warn(
            f"{count or len(truncated)} of {total} contexts exceed the model's {max_length} tokens "
            f"and were cut on the left, first item {truncated[0]}",
            TruncationWarning,
            stacklevel=3,
        )
