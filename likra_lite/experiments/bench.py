"""Fitting on many subsets of the same items, with one trunk pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.features import Features
from ..engine.head import Head
from ..engine.ragged import span_indices
from ..errors import LikraError
from ..heads.negatives import Negatives, draw_negatives
from ..heads.output import DEFAULT_PENALTY
from ..heads.settings import FITTED_HEADS, FitSettings
from ..heads.training_set import fit_heads, training_set
from ..questions.inputs import answer_indices
from ..questions.item import Item
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import DecisionRule
from ..scoring.table import LogLikelihoods
from ..validation import check_integer
from .held_out import HeldOut
from .points import Point

__all__ = ["Bench", "order_of"]

MAX_UNUSED = 1000  # training items that alpha is chosen on

BoolArray = NDArray[np.bool_]


def order_of(n_items: int, seed: int) -> NDArray[np.int64]:
    """Return the order in which a seed takes items: the first so many are its subsets."""
    check_integer("seed", seed, 0)
    return np.random.default_rng(seed).permutation(n_items)


# Heads are fitted point by point; what is read first needs none.
NO_HEADS = FitSettings(DecisionRule("base"))


class Bench:
    """Training and test items under one language model, read once.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items : sequence of Item
        Every item has an answer.
    held_out : dict of str to HeldOut
        Test sets that were read already, by name.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    advance : callable, optional
        Called with the number of items read.

    Attributes
    ----------
    y : ndarray of shape (n_items,)

    Raises
    ------
    LikraError
        If there are fewer than two training items, or an item has no answer.

    Warns
    -----
    TruncationWarning
        If contexts were cut to fit the model.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        held_out: Mapping[str, HeldOut],
        penalty: float = DEFAULT_PENALTY,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        if len(items) < 2:
            raise LikraError(f"an experiment needs at least two training items; got {len(items)}")
        self.scorer = scorer
        self.items = items
        self.penalty = penalty
        self.y = answer_indices(items)
        self._training = training_set(scorer, items, self.y, NO_HEADS, advance)
        self.held_out = held_out
        self._positive: dict[tuple[int, int], Head] = {}
        self._borrowed: dict[tuple[int, int, int], int] = {}

    def moved(self, model: Engine, mapped: Callable[[Features], Features]) -> Bench:
        """Return the bench with a twin of its model, and its features elsewhere."""
        twin = copy(self)
        twin.scorer = replace(self.scorer, model=model, cache=None)
        twin._training = replace(self._training, features=mapped(self._training.features))
        twin.held_out = {name: each.moved(mapped) for name, each in self.held_out.items()}
        twin._positive = {}
        return twin

    @property
    def training_table(self) -> LogLikelihoods:
        """The training items under the base model."""
        return self._training.table

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
        """Return items outside a subset, :data:`MAX_UNUSED` at most, to choose alpha on.

        Returns
        -------
        ndarray of shape (n_unused,)
            Indices in ascending order.
        """
        return np.sort(order_of(len(self.items), seed)[n_items : n_items + MAX_UNUSED])

    def fit(self, point: Point) -> ChoiceScorer:
        """Fit both heads on some of the items.

        Returns
        -------
        ChoiceScorer
            With the fitted heads.
        """
        keep, drawn = self.subset(point.n_items, point.seed), self.draw(point)
        self.read_borrowed([drawn])
        negative = self.training_table.offsets[drawn.item] + drawn.choice
        negative[drawn.borrowed] = [self._borrowed[key] for key in _keys(drawn)]
        training = replace(self._training, negatives=drawn, negative=negative)
        # The positive head is the same whatever the negatives.
        same = point.n_items, point.seed
        missing = ("negative",) if same in self._positive else FITTED_HEADS
        fitted = fit_heads(self.scorer, training, missing, self.penalty, keep)
        if same not in self._positive:
            self._positive[same] = fitted.fitted["positive"]
        heads = {"positive": self._positive[same], "negative": fitted.fitted["negative"]}
        return ChoiceScorer(self.scorer.model, self.scorer.prompt, heads)

    def read_borrowed(
        self, drawn: Iterable[Negatives], advance: Callable[[int], object] | None = None
    ) -> None:
        """Run the trunk over the answers that were drawn from other items, each once."""
        keys = dict.fromkeys(key for each in drawn for key in _keys(each))
        new = sorted(keys.keys() - self._borrowed.keys())
        if not new:
            return
        pairs = Negatives(*np.array(new).T).pairs(self.items, self.scorer.prompt)
        read = self.scorer.pair_scorer.features(pairs, advance).features
        known = self._training.features
        self._borrowed |= {key: len(known.lengths) + place for place, key in enumerate(new)}
        self._training = replace(self._training, features=Features.concatenate([known, read]))

    def draw(self, point: Point) -> Negatives:
        """Draw the wrong answers of a point.

        Answers of other questions are drawn among the items of its subset; other kinds are
        drawn for all items.
        """
        how = (point.negatives, point.n_negatives, point.contamination, point.seed)
        if point.negatives == "other":
            kept = np.flatnonzero(self.subset(point.n_items, point.seed))
            found = draw_negatives([self.items[i] for i in kept.tolist()], self.y[kept], *how)
            return Negatives(kept[found.item], kept[found.source], found.choice)
        table = self.training_table
        scores = table.split(Decision("base").scores(table))
        return draw_negatives(self.items, self.y, *how, scores)

    def score_training(self, fitted: ChoiceScorer, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return some training items' log-likelihoods under the base model and fitted heads."""
        whole = self.training_table
        choices = span_indices(whole.offsets[items], whole.n_choices[items])
        heads = tuple(fitted.fitted)
        features = self._training.features.take(choices)
        scored = fitted.model.log_likelihoods(features, fitted.select(heads))
        table = whole.take(items)
        return replace(table, heads={**table.heads, **dict(zip(heads, scored, strict=True))})


def _keys(drawn: Negatives) -> list[tuple[int, int, int]]:
    """Return item, source and choice of the answers that come from other items."""
    found = drawn.take(drawn.borrowed)
    columns = (found.item, found.source, found.choice)
    return list(zip(*(column.tolist() for column in columns), strict=True))
