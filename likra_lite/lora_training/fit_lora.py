"""LoRA heads for a classifier: train, hold out, score."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from ..engine.head import Lora
from ..engine.manifest import WEIGHTS
from ..errors import SlowTrainingWarning, import_extra
from ..heads.lora_rate import RateFinder
from ..heads.lora_runs import Training, accuracy_of, examples_for, fit_runs
from ..heads.lora_task import LoraTask, task_of
from ..heads.recipe import LoraRecipe
from ..heads.settings import FitSettings
from ..heads.training_set import FittedHeads, HeldOutItems
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .decoder import LoraDecoder, choose_dtype
from .loop import train_adapter
from .source import open_adapted, scratch_folder

__all__ = ["fit_lora"]

IntArray = NDArray[np.int64]

LARGE = 100_000_000  # parameters


def fit_lora(
    checkpoint: str | os.PathLike[str],
    items: Sequence[Item],
    y: IntArray,
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Train LoRA heads, and score items that they have not seen.

    Parameters
    ----------
    checkpoint : str or path
        A local folder or a hub id.
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
    name = os.fspath(checkpoint)
    folder = scratch_folder(settings.train_dir)
    if settings.n_threads is not None:
        torch.set_num_threads(settings.n_threads)
    device = PartialState().device
    dtype = choose_dtype(recipe.precision, device)
    decoder = LoraDecoder(name, None, recipe, dtype).to(device)
    model = open_adapted(
        name, None, settings.train_dir, decoder.shapes, settings.n_threads, settings.verbose
    )
    scorer = ChoiceScorer.of(
        model, settings.prompt, settings.cache, settings.answer_delimiter, settings.examples
    )
    task = task_of(scorer, items, y, recipe, settings)
    size = sum(parameter.numel() for parameter in decoder.decoder.parameters())
    if device.type == "cpu" and size > LARGE:
        warnings.warn(
            f"no GPU was found: training inside a model of {size / 1e6:,.0f} million parameters on "
            "the CPU with PyTorch is slow; a model folder, made with likra-lite export, is trained "
            "faster",
            SlowTrainingWarning,
            stacklevel=4,
        )

    finder = RateFinder(recipe.learning_rate, folder, settings.verbose)

    def train(head: str, run: Training, advance: Callable[[int], None]) -> Lora:
        return _train(decoder, task, head, run, scorer, finder, advance)

    return fit_runs(scorer, task, settings, held_out, folder, train)


def _train(
    decoder: LoraDecoder,
    task: LoraTask,
    head: str,
    run: Training,
    scorer: ChoiceScorer,
    finder: RateFinder,
    advance: Callable[[int], None],
) -> Lora:
    recipe, folder = task.recipe, run.folder / head
    if recipe.objective == "dpo":
        preferences: Any = import_extra("likra_lite.lora_training.preferences", "baselines")
        return preferences.train_preferences(
            decoder.name,
            decoder.revision,
            task.pairs(head, run.keep),
            recipe,
            decoder.targets,
            scorer.model.manifest.max_length,
            folder,
            advance,
        )
    examples, looked_at = examples_for(scorer, task, head, run)
    evaluate = None if looked_at is None else _accuracy(decoder, scorer, looked_at, head)
    identity = scorer.model.manifest.files[WEIGHTS]["sha256"]
    # The optimiser's state belongs to one run: every run has an adapter of its own.
    name = f"{run.folder.name}-{head}".replace(".", "-")
    train_adapter(decoder, name, examples, folder, identity, evaluate, advance, finder)
    return decoder.adapter(name)


def _accuracy(
    decoder: LoraDecoder, scorer: ChoiceScorer, held_out: HeldOutItems, head: str
) -> Callable[[], float]:
    """Return a function that measures the accuracy of the adapter as training goes."""
    trees, _ = scorer.model.encoder.trees(scorer.pairs(held_out.items))
    base = decoder.base_log_likelihoods(trees)

    def measure() -> float:
        return accuracy_of(head, held_out, decoder.log_likelihoods(trees), base)

    return measure
