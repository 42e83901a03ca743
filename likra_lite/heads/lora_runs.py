"""The training runs of a classifier's LoRA heads, and the items scored under each."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.head import Lora
from ..errors import LikraError
from ..progress import Pace, progress_bar
from ..questions.item import Item
from ..scoring.decision import Decision
from ..scoring.lengths import LENGTHS
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from ..system.scratch import temporary_folder
from .folds import fold_of_items
from .lora_examples import Example
from .lora_task import LoraTask
from .settings import FitSettings
from .training_set import FittedHeads, HeldOutItems

__all__ = [
    "MOST_HELD_OUT",
    "Training",
    "accuracy_of",
    "examples_for",
    "fit_runs",
    "held_out_places",
    "scratch_folder",
]

IntArray = NDArray[np.int64]

# Items that are not trained on, without cross-fitting: a fifth, but no more than tell the weights
# of a decision.
HELD_OUT_SHARE, MOST_HELD_OUT = 5, 200


@dataclass(frozen=True)
class Training:
    """One training of every head: where, on which items, and what is scored under the heads.

    Attributes
    ----------
    folder : Path
    keep : ndarray of shape (n_items,)
        Items that are trained on.
    held_out : HeldOutItems or None
    places : ndarray of shape (n_held_out,)
        Where the held-out items are among all.
    """

    folder: Path
    keep: NDArray[np.bool_]
    held_out: HeldOutItems | None
    places: IntArray


def fit_runs(
    scorer: ChoiceScorer,
    task: LoraTask,
    settings: FitSettings,
    held_out: HeldOutItems | None,
    folder: Path,
    train: Callable[[str, Training, Callable[[int], None]], Lora],
    trained_all: Callable[[], None] = lambda: None,
) -> FittedHeads:
    """Train heads, and score items that they have not seen.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads.
    task : LoraTask
    settings : FitSettings
    held_out : HeldOutItems or None
        Validation items. Without any, a fold of the items is held out and not trained on; with
        ``cv``, all items are cross-fitted and the heads then trained on all of them.
    folder : Path
        Where states and checkpoints are kept.
    train : callable
        From the name of a head, a training, and what to call with the number of examples done, to
        the head.
    trained_all : callable, optional
        Called when the heads of a training are there, before items are scored.

    Returns
    -------
    FittedHeads
    """
    tables, labels, places = [], [], []
    runs = _trainings(settings, task, folder, held_out)
    epochs = task.recipe.epochs
    counts = [{head: len(task.pairs(head, run.keep)) for head in task.heads} for run in runs]
    total = sum(sum(of_head.values()) for of_head in counts)
    pace = Pace(epochs * total, f"training on {total} answers", settings.verbose)

    def trained(head: str, run: Training, count: int) -> Lora:
        with progress_bar(epochs * count, f"training {head}", settings.verbose, "example") as bar:

            def advance(done: int) -> None:
                bar.update(done)
                pace.advance(done)

            return train(head, run, advance)

    for run, of_head in zip(runs, counts, strict=True):
        heads = {head: trained(head, run, count) for head, count in of_head.items()}
        trained_all()
        fitted = replace(scorer, fitted=heads)
        if run.held_out is not None:
            with progress_bar(len(run.held_out.items), "scoring", settings.verbose) as bar:
                names = [*settings.free_heads, *task.heads]
                tables.append(fitted.table(run.held_out.items, names, bar.update))
            labels.append(run.held_out.y)
            places.append(run.places)
    order = np.argsort(np.concatenate(places))
    table = LogLikelihoods.concatenate(tables).take(order)
    used_items = int(runs[-1].keep.sum())
    return FittedHeads(fitted, task.negatives, table, np.concatenate(labels)[order], used_items)


def _trainings(
    settings: FitSettings, task: LoraTask, folder: Path, held_out: HeldOutItems | None
) -> list[Training]:
    everything = np.ones(len(task.items), dtype=bool)
    if held_out is not None:
        return [Training(folder, everything, held_out, np.arange(len(held_out.items)))]
    if settings.cv is None:
        out = held_out_places(task.items, settings.seed)
        return [_without(task, out, folder)]
    folds = fold_of_items(task.items, settings.cv, settings.seed)
    count = int(folds.max()) + 1
    crossed = [
        _without(task, np.flatnonzero(folds == fold), folder / f"fold-{fold}")
        for fold in range(count)
    ]
    return [*crossed, Training(folder, everything, None, np.zeros(0, np.int64))]


def _without(task: LoraTask, places: IntArray, folder: Path) -> Training:
    """Return a training on all items but some, which are held out."""
    keep = np.ones(len(task.items), dtype=bool)
    keep[places] = False
    held_out = HeldOutItems([task.items[place] for place in places.tolist()], task.y[places])
    return Training(folder, keep, held_out, places)


def held_out_places(items: Sequence[Item], seed: int) -> IntArray:
    """Return which items are held out of a training on all others, of shape (n_held_out,).

    A fifth, or about 200 if that is less; related items are held out together.
    """
    n_folds = max(HELD_OUT_SHARE, -(-len(items) // MOST_HELD_OUT))
    return np.flatnonzero(fold_of_items(items, n_folds, seed) == 0)


def examples_for(
    scorer: ChoiceScorer, task: LoraTask, head: str, run: Training
) -> tuple[list[Example], HeldOutItems | None]:
    """Return what a head is trained on, and the items that tell when to stop, if it may.

    Raises
    ------
    LikraError
        If training may stop early but no items are held out.
    """
    trees, _ = scorer.model.encoder.trees(task.pairs(head, run.keep))
    if task.recipe.patience is None:
        return [Example(tree) for tree in trees], None
    if run.held_out is None:
        raise LikraError("patience needs held-out items in every training: leave out cv")
    return [Example(tree) for tree in trees], run.held_out


def accuracy_of(
    head: str, held_out: HeldOutItems, values: NDArray[np.float64], base: NDArray[np.float64]
) -> float:
    """Return the accuracy of sft, or for the negative head of base-likra.

    Parameters
    ----------
    head : str
    held_out : HeldOutItems
    values, base : ndarray of shape (n_choices of all items,)
        Log-likelihoods under the head and under the model as it is, in nats.
    """
    offsets = np.concatenate([[0], np.cumsum([len(item.choices) for item in held_out.items])])
    unread = dict.fromkeys(LENGTHS, np.ones(len(values), np.int64))  # by these modes
    table = LogLikelihoods(offsets, {head: values, "base": base}, unread)
    mode = Decision("base-likra" if head == "negative" else "sft")
    return float(np.mean(mode.predict(table) == held_out.y))


def scratch_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder given, or a temporary one that goes when Python ends."""
    if given is not None:
        return Path(given)
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(temporary_folder())
