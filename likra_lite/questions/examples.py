"""Answered questions that are shown before every other one, in place of being learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ItemError
from .item import Item

__all__ = ["draw_examples"]

FEWEST_LEFT = 2  # a fit holds one out


def draw_examples(
    items: Sequence[Item], y: NDArray[np.int64], n_examples: int, seed: int
) -> tuple[list[Item], NDArray[np.int64]]:
    """Draw examples at random.

    Parameters
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    n_examples : int
    seed : int

    Returns
    -------
    examples : list of Item
        With their answers.
    others : ndarray of shape (n_items - n_examples,)
        Where the other items are, in their order.

    Raises
    ------
    ItemError
        If fewer than two items are left.
    """
    if n_examples == 0:
        return [], np.arange(len(items))
    if len(items) - n_examples < FEWEST_LEFT:
        raise ItemError(
            f"got n_examples={n_examples} of {len(items)} items; fit needs at least "
            f"{FEWEST_LEFT} others: show fewer, or give more items"
        )
    drawn = np.random.default_rng(seed).permutation(len(items))[:n_examples]
    examples = [replace(items[index], answer=int(y[index])) for index in drawn.tolist()]
    return examples, np.setdiff1d(np.arange(len(items)), drawn)
