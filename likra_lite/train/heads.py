"""LoRA heads from items: export the model once, train on its own token rules, hold out, score."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from transformers import PreTrainedModel

from ..cache import default_cache
from ..errors import LikraError, SlowTrainingWarning, import_extra
from ..export.checkpoint import export_checkpoint
from ..export.targets import Targets, find_targets
from ..fitting import FITTED_HEADS, NO_NEGATIVES, FittedHeads, HeldOut, fold_of_items
from ..items import Item
from ..language_model import LanguageModel
from ..likelihoods import LogLikelihoods
from ..lora import LoraAdapter
from ..negatives import Negatives, draw_negatives
from ..pairs import Pair
from ..progress import progress_bar
from ..prompts import Prompt, as_prompt
from ..ratio import Decision
from ..recipe import LoraRecipe
from ..scoring import ChoiceScorer
from ..storage import MANIFEST, WEIGHTS, atomic_text, read_manifest
from .decoder import LoraDecoder, choose_dtype
from .loop import train_adapter
from .objectives import Example

if TYPE_CHECKING:
    from ..estimator import LikraClassifier

__all__ = ["LoraTask", "checkpoint_of", "fit_lora", "open_adapted", "scratch_folder"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoraTask:
    """What heads are trained on.

    Attributes
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    prompt : Prompt
    heads : sequence of str
        Which of ``positive`` and ``negative``.
    negatives : Negatives
        The wrong answers that were drawn.
    recipe : LoraRecipe
    """

    items: Sequence[Item]
    y: IntArray
    prompt: Prompt
    heads: Sequence[str]
    negatives: Negatives
    recipe: LoraRecipe

    def pairs(self, head: str, keep: NDArray[np.bool_]) -> list[Pair]:
        """Return contexts with the answers to train on, the right one first if there are several.

        `keep`, of shape (n_items,), says which items may be used.
        """
        drawn, items, prompt = self.negatives, self.items, self.prompt
        wrong: dict[int, list[str]] = {}
        for index in np.flatnonzero(keep[drawn.item] & keep[drawn.source]).tolist():
            i, j, c = int(drawn.item[index]), int(drawn.source[index]), int(drawn.choice[index])
            own = prompt.continuations(items[i].choices)
            wrong.setdefault(i, []).append(
                own[c] if i == j else prompt.borrowed(items[j].choices[c])
            )
        kept = np.flatnonzero(keep).tolist()
        right = {i: prompt.continuations(items[i].choices)[self.y[i]] for i in kept}
        if self.recipe.objective != "likelihood":
            answers = [(i, [right[i], *wrong[i]]) for i in kept if i in wrong]
        elif head == "positive":
            answers = [(i, [right[i]]) for i in kept]
        else:
            answers = [(i, [text]) for i in kept for text in wrong.get(i, [])]
        if not answers:
            raise LikraError(
                f"no answer is left to train the {head} head on, of {len(kept)} items; use more "
                "items, or fewer folds"
            )
        return [(prompt.context(items[i]), texts) for i, texts in answers]


def open_adapted(
    checkpoint: str,
    revision: str | None,
    folder: Path,
    settings: dict[str, Any],
    adapt: Callable[[PreTrainedModel], Targets],
    n_threads: int | None,
    verbose: bool,
) -> LanguageModel:
    """Export a checkpoint with a graph for LoRA heads to ``folder/model``, unless it is there.

    `settings` say what the graph adapts; they and the checkpoint must be those of before.
    """
    local = Path(checkpoint)
    files = sorted(local.glob("*.safetensors")) if local.is_dir() else []
    facts = {
        "checkpoint": str(local.resolve()) if local.is_dir() else checkpoint,
        "revision": revision,
        "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        **settings,
    }
    facts = json.loads(json.dumps(facts))
    path, note = folder / "model", folder / "model.json"
    with PartialState().main_process_first():
        if not note.is_file():
            export_checkpoint(checkpoint, path, revision, verbose, adapt)
            with atomic_text(note) as stream:
                json.dump(facts, stream, indent=2)
    stored = json.loads(note.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if stored.get(name) != value:
            raise LikraError(
                f"{folder} holds a model with {name} {stored.get(name)}, and now it is {value}; "
                "choose another folder, or delete this one"
            )
    return LanguageModel(path, n_threads)


LARGE = 100_000_000  # parameters
ADVICE = "LoRA heads need the checkpoint itself: give its hub id or folder as the model"


def fit_lora(
    classifier: LikraClassifier,
    items: Sequence[Item],
    y: IntArray,
    held_out: HeldOut | None,
    used: Collection[str],
) -> FittedHeads:
    """Do the work of :meth:`likra_lite.LikraClassifier.fit` for LoRA heads.

    Parameters
    ----------
    classifier : LikraClassifier
        With its parameters, not fitted.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOut or None
        Validation items. Without any, a fold of the items is held out and not trained on; with
        ``cv``, all items are cross-fitted and the heads then trained on all of them.
    used : collection of str
        Heads that the modes read.

    Returns
    -------
    FittedHeads
    """
    recipe = classifier.recipe or LoraRecipe(seed=classifier.random_state)
    checkpoint, revision = checkpoint_of(classifier.model)
    folder = scratch_folder(classifier.train_dir)
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
        classifier.n_threads,
        classifier.verbose,
    )
    prompt = as_prompt(model.manifest.prompt if classifier.prompt is None else classifier.prompt)
    scorer = ChoiceScorer(model, prompt, cache=default_cache() if classifier.cache else None)
    task = _task(classifier, scorer, items, y, recipe, used)
    columns = [name for name in ("base", "neutral") if name == "base" or name in used]
    runs = _runs(classifier, task, folder, held_out)
    if classifier.n_threads is not None:
        torch.set_num_threads(classifier.n_threads)
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
            head: _train(decoder, task, head, run, scorer, classifier) for head in task.heads
        }
        fitted = replace(scorer, adapters=adapters)
        if run.held_out is not None:
            with progress_bar(len(run.held_out.items), "scoring", classifier.verbose) as bar:
                heads = [*columns, *task.heads]
                tables.append(fitted.table(run.held_out.items, heads, bar.update))
            labels.append(run.held_out.y)
            places.append(run.places)
    order = np.argsort(np.concatenate(places))
    table = LogLikelihoods.concatenate(tables).take(order)
    used_items = int(runs[-1].keep.sum())
    return FittedHeads(fitted, task.negatives, table, np.concatenate(labels)[order], used_items)


def check_is_checkpoint(model: str | os.PathLike[str]) -> None:
    """Raise LikraError if `model` is a model folder."""
    if (Path(model) / MANIFEST).is_file():
        raise LikraError(f"{model} is a model folder; {ADVICE}")


def checkpoint_of(model: Any) -> tuple[str, str | None]:
    """Return the checkpoint that LoRA heads are trained on, and its revision.

    Raises
    ------
    LikraError
        If `model` is a model folder, and what it was exported from is not on the hub.
    """
    if model is None:
        raise LikraError(f"got no model; {ADVICE}")
    folder = model.folder if isinstance(model, LanguageModel) else Path(model)
    if not (folder / MANIFEST).is_file():
        return str(model), None
    origin = read_manifest(folder).base_model
    if "/" not in str(origin["id"]):
        raise LikraError(f"{folder} was exported from {origin['id']}, a local folder; {ADVICE}")
    return str(origin["id"]), origin["revision"]


def scratch_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder given, or a temporary one that goes when Python ends."""
    if given is not None:
        return Path(given)
    scratch = tempfile.mkdtemp(prefix="likra-lite-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Path(scratch)


def _task(
    classifier: LikraClassifier,
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: IntArray,
    recipe: LoraRecipe,
    used: Collection[str],
) -> LoraTask:
    rival = recipe.objective != "likelihood"
    heads = [head for head in FITTED_HEADS if head in used]
    if rival and "negative" in heads:
        raise LikraError(
            f"objective {recipe.objective!r} trains a single head; use mode 'sft', not one with a "
            "negative head"
        )
    drawn = NO_NEGATIVES
    if rival or "negative" in heads:
        scores = None
        if classifier.negatives in ("hardest", "easiest"):
            table = scorer.table(items, ["base"])
            rule = "none" if classifier.normalization == "auto" else classifier.normalization
            scores = table.split(Decision("base", normalization=rule).scores(table))
        drawn = draw_negatives(
            items,
            y,
            classifier.negatives,
            n_negatives=classifier.n_negatives,
            contamination=classifier.contamination,
            seed=classifier.random_state,
            base_scores=scores,
        )
    return LoraTask(items, y, scorer.prompt, heads, drawn, recipe)


@dataclass(frozen=True)
class _Run:
    """One training: where, on which items, and what is scored under its heads."""

    folder: Path
    keep: NDArray[np.bool_]
    held_out: HeldOut | None
    places: IntArray


def _runs(
    classifier: LikraClassifier, task: LoraTask, folder: Path, held_out: HeldOut | None
) -> list[_Run]:
    everything = np.ones(len(task.items), dtype=bool)
    if held_out is not None:
        return [_Run(folder, everything, held_out, np.arange(len(held_out.items)))]
    folds = fold_of_items(task.items, classifier.cv, classifier.random_state)

    def run(fold: int, where: Path) -> _Run:
        out = np.flatnonzero(folds == fold)
        part = HeldOut([task.items[i] for i in out.tolist()], task.y[out])
        return _Run(where, folds != fold, part, out)

    if classifier.cv is None:
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
    classifier: LikraClassifier,
) -> LoraAdapter:
    recipe, folder = task.recipe, run.folder / head
    pairs = task.pairs(head, run.keep)
    total = recipe.epochs * len(pairs)
    with progress_bar(total, f"training {head}", classifier.verbose, "example") as bar:
        if recipe.objective == "dpo":
            preferences: Any = import_extra("likra_lite.train.preferences", "baselines")
            checkpoint, revision = checkpoint_of(classifier.model)
            window = scorer.model.manifest.max_length
            return preferences.train_preferences(
                checkpoint, revision, pairs, recipe, decoder.targets, window, folder, bar.update
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
    decoder: LoraDecoder, scorer: ChoiceScorer, held_out: HeldOut, head: str
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
