"""Folds of items: related ones stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..questions.item import Item

__all__ = ["fold_of_items", "related_items"]

# Above this many items two folds already give heads as good as the final ones, and
# held-out items enough.
MANY_ITEMS = 1000

# A set of choices that a larger share of the items has, such as yes and no, relates nothing.
COMMON_CHOICES = 0.1

IntArray = NDArray[np.int64]


def related_items(items: Sequence[Item]) -> IntArray:
    """Return a group number for every item, of shape (n_items,).

    Items with the same question and contexts, or with the same set of choices, are related:
    heads that have seen one know something of the other, as with the twins of WinoGrande. A set of
    choices that more than a tenth of the items have relates nothing.
    """
    members: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        members.setdefault((item.context, item.question, item.contexts), []).append(index)
        members.setdefault(frozenset(item.choices), []).append(index)
    most = max(2, COMMON_CHOICES * len(items))
    links = [
        (indices[0], other)
        for key, indices in members.items()
        if isinstance(key, tuple) or len(indices) <= most
        for other in indices[1:]
    ]
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(items), len(items)))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, dtype=np.int64)


def fold_of_items(items: Sequence[Item], cv: int | None, seed: int) -> IntArray:
    """Assign every item to a fold, of shape (n_items,), related items to the same.

    By default five folds, or two where there are many items.
    """
    groups = related_items(items)
    n_groups = int(groups.max()) + 1
    if n_groups == 1:
        groups, n_groups = np.arange(len(items)), len(items)
    folds = cv or (5 if len(items) <= MANY_ITEMS else 2)
    fold_of_group = np.random.default_rng(seed).permutation(n_groups) % min(folds, n_groups)
    return fold_of_group[groups]
