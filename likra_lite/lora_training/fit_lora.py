"""LoRA heads for a classifier: train, hold out, score."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from ..engine.folder import WEIGHTS
from ..engine.head import Lora
from ..engine.onnx import LanguageModel
from ..errors import LikraError, SlowTrainingWarning, import_extra
from ..export.targets import find_targets
from ..heads.folds import fold_of_items
from ..heads.recipe import LoraRecipe
from ..heads.settings import FitSettings
from ..heads.training_set import FittedHeads, HeldOutItems
from ..progress import progress_bar
from ..questions.item import Item
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from .decoder import LoraDecoder, choose_dtype
from .loop import train_adapter
from .objectives import Example
from .source import checkpoint_of, open_adapted, scratch_folder
from .task import LoraTask, task_of

__all__ = ["fit_lora"]

IntArray = NDArray[np.int64]


LARGE = 100_000_000  # parameters


def fit_lora(
    given: str | os.PathLike[str] | LanguageModel | None,
    items: Sequence[Item],
    y: IntArray,
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Train LoRA heads, and score items that they have not seen.

    Parameters
    ----------
    given : path, LanguageModel or None
        The checkpoint, or a model folder that was exported from one on the hub.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        Validation items. Without any, a fold of the items is held out and not trained on; with
        ``cv``, all items are cross-fitted and the heads then trained on all of them.
    settings : FitSettings

    Returns
    -------
    FittedHeads
    """
    recipe = settings.recipe or LoraRecipe(seed=settings.seed)
    checkpoint, revision = checkpoint_of(given)
    folder = scratch_folder(settings.train_dir)
    names = recipe.target_modules
    model = open_adapted(
        checkpoint,
        revision,
        folder,
        {
            "target_modules": list(names) if names else "those of the MLPs",
            "top_layers": recipe.top_layers or "all",
        },
        lambda decoder: find_targets(decoder, names, recipe.top_layers),
        settings.n_threads,
        settings.verbose,
    )
    scorer = ChoiceScorer.of(model, settings.prompt, settings.cache)
    task = task_of(scorer, items, y, recipe, settings)
    runs = _runs(settings, task, folder, held_out)
    if settings.n_threads is not None:
        torch.set_num_threads(settings.n_threads)
    device = PartialState().device
    dtype = choose_dtype(recipe.precision, device)
    decoder = LoraDecoder(checkpoint, revision, recipe, dtype).to(device)
    size = sum(parameter.numel() for parameter in decoder.decoder.parameters())
    if device.type == "cpu" and size > LARGE:
        warnings.warn(
            f"no GPU was found: training inside a model of {size / 1e6:,.0f} million parameters on "
            "the CPU takes seconds per example; output adapters (adapter='output') need no GPU",
            SlowTrainingWarning,
            stacklevel=4,
        )
    tables, labels, places = [], [], []
    for run in runs:
        adapters = {
            head: _train(decoder, task, head, run, scorer, settings.verbose) for head in task.heads
        }
        fitted = replace(scorer, fitted=adapters)
        if run.held_out is not None:
            with progress_bar(len(run.held_out.items), "scoring", settings.verbose) as bar:
                heads = [*settings.free_heads, *task.heads]
                tables.append(fitted.table(run.held_out.items, heads, bar.update))
            labels.append(run.held_out.y)
            places.append(run.places)
    order = np.argsort(np.concatenate(places))
    table = LogLikelihoods.concatenate(tables).take(order)
    used_items = int(runs[-1].keep.sum())
    return FittedHeads(fitted, task.negatives, table, np.concatenate(labels)[order], used_items)


@dataclass(frozen=True)
class _Run:
    """One training: where, on which items, and what is scored under its heads."""

    folder: Path
    keep: NDArray[np.bool_]
    held_out: HeldOutItems | None
    places: IntArray


def _runs(
    settings: FitSettings, task: LoraTask, folder: Path, held_out: HeldOutItems | None
) -> list[_Run]:
    everything = np.ones(len(task.items), dtype=bool)
    if held_out is not None:
        return [_Run(folder, everything, held_out, np.arange(len(held_out.items)))]
    folds = fold_of_items(task.items, settings.cv, settings.seed)

    def run(fold: int, where: Path) -> _Run:
        out = np.flatnonzero(folds == fold)
        part = HeldOutItems([task.items[i] for i in out.tolist()], task.y[out])
        return _Run(where, folds != fold, part, out)

    if settings.cv is None:
        return [run(0, folder)]
    count = int(folds.max()) + 1
    crossed = [run(fold, folder / f"fold-{fold}") for fold in range(count)]
    return [*crossed, _Run(folder, everything, None, np.zeros(0, np.int64))]


def _train(
    decoder: LoraDecoder,
    task: LoraTask,
    head: str,
    run: _Run,
    scorer: ChoiceScorer,
    verbose: bool,
) -> Lora:
    recipe, folder = task.recipe, run.folder / head
    pairs = task.pairs(head, run.keep)
    total = recipe.epochs * len(pairs)
    with progress_bar(total, f"training {head}", verbose, "example") as bar:
        if recipe.objective == "dpo":
            preferences: Any = import_extra("likra_lite.lora_training.preferences", "baselines")
            window = scorer.model.manifest.max_length
            return preferences.train_preferences(
                decoder.name,
                decoder.revision,
                pairs,
                recipe,
                decoder.targets,
                window,
                folder,
                bar.update,
            )
        evaluate = None
        if recipe.patience is not None:
            if run.held_out is None:
                raise LikraError("patience needs held-out items in every training: leave out cv")
            evaluate = _accuracy(decoder, scorer, run.held_out, head)
        examples = [Example(tree) for tree in scorer.model.encoder.trees(pairs)[0]]
        identity = scorer.model.manifest.files[WEIGHTS]["sha256"]
        # The optimiser's state belongs to one run: every run has an adapter of its own.
        name = f"{run.folder.name}-{head}".replace(".", "-")
        train_adapter(decoder, name, examples, folder, identity, evaluate, bar.update)
        return decoder.adapter(name)


def _accuracy(
    decoder: LoraDecoder, scorer: ChoiceScorer, held_out: HeldOutItems, head: str
) -> Callable[[], float]:
    """Return a function that measures the accuracy of sft, or of base-likra, as training goes."""
    trees, _ = scorer.model.encoder.trees(scorer.pairs(held_out.items))
    base = decoder.base_log_likelihoods(trees) if head == "negative" else None
    offsets = np.concatenate([[0], np.cumsum([len(item.choices) for item in held_out.items])])
    mode = Decision("sft" if base is None else "base-likra")
    nothing = np.zeros(0, np.int64)

    def measure() -> float:
        columns = {head: decoder.log_likelihoods(trees)}
        if base is not None:
            columns["base"] = base
        table = LogLikelihoods(offsets, columns, nothing, nothing, nothing)
        return float(np.mean(mode.predict(table) == held_out.y))

    return measure
