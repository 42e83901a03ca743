"""Heads from items: one trunk pass, then any number of fits on the stored features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.features import Features
from ..engine.head import OutputMatrix
from ..errors import LikraError
from ..questions.item import Item
from ..scoring.chunk import items_named, warn_of_truncation
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods, choice_table
from .negatives import Negatives, draw_negatives, kind_of
from .output import fit_output_matrix
from .settings import FitSettings
from .trials import Trial

__all__ = [
    "NO_NEGATIVES",
    "FittedHeads",
    "HeldOutItems",
    "TrainingSet",
    "cross_fit",
    "draw_for",
    "fit_heads",
    "training_set",
]

_NONE = np.zeros(0, dtype=np.int64)
NO_NEGATIVES = Negatives(_NONE, _NONE, _NONE)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingSet:
    """The data that heads are fitted on, made in one pass of the trunk.

    Attributes
    ----------
    features : Features
        Of every choice of every item, in order, then of the answers borrowed from other items.
    positive : ndarray of shape (n_items,)
        Continuation of every item's right answer.
    negative : ndarray of shape (n_negatives,)
        Continuation of every drawn negative.
    negatives : Negatives
        Where those come from.
    table : LogLikelihoods
        The items under the heads that need no fitting.
    y : ndarray of shape (n_items,)
        Index of the right choice.
    """

    features: Features
    positive: IntArray
    negative: IntArray
    negatives: Negatives
    table: LogLikelihoods
    y: IntArray


@dataclass(frozen=True)
class HeldOutItems:
    """Items that heads are not fitted on.

    Attributes
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    """

    items: Sequence[Item]
    y: IntArray


@dataclass(frozen=True)
class FittedHeads:
    """The results of a fit.

    Attributes
    ----------
    scorer : ChoiceScorer
        With the fitted heads.
    negatives : Negatives
        The wrong answers that were drawn.
    table : LogLikelihoods
        Of held-out items.
    y : ndarray of shape (n_held_out,)
        Their right choices.
    n_items : int
        Items that the heads were fitted on.
    penalty : float or None
        That was used, if there was one.
    trials : sequence of Trial
        Of every kind of heads, if several were tried.
    training : ndarray
        What :func:`likra_lite.questions.item.content_hashes` gives for the training items;
        empty where they are not known.
    n_examples : int
        Items that stand with their answers before every question.
    """

    scorer: ChoiceScorer
    negatives: Negatives
    table: LogLikelihoods
    y: IntArray
    n_items: int
    penalty: float | None = None
    trials: Sequence[Trial] = ()
    training: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    n_examples: int = 0


def draw_for(
    settings: FitSettings,
    items: Sequence[Item],
    y: IntArray,
    base: LogLikelihoods | None = None,
) -> Negatives:
    """Draw the wrong answers that the settings ask for.

    Parameters
    ----------
    settings : FitSettings
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    base : LogLikelihoods, optional
        The items under the base model, for the kinds that compare its scores.

    Returns
    -------
    Negatives
    """
    scores = None
    if base is not None:
        decision = Decision("base", normalization=settings.drawing_normalization)
        scores = base.split(decision.scores(base))
    return draw_negatives(
        items,
        y,
        settings.negatives,
        n_negatives=settings.n_negatives,
        contamination=settings.contamination,
        seed=settings.seed,
        base_scores=scores,
    )


def training_set(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: IntArray,
    settings: FitSettings,
    advance: Any = None,
) -> TrainingSet:
    """Draw negatives and run the trunk over items and negatives.

    Parameters
    ----------
    scorer : ChoiceScorer
    items : sequence of Item
    y : ndarray of shape (n_items,)
    settings : FitSettings
        Which wrong answers are drawn, and which heads the table has.
    advance : callable, optional
        Called with the number of items done.

    Returns
    -------
    TrainingSet
    """
    drawn: Negatives | None = None
    if "negative" not in settings.read_heads:
        drawn = NO_NEGATIVES
    elif not kind_of(settings.negatives).needs_scores:
        drawn = draw_for(settings, items, y)
    counts = np.array([len(item.choices) for item in items])
    starts = np.cumsum(counts) - counts
    n_choices = int(counts.sum())
    pairs, owners = scorer.pairs(items), scorer.owners(items)
    n_pairs = len(pairs)
    if drawn is not None:
        pairs += drawn.take(drawn.borrowed).pairs(items, scorer.prompt)
        owners = np.concatenate([owners, drawn.item[drawn.borrowed]])
    with items_named(items, owners):
        features, truncated = scorer.pair_scorer.features(pairs, advance)
    cut = np.unique(owners[:n_pairs][truncated[:n_pairs]]).tolist()
    warn_of_truncation(cut, len(items), scorer.model.manifest.max_length)
    choices = np.arange(n_choices)
    base = scorer.model.log_likelihoods(features.take(choices), [None])[0]
    columns = {"base": base}
    if "neutral" in settings.read_heads:
        columns["neutral"] = scorer.neutral(items)
    table = choice_table(items, features.lengths[:n_choices], columns)
    if drawn is None:
        drawn = draw_for(settings, items, y, table)
    negative = starts[drawn.item] + drawn.choice
    negative[drawn.borrowed] = n_choices + np.arange(drawn.borrowed.sum())
    return TrainingSet(features, starts + y, negative, drawn, table, y)


def fit_heads(
    scorer: ChoiceScorer,
    training: TrainingSet,
    heads: Sequence[str],
    penalty: float,
    keep: BoolArray | None = None,
) -> ChoiceScorer:
    """Fit output matrices on some of the training items.

    Parameters
    ----------
    scorer : ChoiceScorer
    training : TrainingSet
    heads : sequence of str
        Which of ``positive`` and ``negative``.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    keep : ndarray of shape (n_items,), optional
        Items to fit on, all by default. A negative is used if both the item that asks and
        the item that it was taken from are kept.

    Returns
    -------
    ChoiceScorer
        With the fitted heads.
    """
    if keep is None:
        keep = np.ones(len(training.y), dtype=bool)
    drawn = training.negatives
    answers = {
        "positive": training.positive[keep],
        "negative": training.negative[keep[drawn.item] & keep[drawn.source]],
    }
    for head in heads:
        if len(answers[head]) == 0:
            raise LikraError(
                f"no answer is left to fit the {head} head on, in a fit on {int(keep.sum())} of "
                f"{len(keep)} items; use more items, or fewer folds"
            )
    matrices = {
        head: fit_output_matrix(
            training.features.take(answers[head]), scorer.model.projection, penalty
        )
        for head in heads
    }
    fitted = {head: OutputMatrix(matrix) for head, matrix in matrices.items()}
    return replace(scorer, fitted=fitted)


def cross_fit(
    scorer: ChoiceScorer,
    training: TrainingSet,
    heads: Sequence[str],
    penalty: float,
    folds: IntArray,
    advance: Any = None,
) -> LogLikelihoods:
    """Return the training items' log-likelihoods under heads that have not seen them.

    Parameters
    ----------
    scorer, training, heads, penalty
        See :func:`fit_heads`.
    folds : ndarray of shape (n_items,)
        Fold of every item; the heads that score a fold are fitted on the others.
    advance : callable, optional
        Called with the number of items done.

    Returns
    -------
    LogLikelihoods
        The columns of ``training.table`` and one per fitted head.
    """
    table = training.table
    columns = {head: np.empty(table.offsets[-1]) for head in heads}
    if heads:
        fold_of_choice = np.repeat(folds, table.n_choices)
        for fold in range(int(folds.max()) + 1):
            fitted = fit_heads(scorer, training, heads, penalty, folds != fold)
            chosen = np.flatnonzero(fold_of_choice == fold)
            features = training.features.take(chosen)
            scored = scorer.model.log_likelihoods(features, fitted.select(heads))
            for head, values in zip(heads, scored, strict=True):
                columns[head][chosen] = values
            if advance is not None:
                advance(int(np.sum(folds == fold)))
    return replace(table, heads={**table.heads, **columns})
