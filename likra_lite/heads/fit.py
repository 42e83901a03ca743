"""Output adapters for a classifier: one pass over the items, then fits on what was read."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..datasets import bundled_model
from ..engine.onnx import LanguageModel
from ..errors import LikraError
from ..progress import progress_bar
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import choose
from .output import DEFAULT_PENALTY
from .training_set import (
    FITTED_HEADS,
    FittedHeads,
    HeldOutItems,
    cross_fit,
    fit_heads,
    fold_of_items,
    training_set,
)

if TYPE_CHECKING:
    from ..estimator import LikraClassifier

__all__ = ["fit_output_heads"]

PENALTIES = (DEFAULT_PENALTY / 10, DEFAULT_PENALTY, DEFAULT_PENALTY * 10)


def fit_output_heads(
    classifier: LikraClassifier,
    items: Sequence[Item],
    y: NDArray[np.int64],
    held_out: HeldOutItems | None,
    used: Collection[str],
    candidates: tuple[Sequence[str], Sequence[float], Sequence[str]],
) -> FittedHeads:
    """Do the work of :meth:`likra_lite.LikraClassifier.fit` for output adapters.

    Parameters
    ----------
    classifier : LikraClassifier
        With its parameters, not fitted.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        Validation items; the items themselves are cross-fitted if None.
    used : collection of str
        Heads that the modes read.
    candidates : (modes, alphas, normalizations)
        Of these, what explains held-out items best tells which penalty is best.

    Returns
    -------
    FittedHeads
    """
    model = _open_model(classifier)
    scorer = ChoiceScorer.of(model, classifier.prompt, classifier.cache)
    with progress_bar(len(items), "reading", classifier.verbose) as bar:
        training = training_set(
            scorer,
            items,
            y,
            ["base", "neutral"] if "neutral" in used else ["base"],
            negatives=classifier.negatives if "negative" in used else None,
            normalization="none"
            if classifier.normalization == "auto"
            else classifier.normalization,
            n_negatives=classifier.n_negatives,
            contamination=classifier.contamination,
            seed=classifier.random_state,
            advance=bar.update,
        )
    heads = [head for head in FITTED_HEADS if head in used]
    folds = None
    if held_out is None:
        folds = fold_of_items(items, classifier.cv, classifier.random_state)
    grid = PENALTIES if classifier.penalty == "auto" and heads else (classifier.penalty,)
    right = y if held_out is None else held_out.y
    results = []
    with progress_bar(len(grid) * len(items), "fitting", classifier.verbose) as bar:
        for given in grid:
            penalty = DEFAULT_PENALTY if given == "auto" else float(given)
            fitted = fit_heads(scorer, training, heads, penalty)
            if held_out is not None:
                table = fitted.table(held_out.items, [*training.table.heads, *heads])
                bar.update(len(items))
            else:
                assert folds is not None
                table = cross_fit(scorer, training, heads, penalty, folds, bar.update)
            loss = choose(table, right, *candidates)[1]
            done = FittedHeads(fitted, training.negatives, table, right, len(items), penalty)
            results.append((loss, done))
    return min(results, key=lambda result: result[0])[1]


def _open_model(classifier: LikraClassifier) -> LanguageModel:
    model = classifier.model
    if isinstance(model, LanguageModel):
        return model
    if model is not None and not isinstance(model, str | os.PathLike):
        raise LikraError(
            f"got a model of type {type(model).__name__}; expected a model folder, made "
            "with: likra-lite export MODEL --out DIR"
        )
    return LanguageModel(bundled_model() if model is None else model, classifier.n_threads)
