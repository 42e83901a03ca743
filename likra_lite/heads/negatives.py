"""Which wrong answers teach the negative head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..questions.item import Item
from ..validation import check_integer, check_one_of, check_share

__all__ = ["NEGATIVES", "Negatives", "draw_negatives", "needs_scores"]

NEGATIVES = ("own", "all", "hardest", "easiest", "other")

MAX_TRIES = 100  # draws of another question's answer before giving up on an item


def needs_scores(kind: str) -> bool:
    """Return whether a kind of negatives compares the base model's scores."""
    return kind in ("hardest", "easiest")


@dataclass(frozen=True)
class Negatives:
    """A record of the drawn answers: which choice of which item, for which question.

    Attributes
    ----------
    item : ndarray of shape (n_negatives,)
        Index of the item whose question is asked.
    source : ndarray of shape (n_negatives,)
        Index of the item that the answer comes from; equal to `item` but for ``other``.
    choice : ndarray of shape (n_negatives,)
        Index of the answer among the choices of `source`.
    """

    item: NDArray[np.int64]
    source: NDArray[np.int64]
    choice: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of drawn answers."""
        return len(self.item)


def draw_negatives(
    items: Sequence[Item],
    y: NDArray[np.int64],
    kind: str = "own",
    n_negatives: int = 1,
    contamination: float = 0.0,
    seed: int = 0,
    base_scores: Sequence[NDArray[np.float64]] | None = None,
) -> Negatives:
    """Draw wrong answers, the same ones for the same arguments.

    Parameters
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    kind : {"own", "all", "hardest", "easiest", "other"}
        ``own``: wrong choices of the same question, drawn uniformly (near-misses).
        ``all``: every wrong choice. ``hardest`` and ``easiest``: the wrong choices that
        the base model finds most and least likely. ``other``: right answers of other
        questions.
    n_negatives : int
        Answers per item, as far as it has them; ``all`` does not read it.
    contamination : float
        Probability with which a drawn answer is replaced by the right one.
    seed : int
    base_scores : sequence of ndarray, optional
        The base model's score of every choice, for ``hardest`` and ``easiest``.

    Returns
    -------
    Negatives

    Raises
    ------
    LikraError
        If an argument is out of range, or no item has a wrong answer.
    """
    check_one_of("negatives", kind, NEGATIVES)
    check_integer("n_negatives", n_negatives, 1)
    check_share("contamination", contamination)
    rng = np.random.default_rng(seed)
    drawn: list[tuple[int, int, int]] = []
    for index, item in enumerate(items):
        right = int(y[index])
        # A copy of the right choice is not wrong.
        wrong = [c for c in range(len(item.choices)) if not item.same(c, right)]
        if kind == "other":
            drawn.extend(_from_others(items, y, index, n_negatives, rng))
        elif kind == "all":
            drawn.extend((index, index, choice) for choice in wrong)
        else:
            if kind == "own":
                order = rng.permutation(len(wrong))
            else:
                if base_scores is None:
                    raise LikraError(f"negatives={kind!r} needs the base model's scores")
                order = np.argsort(base_scores[index][wrong], kind="stable")
                order = order[::-1] if kind == "hardest" else order
            drawn.extend((index, index, wrong[place]) for place in order[:n_negatives])
    if contamination:
        swap = rng.random(len(drawn)) < contamination
        drawn = [
            (index, index, int(y[index])) if swapped else negative
            for negative, swapped in zip(drawn, swap, strict=True)
            for index in negative[:1]
        ]
    if not drawn:
        reason = (
            "no other question has a right answer that is no choice here"
            if kind == "other"
            else "every choice equals the right one"
        )
        raise LikraError(f"no wrong answer could be drawn: {reason}")
    item_of, source, choice = np.array(drawn, dtype=np.int64).T
    return Negatives(item_of, source, choice)


def _from_others(
    items: Sequence[Item],
    y: NDArray[np.int64],
    index: int,
    count: int,
    rng: np.random.Generator,
) -> list[tuple[int, int, int]]:
    """Draw right answers of other questions that are no choice of this one."""
    drawn: list[tuple[int, int, int]] = []
    seen = set(items[index].choices)
    for _ in range(MAX_TRIES):
        if len(drawn) == count:
            break
        other = int(rng.integers(len(items)))
        text = items[other].choices[int(y[other])]
        if text not in seen:
            seen.add(text)
            drawn.append((index, other, int(y[other])))
    return drawn
