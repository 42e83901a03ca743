"""Output matrices for a classifier: one pass over the items, then fits on the stored features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..progress import progress_bar
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .folds import fold_of_items
from .output import DEFAULT_PENALTY
from .settings import FitSettings
from .training_set import (
    FittedHeads,
    HeldOutItems,
    cross_fit,
    fit_heads,
    training_set,
)

__all__ = ["fit_output_heads"]

PENALTIES = (DEFAULT_PENALTY / 10, DEFAULT_PENALTY, DEFAULT_PENALTY * 10)


def fit_output_heads(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: NDArray[np.int64],
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Fit output matrices, and score items that they have not seen.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        Validation items; the items themselves are cross-fitted if None.
    settings : FitSettings

    Returns
    -------
    FittedHeads
    """
    with progress_bar(len(items), "reading", settings.verbose) as bar:
        training = training_set(scorer, items, y, settings, bar.update)
    heads = settings.fitted_heads
    folds = None
    if held_out is None:
        folds = fold_of_items(items, settings.cv, settings.seed)
    grid = PENALTIES if settings.penalty == "auto" and heads else (settings.penalty,)
    right = y if held_out is None else held_out.y
    results = []
    with progress_bar(len(grid) * len(items), "fitting", settings.verbose) as bar:
        for given in grid:
            penalty = DEFAULT_PENALTY if given == "auto" else float(given)
            fitted = fit_heads(scorer, training, heads, penalty)
            if held_out is not None:
                table = fitted.table(held_out.items, [*training.table.heads, *heads])
                bar.update(len(items))
            else:
                assert folds is not None
                table = cross_fit(scorer, training, heads, penalty, folds, bar.update)
            results.append(
                FittedHeads(fitted, training.negatives, table, right, len(items), penalty)
            )
    if len(results) == 1:
        return results[0]
    return min(results, key=lambda fitted: settings.rule.loss(fitted.table, fitted.y))
