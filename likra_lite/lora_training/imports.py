"""Adapters that PEFT trained elsewhere, as heads of a classifier."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..errors import LikraError
from ..estimator import LikraClassifier
from ..heads.peft_folder import read_peft_folder
from ..heads.settings import FITTED_HEADS
from ..heads.training_set import NO_NEGATIVES, FittedHeads
from ..progress import progress_bar
from ..questions.inputs import answer_indices, as_items
from ..scoring.modes import MODES
from ..scoring.scorer import ChoiceScorer
from .source import check_is_checkpoint, open_adapted

__all__ = ["import_adapters"]


def import_adapters(
    checkpoint: str | os.PathLike[str],
    X: Any,
    y: ArrayLike | None = None,
    *,
    positive: str | os.PathLike[str] | None = None,
    negative: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    train_dir: str | os.PathLike[str] | None = None,
    **parameters: Any,
) -> LikraClassifier:
    """Make a classifier of LoRA adapters that PEFT saved.

    Parameters
    ----------
    checkpoint : str or path
        What they were trained on: a local folder or a hub id.
    X : items in any accepted form
        Held-out items, to choose what is ``auto`` and the temperature. Not those that the
        adapters were trained on.
    y : array-like of shape (n_items,), optional
        Index of the right choice; the items' own answers by default.
    positive, negative : path, optional
        PEFT folders, of right and of wrong answers; one or both.
    revision : str, optional
        Of the checkpoint, on the hub.
    train_dir : path, optional
        Where the exported model is kept; a temporary folder by default.
    **parameters
        Of :class:`likra_lite.LikraClassifier`: `mode`, `alpha`, `normalization`, `prompt`,
        `answer_delimiter`, `n_choices`, `n_threads`, `cache`, `verbose`.

    Returns
    -------
    LikraClassifier
        As if it was fitted with these heads.

    Raises
    ------
    ModelFolderError
        If a folder holds no LoRA adapter, or one that is more than low-rank matrices.
    ExportError
        If the checkpoint cannot be exported, or has no such matrices.
    LikraError
        If a mode needs a head that is not given.
    """
    given = {"positive": positive, "negative": negative}
    check_is_checkpoint(checkpoint)
    folders = {head: Path(path) for head, path in given.items() if path is not None}
    if not folders:
        raise LikraError("got no adapters; give a PEFT folder for positive, negative, or both")
    adapters = {head: read_peft_folder(path)[0] for head, path in folders.items()}
    mode = parameters.get("mode", "auto")
    missing = {*MODES[mode].heads} & {*FITTED_HEADS} - {*adapters} if mode in MODES else set()
    if missing:
        raise LikraError(f"mode {mode!r} needs a {missing.pop()} adapter; give its PEFT folder")
    classifier = LikraClassifier(checkpoint, adapter="lora", train_dir=train_dir, **parameters)
    items = as_items(X)
    answers = answer_indices(items, y)
    modules = {module for adapter in adapters.values() for module in adapter.factors}
    model = open_adapted(
        os.fspath(checkpoint),
        revision,
        train_dir,
        modules,
        classifier.n_threads,
        classifier.verbose,
    )
    bare = ChoiceScorer.of(model, classifier.prompt, classifier.cache, classifier.answer_delimiter)
    scorer = replace(bare, fitted=adapters)
    with progress_bar(len(items), "scoring", classifier.verbose) as bar:
        table = scorer.table(items, None, bar.update)
    seen = max(len(item.choices) for item in items)
    fitted = FittedHeads(scorer, NO_NEGATIVES, table, answers, 0)
    classifier.adopt(fitted, classifier.n_choices or seen)
    classifier.warn_if_worse(stacklevel=3)
    return classifier
