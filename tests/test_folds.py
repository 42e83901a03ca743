"""Folds of items: related ones stay together, and folds are as even as that allows."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item
from likra_lite.heads.folds import fold_of_items, related_items


def unrelated(count: int) -> list[Item]:
    return [Item(f"q{n}", (f"a{n}", f"b{n}"), 0) for n in range(count)]


def groups_of(items: list[Item]) -> set[frozenset[int]]:
    groups = related_items(items)
    assert groups.shape == (len(items),)
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


def test_what_relates_items():
    items = [
        Item("one", ("a", "b"), 0),
        Item("two", ("b", "a"), 0),  # the same choices, in another order
        Item("two", ("c", "d"), 0),  # the same question as the one before
        Item("two", ("e", "f"), 0, context="elsewhere"),  # another context
        Item("", ("g", "h"), 0, contexts=("At", "In")),
        Item("", ("i", "j"), 0, contexts=("At", "In")),
        Item("", ("k", "l"), 0, contexts=("At", "On")),
    ]
    expected = {frozenset({0, 1, 2}), frozenset({3}), frozenset({4, 5}), frozenset({6})}
    assert groups_of(items) == expected


@pytest.mark.parametrize(
    ("count", "total", "related"), [(2, 4, 1), (3, 4, 0), (3, 30, 1), (4, 30, 0)]
)
def test_choices_that_many_items_have_relate_nothing(count, total, related):
    """More than a tenth of the items, or than two."""
    common = [Item(f"r{n}", ("yes", "no"), 0) for n in range(count)]
    groups = groups_of([*unrelated(total - count), *common])
    assert len(groups) == (total - count + 1 if related else total)


@pytest.mark.parametrize(
    ("count", "cv", "folds"),
    [(30, None, 5), (1000, None, 5), (1001, None, 2), (30, 3, 3), (4, 7, 4)],
)
def test_folds_are_even(count, cv, folds):
    items = unrelated(count)
    found = fold_of_items(items, cv, 0)
    sizes = np.bincount(found)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold_of_items(items, cv, 0), found)
    if count > 10:
        assert (fold_of_items(items, cv, 1) != found).any()


def test_related_items_are_in_one_fold():
    items = [Item(f"q{n // 3}", (f"a{n}", f"b{n}"), 0) for n in range(30)]
    folds = fold_of_items(items, 4, 0).reshape(-1, 3)
    assert (folds == folds[:, :1]).all()
    assert sorted(np.bincount(folds[:, 0])) == [2, 2, 3, 3]


def test_items_that_are_all_related_are_split_all_the_same():
    items = [Item("q", (f"a{n}", f"b{n}"), 0) for n in range(10)]
    assert sorted(np.bincount(fold_of_items(items, 5, 0))) == [2] * 5
