"""Which wrong answers teach the negative head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..questions.item import Item
from ..validation import check_integer, check_one_of, check_share

__all__ = ["NEGATIVES", "Draw", "Kind", "Negatives", "draw_negatives"]

MAX_TRIES = 100  # draws of another question's answer before giving up on an item


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


Place = tuple[int, int]  # an item, and one of its choices


@dataclass(frozen=True)
class Draw:
    """What a kind of negatives draws from.

    Attributes
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    count : int
        Answers per item, as far as it has them.
    rng : numpy.random.Generator
    base_scores : sequence of ndarray or None
        The base model's score of every choice, for the kinds that need it.
    """

    items: Sequence[Item]
    y: NDArray[np.int64]
    count: int
    rng: np.random.Generator
    base_scores: Sequence[NDArray[np.float64]] | None

    def wrong(self, index: int) -> list[int]:
        """Return the wrong choices of an item; a copy of the right one is none."""
        choices = self.items[index].choices
        right = choices[int(self.y[index])]
        return [place for place, text in enumerate(choices) if text != right]

    def ranked(self, index: int) -> list[int]:
        """Return the wrong choices of an item, the least likely first."""
        assert self.base_scores is not None
        wrong = self.wrong(index)
        order = np.argsort(self.base_scores[index][wrong], kind="stable")
        return [wrong[place] for place in order.tolist()]


def _own(draw: Draw, index: int) -> list[Place]:
    wrong = draw.wrong(index)
    order = draw.rng.permutation(len(wrong))[: draw.count]
    return [(index, wrong[place]) for place in order.tolist()]


def _all(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.wrong(index)]


def _hardest(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.ranked(index)[::-1][: draw.count]]


def _easiest(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.ranked(index)[: draw.count]]


def _other(draw: Draw, index: int) -> list[Place]:
    drawn: list[Place] = []
    seen = set(draw.items[index].choices)
    for _ in range(MAX_TRIES):
        if len(drawn) == draw.count:
            break
        other = int(draw.rng.integers(len(draw.items)))
        right = int(draw.y[other])
        text = draw.items[other].choices[right]
        if text not in seen:
            seen.add(text)
            drawn.append((other, right))
    return drawn


@dataclass(frozen=True)
class Kind:
    """A kind of negatives.

    Attributes
    ----------
    draw : callable
        Takes a :class:`Draw` and the index of an item; returns where its wrong answers stand.
    needs_scores : bool
        Whether it compares the base model's scores.
    none : str
        Why there may be none, for the message.
    """

    draw: Callable[[Draw, int], list[Place]]
    needs_scores: bool = False
    none: str = "every choice equals the right one"


NEGATIVES = {
    "own": Kind(_own),
    "all": Kind(_all),
    "hardest": Kind(_hardest, needs_scores=True),
    "easiest": Kind(_easiest, needs_scores=True),
    "other": Kind(_other, none="no other question has a right answer that is no choice here"),
}


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
    if NEGATIVES[kind].needs_scores and base_scores is None:
        raise LikraError(f"negatives={kind!r} needs the base model's scores")
    draw = Draw(items, y, n_negatives, np.random.default_rng(seed), base_scores)
    drawn = [
        (index, source, choice)
        for index in range(len(items))
        for source, choice in NEGATIVES[kind].draw(draw, index)
    ]
    if contamination:
        swap = draw.rng.random(len(drawn)) < contamination
        drawn = [
            (index, index, int(y[index])) if swapped else negative
            for negative, swapped in zip(drawn, swap, strict=True)
            for index in negative[:1]
        ]
    if not drawn:
        raise LikraError(f"no wrong answer could be drawn: {NEGATIVES[kind].none}")
    item_of, source, choice = np.array(drawn, dtype=np.int64).T
    return Negatives(item_of, source, choice)
