"""Output adapters for a classifier: one pass over the items, then fits on what was read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import bundled_model
from ..engine.onnx import LanguageModel
from ..errors import LikraError
from ..progress import progress_bar
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .output import DEFAULT_PENALTY
from .settings import FitSettings
from .training_set import (
    FittedHeads,
    HeldOutItems,
    cross_fit,
    fit_heads,
    fold_of_items,
    training_set,
)

__all__ = ["fit_output_heads"]

PENALTIES = (DEFAULT_PENALTY / 10, DEFAULT_PENALTY, DEFAULT_PENALTY * 10)


def fit_output_heads(
    model: Any,
    settings: FitSettings,
    items: Sequence[Item],
    y: NDArray[np.int64],
    held_out: HeldOutItems | None,
) -> FittedHeads:
    """Fit output matrices, and score held-out items with them.

    Parameters
    ----------
    model : path, LanguageModel or None
        The bundled model if None.
    settings : FitSettings
        What its rule decides best on held-out items tells which penalty is best.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        Validation items; the items themselves are cross-fitted if None.

    Returns
    -------
    FittedHeads
    """
    scorer = ChoiceScorer.of(
        _open_model(model, settings.n_threads), settings.prompt, settings.cached
    )
    heads = settings.fitted_heads
    with progress_bar(len(items), "reading", settings.verbose) as bar:
        training = training_set(
            scorer,
            items,
            y,
            settings.free_heads,
            negatives=settings.negatives if "negative" in heads else None,
            normalization=settings.base_normalization,
            n_negatives=settings.n_negatives,
            contamination=settings.contamination,
            seed=settings.seed,
            advance=bar.update,
        )
    folds = None if held_out is not None else fold_of_items(items, settings.cv, settings.seed)
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
            loss = settings.rule.decide(table, right)[1]
            done = FittedHeads(fitted, training.negatives, table, right, len(items), penalty)
            results.append((loss, done))
    return min(results, key=lambda result: result[0])[1]


def _open_model(model: Any, n_threads: int | None) -> LanguageModel:
    if isinstance(model, LanguageModel):
        return model
    if model is not None and not isinstance(model, str | os.PathLike):
        raise LikraError(
            f"got a model of type {type(model).__name__}; expected a model folder, made "
            "with: likra-lite export MODEL --out DIR"
        )
    return LanguageModel(bundled_model() if model is None else model, n_threads)
