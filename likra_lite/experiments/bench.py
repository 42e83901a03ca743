"""Items to fit on, in growing subsets, and test items, under one language model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..heads.lora_runs import MOST_HELD_OUT
from ..heads.negatives import Negatives, draw_negatives, kind_of
from ..questions.inputs import answer_indices
from ..questions.item import Item
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from ..validation import check_integer
from .held_out import HeldOut
from .points import Point

__all__ = ["Bench", "order_of"]


BoolArray = NDArray[np.bool_]


def order_of(n_items: int, seed: int) -> NDArray[np.int64]:
    """Return the order in which a seed takes items: the first so many are its subsets."""
    check_integer("seed", seed, 0)
    return np.random.default_rng(seed).permutation(n_items)


class Bench(ABC):
    """Training and test items, and the fits on them: a class for each kind of head.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items : sequence of Item
        Every item has an answer.
    held_out : dict of str to HeldOut
        Test sets that were read already, by name.

    Attributes
    ----------
    y : ndarray of shape (n_items,)

    Raises
    ------
    LikraError
        If there are fewer than two training items, or an item has no answer.
    """

    def __init__(
        self, scorer: ChoiceScorer, items: Sequence[Item], held_out: Mapping[str, HeldOut]
    ) -> None:
        if len(items) < 2:
            raise LikraError(f"an experiment needs at least two training items; got {len(items)}")
        self.scorer = scorer
        self.items = items
        self.held_out = held_out
        self.y = answer_indices(items)

    @property
    @abstractmethod
    def training_table(self) -> LogLikelihoods:
        """The training items under the base model."""

    @abstractmethod
    def fit(self, point: Point) -> ChoiceScorer:
        """Return the language model with both heads fitted at a point."""

    @abstractmethod
    def score_training(self, fitted: ChoiceScorer, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return some training items' log-likelihoods under the base model and fitted heads."""

    def prepare(self, points: Iterable[Point]) -> None:  # noqa: B027
        """Read at once what the fits at some points will need."""

    def spread(self, workers: int, folder: Path) -> Bench | None:
        """Return a bench for so many processes at a time; None if it must stay in one.

        Parameters
        ----------
        workers : int
        folder : Path
            For files that all of them read.
        """
        return None

    def subset(self, n_items: int, seed: int) -> BoolArray:
        """Return which items are used, of shape (n_items,); of one seed, smaller within larger.

        Raises
        ------
        LikraError
            If there are not as many items.
        """
        check_integer("n_items", n_items, 1)
        total = len(self.items)
        if n_items > total:
            raise LikraError(f"got a subset of {n_items} items but there are {total}")
        keep = np.zeros(total, dtype=bool)
        keep[order_of(total, seed)[:n_items]] = True
        return keep

    def unused(self, n_items: int, seed: int) -> NDArray[np.int64]:
        """Return items outside a subset, as many as a fit holds out at most.

        Returns
        -------
        ndarray of shape (n_unused,)
            Indices in ascending order.
        """
        return np.sort(order_of(len(self.items), seed)[n_items : n_items + MOST_HELD_OUT])

    def draw(self, point: Point) -> Negatives:
        """Draw the wrong answers of a point.

        Among the items of its subset where it matters which there are, else for all items.
        """
        how = (point.negatives, point.n_negatives, point.contamination, point.seed)
        kind = kind_of(point.negatives)
        if not kind.nested:
            kept = np.flatnonzero(self.subset(point.n_items, point.seed))
            found = draw_negatives([self.items[i] for i in kept.tolist()], self.y[kept], *how)
            return Negatives(kept[found.item], kept[found.source], found.choice)
        scores = None
        if kind.needs_scores:
            table = self.training_table
            scores = table.split(Decision("base").scores(table))
        return draw_negatives(self.items, self.y, *how, scores)
