"""Drawing the wrong answers that the negative head learns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.pairs import Pair
from ..errors import LikraError
from ..prompts import Prompt
from ..questions.item import Item
from ..questions.roles import shared_roles
from ..validation import check_integer, check_one_of, check_share

__all__ = [
    "NEGATIVES",
    "ROLE",
    "Draw",
    "Kind",
    "Negatives",
    "draw_elsewhere",
    "draw_negatives",
    "kind_of",
]

ROLE = "role "  # before the role, or the roles with " or " between, of the choices to draw from
MAX_TRIES = 100  # draws of an answer from elsewhere before giving up on an item


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

    @property
    def borrowed(self) -> NDArray[np.bool_]:
        """Which answers come from other items, of shape (n_negatives,)."""
        return self.item != self.source

    def take(self, which: NDArray[Any]) -> Negatives:
        """Return some of the drawn answers."""
        return Negatives(self.item[which], self.source[which], self.choice[which])

    def among(self, places: NDArray[np.int64]) -> Negatives:
        """Return the same answers of items that are at these places among more."""
        return Negatives(places[self.item], places[self.source], self.choice)

    def pairs(self, items: Sequence[Item], prompt: Prompt) -> list[Pair]:
        """Return the context of every question with the answer drawn for it."""
        found: list[Pair] = []
        columns = (self.item.tolist(), self.source.tolist(), self.choice.tolist())
        for index, source, choice in zip(*columns, strict=True):
            item, answers = items[index], items[source].choices
            if index == source:
                text = prompt.continuations(answers)[choice]
                found.append((prompt.context(item, choice), [text]))
            else:
                found.append(prompt.borrowed(item, answers[choice]))
        return found


Place = tuple[int, int]  # an item, and one of its choices


@dataclass(frozen=True)
class Draw:
    """The items and settings that a kind of negatives draws from.

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
        item, right = self.items[index], int(self.y[index])
        return [place for place in range(len(item.choices)) if not item.same(place, right)]

    @cached_property
    def right_answers(self) -> list[str]:
        """The right choice of every item."""
        return [i.choices[right] for i, right in zip(self.items, self.y.tolist(), strict=True)]

    def ranked(self, index: int) -> list[int]:
        """Return the wrong choices of an item, the least likely first."""
        assert self.base_scores is not None
        wrong = self.wrong(index)
        order = np.argsort(self.base_scores[index][wrong], kind="stable")
        return [wrong[place] for place in order.tolist()]


def _own(draw: Draw, index: int) -> list[Place]:
    return _drawn(draw, index, draw.wrong(index))


def _in_roles(roles: frozenset[str], draw: Draw, index: int) -> list[Place]:
    named = draw.items[index].metadata["roles"]
    return _drawn(draw, index, [place for place in draw.wrong(index) if named[place] in roles])


def _drawn(draw: Draw, index: int, wrong: list[int]) -> list[Place]:
    order = draw.rng.permutation(len(wrong))[: draw.count]
    return [(index, wrong[place]) for place in order.tolist()]


def _all(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.wrong(index)]


def _hardest(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.ranked(index)[::-1][: draw.count]]


def _easiest(draw: Draw, index: int) -> list[Place]:
    return [(index, choice) for choice in draw.ranked(index)[: draw.count]]


def _other(draw: Draw, index: int) -> list[Place]:
    taken = draw.items[index].choices
    found = draw_elsewhere(draw.right_answers, taken, draw.count, draw.rng)
    return [(other, int(draw.y[other])) for other in found]


def draw_elsewhere(
    answers: Sequence[str], taken: Iterable[str], count: int, rng: np.random.Generator
) -> list[int]:
    """Draw answers that are not taken, and no text twice.

    Parameters
    ----------
    answers : sequence of str
        Where to draw from, such as the right answers of all items.
    taken : iterable of str
        Such as the choices of the item that an answer is drawn for.
    count : int
    rng : Generator

    Returns
    -------
    list of int
        Indices of answers; fewer than `count` if no more were found.
    """
    drawn: list[int] = []
    seen = set(taken)
    for _ in range(MAX_TRIES):
        if len(drawn) == count:
            break
        place = int(rng.integers(len(answers)))
        if answers[place] not in seen:
            seen.add(answers[place])
            drawn.append(place)
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
    roles : frozenset of str
        Roles that every item must have among its wrong choices.
    nested : bool
        Whether what is drawn for an item does not depend on which others there are.
    """

    draw: Callable[[Draw, int], list[Place]]
    needs_scores: bool = False
    none: str = "every choice equals the right one"
    roles: frozenset[str] = frozenset()
    nested: bool = True


NEGATIVES = {
    "own": Kind(_own),
    "all": Kind(_all),
    "hardest": Kind(_hardest, needs_scores=True),
    "easiest": Kind(_easiest, needs_scores=True),
    "other": Kind(
        _other, none="no other question has a right answer that is no choice here", nested=False
    ),
}


def kind_of(name: str) -> Kind:
    """Return a kind of negatives: one of :data:`NEGATIVES`, or ``role NAME or NAME``.

    Raises
    ------
    LikraError
        If there is none of that name.
    """
    if name.startswith(ROLE):
        roles = frozenset(name.removeprefix(ROLE).split(" or "))
        return Kind(partial(_in_roles, roles), roles=roles)
    check_one_of("negatives", name, NEGATIVES)
    return NEGATIVES[name]


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
    kind : {"own", "all", "hardest", "easiest", "other"} or str
        ``own``: wrong choices of the same question, drawn uniformly (near-misses).
        ``all``: every wrong choice. ``hardest`` and ``easiest``: the wrong choices that
        the base model finds most and least likely. ``other``: right answers of other
        questions. ``role NAME``: wrong choices in that role, or ``role NAME or NAME``, see
        :func:`likra_lite.questions.roles.roles_of`.
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
        If an argument is out of range, an item has no choice in such a role, or no item has a
        wrong answer.
    """
    chosen = kind_of(kind)
    check_integer("n_negatives", n_negatives, 1)
    check_share("contamination", contamination)
    if chosen.needs_scores and base_scores is None:
        raise LikraError(f"negatives={kind!r} needs the base model's scores")
    if chosen.roles and not chosen.roles <= (known := set(shared_roles(items))):
        raise LikraError(
            f"got negatives in the roles {sorted(chosen.roles)}; every item has {sorted(known)}"
        )
    draw = Draw(items, y, n_negatives, np.random.default_rng(seed), base_scores)
    drawn = [
        (index, source, choice)
        for index in range(len(items))
        for source, choice in chosen.draw(draw, index)
    ]
    if contamination:
        swap = draw.rng.random(len(drawn)) < contamination
        drawn = [
            (index, index, int(y[index])) if swapped else (index, source, choice)
            for (index, source, choice), swapped in zip(drawn, swap, strict=True)
        ]
    if not drawn:
        raise LikraError(f"no wrong answer could be drawn: {chosen.none}")
    item_of, source, choice = np.array(drawn, dtype=np.int64).T
    return Negatives(item_of, source, choice)
