"""Heads from items: one trunk pass, then any number of fits on the stored features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .adapters import fit_output_adapter
from .items import Item
from .language_model import Features
from .likelihoods import LogLikelihoods
from .negatives import Negatives, draw_negatives
from .ratio import Decision
from .scoring import ChoiceScorer, choice_table, warn_of_truncation

__all__ = ["FITTED_HEADS", "TrainingSet", "cross_fit", "fit_heads", "fold_of_items", "training_set"]

FITTED_HEADS = ("positive", "negative")

# Above this many items two folds already give heads as good as the final ones, and
# held-out items enough.
MANY_ITEMS = 1000

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingSet:
    """Everything that heads are fitted on, after the only trunk pass.

    Attributes
    ----------
    features : Features
        Of every choice of every item, and of the answers borrowed from other items.
    choices : ndarray of shape (n_choices,)
        Which continuations of `features` are the items' own choices, in order.
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
    choices: IntArray
    positive: IntArray
    negative: IntArray
    negatives: Negatives
    table: LogLikelihoods
    y: IntArray


def training_set(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: IntArray,
    heads: Sequence[str],
    negatives: str,
    normalization: str,
    advance: Any = None,
    **draw: Any,
) -> TrainingSet:
    """Draw negatives and run the trunk over items and negatives.

    Parameters
    ----------
    scorer : ChoiceScorer
    items : sequence of Item
    y : ndarray of shape (n_items,)
    heads : sequence of str
        Heads of the table: ``base`` and, if wanted, ``neutral``.
    negatives : str
        Kind of negatives, see :func:`likra_lite.negatives.draw_negatives`.
    normalization : str
        How ``hardest`` and ``easiest`` compare the base model's likelihoods.
    advance : callable, optional
    **draw
        Further arguments of :func:`likra_lite.negatives.draw_negatives`.

    Returns
    -------
    TrainingSet
    """
    by_likelihood = negatives in ("hardest", "easiest")
    drawn = None if by_likelihood else draw_negatives(items, y, negatives, **draw)
    borrowed: list[list[str]] = [[] for _ in items]
    if drawn is not None:
        for item, source, choice in zip(drawn.item, drawn.source, drawn.choice, strict=True):
            if item != source:
                borrowed[item].append(items[source].choices[choice])
    trees, truncated = scorer.trees(items, borrowed)
    warn_of_truncation(truncated, len(items), scorer.model.manifest.max_length)
    features = scorer.model.features(trees, advance=advance)
    counts = np.array([len(item.choices) for item in items])
    widths = counts + np.array([len(texts) for texts in borrowed])
    starts = np.cumsum(widths) - widths
    choices = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())

    columns = {"base": scorer.model.log_likelihoods(features, scorer.stack(["base"]))[0][choices]}
    if "neutral" in heads:
        columns["neutral"] = scorer.neutral(items)
    table = choice_table(items, features.lengths[choices], columns)
    if drawn is None:
        scores = table.split(Decision("base", normalization=normalization).scores(table))
        drawn = draw_negatives(items, y, negatives, base_scores=scores, **draw)
    own = drawn.item == drawn.source
    negative = starts[drawn.item] + drawn.choice
    # Borrowed answers stand behind an item's own choices, in the order drawn.
    places = np.arange(len(drawn)) - np.searchsorted(drawn.item, drawn.item)
    within = places - np.array(
        [int(np.sum(own[i - p : i])) for i, p in enumerate(places)], dtype=np.int64
    )
    negative[~own] = (starts + counts)[drawn.item[~own]] + within[~own]
    return TrainingSet(features, choices, starts + y, negative, drawn, table, y)


def fit_heads(
    scorer: ChoiceScorer,
    training: TrainingSet,
    heads: Sequence[str],
    penalty: float,
    keep: BoolArray | None = None,
    n_threads: int | None = None,
) -> ChoiceScorer:
    """Fit output adapters on some of the training items.

    Parameters
    ----------
    scorer : ChoiceScorer
    training : TrainingSet
    heads : sequence of str
        Which of ``positive`` and ``negative``.
    penalty : float
        See :func:`likra_lite.adapters.fit_output_adapter`.
    keep : ndarray of shape (n_items,), optional
        Items to fit on, all by default. A negative is used if both the item that asks and
        the item that it was taken from are kept.
    n_threads : int, optional

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
    deltas = {
        head: fit_output_adapter(
            training.features.take(answers[head]),
            scorer.model.projection,
            penalty,
            n_threads=n_threads,
        )
        for head in heads
    }
    return ChoiceScorer(scorer.model, scorer.prompt, deltas)


def fold_of_items(n_items: int, cv: int | None, seed: int) -> IntArray:
    """Assign every item to a fold, of shape (n_items,).

    By default five folds, or two where there are many items.
    """
    folds = cv or (5 if n_items <= MANY_ITEMS else 2)
    return np.random.default_rng(seed).permutation(n_items) % min(folds, n_items)


def cross_fit(
    scorer: ChoiceScorer,
    training: TrainingSet,
    heads: Sequence[str],
    penalty: float,
    folds: IntArray,
    n_threads: int | None = None,
    advance: Any = None,
) -> LogLikelihoods:
    """Return the training items' log-likelihoods under heads that have not seen them.

    Parameters
    ----------
    scorer, training, heads, penalty, n_threads
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
            fitted = fit_heads(scorer, training, heads, penalty, folds != fold, n_threads)
            chosen = np.flatnonzero(fold_of_choice == fold)
            features = training.features.take(training.choices[chosen])
            scored = scorer.model.log_likelihoods(features, fitted.stack(heads))
            for head, values in zip(heads, scored, strict=True):
                columns[head][chosen] = values
            if advance is not None:
                advance(int(np.sum(folds == fold)))
    return LogLikelihoods(
        offsets=table.offsets,
        heads={**table.heads, **columns},
        n_tokens=table.n_tokens,
        n_chars=table.n_chars,
        n_bytes=table.n_bytes,
    )
