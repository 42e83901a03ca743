"""Controls and probes: questions that tell nothing, and answers from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..heads.negatives import draw_elsewhere
from ..questions.item import Item

__all__ = ["draw_probes", "shuffle_questions"]

PROBED = 256  # items that get an answer from elsewhere: their mean is close enough


def shuffle_questions(items: Sequence[Item], seed: int = 0) -> list[Item]:
    """Exchange the questions between items; choices and answers stay.

    The items stand in a random circle, those that ask the same question side by side, and
    each gets the question of the one that is as many places on as the most frequent question
    has items: none keeps its own, unless half of the items or more ask the same.

    Parameters
    ----------
    items : sequence of Item
    seed : int

    Returns
    -------
    list of Item
    """
    numbers: dict[object, int] = {}
    asked = np.array([numbers.setdefault((i.context, i.question), len(numbers)) for i in items])
    rng = np.random.default_rng(seed)
    circle = np.lexsort((rng.permutation(len(items)), rng.permutation(len(numbers))[asked]))
    giver = np.empty(len(items), dtype=np.int64)
    giver[circle] = np.roll(circle, -int(np.bincount(asked).max()))
    return [
        replace(item, question=items[other].question, context=items[other].context)
        for item, other in zip(items, giver.tolist(), strict=True)
    ]


def draw_probes(items: Sequence[Item], answers: Sequence[str], seed: int = 0) -> list[str | None]:
    """Draw an answer from elsewhere for every item, or for :data:`PROBED` if there are more.

    Parameters
    ----------
    items : sequence of Item
    answers : sequence of str
        Where to draw from, such as the right answers of all items.
    seed : int

    Returns
    -------
    list of str or None
        An answer that is no choice of the item; None where none was drawn or found.
    """
    rng = np.random.default_rng(seed)
    drawn: list[str | None] = [None] * len(items)
    for index in np.sort(rng.permutation(len(items))[:PROBED]).tolist():
        for place in draw_elsewhere(answers, items[index].choices, 1, rng):
            drawn[index] = answers[place]
    return drawn
