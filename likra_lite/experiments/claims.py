"""The fits that test the three claims of Hamdan & Yuret (2025, arXiv 2503.14391), on any items.

1. Each wrong answer helps far more than a right one: the ratio jumps where SFT climbs slowly.
2. Plausible wrong answers, the near-misses, teach most.
3. Right answers alone do not make plausible wrong answers unlikely; wrong answers do.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LikraError
from ..heads.negatives import ROLE, draw_negatives, kind_of
from ..questions.inputs import answer_indices
from ..questions.item import Item
from ..questions.roles import shared_roles
from .bench import order_of
from .points import Point, grid

__all__ = ["curve_sizes", "points_of_claims"]

CONTROLS = ("none", "hidden")
NEGATIVES = ("own", "hardest", "easiest", "other")
KINDS_SIZE = 128  # examples with which kinds of negatives are compared


def curve_sizes(n_items: int) -> list[int]:
    """Return 1, 2, 4, 8, ... as far as there are items."""
    return [2**power for power in range(n_items.bit_length())]


def points_of_claims(
    items: Sequence[Item], sizes: Sequence[int], seeds: Sequence[int]
) -> list[Point]:
    """Return the learning curve, its answer-only control, and kinds of negatives at one size.

    Kinds of negatives that the items do not have are left out.

    Parameters
    ----------
    items : sequence of Item
        To fit on.
    sizes : sequence of int
        Numbers of training items.
    seeds : sequence of int

    Raises
    ------
    LikraError
        If there is no size or no seed, or one is out of range.
    """
    curve = grid(sizes, seeds, controls=CONTROLS)
    size = max(size for size in sizes if size <= max(KINDS_SIZE, min(sizes)))
    wanted = (*NEGATIVES, *(ROLE + role for role in shared_roles(items)))
    kinds = [kind for kind in wanted if all(_can_draw(items, kind, size, seed) for seed in seeds)]
    return sorted({*curve, *grid([size], seeds, kinds)})


def _can_draw(items: Sequence[Item], kind: str, size: int, seed: int) -> bool:
    """Return whether a subset has answers of other questions: yes and no are no one else's."""
    if kind_of(kind).nested:
        return True
    chosen = [items[index] for index in order_of(len(items), seed)[:size].tolist()]
    try:
        draw_negatives(chosen, answer_indices(chosen), kind, seed=seed)
    except LikraError:
        return False
    return True
