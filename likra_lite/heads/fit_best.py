"""Heads of every kind that is worth its cost, and of these the kind that held-out items favour.

Output matrices suit a small vocabulary and questions that share structure, LoRA suits real models,
and with few items neither may beat a decision fitted on the model as it is. Held-out items tell;
where they do not tell clearly, heads stay. Which kinds are tried at all depends on their cost in
floating-point operations, so that it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..engine.manifest import WEIGHTS, Manifest
from ..progress import announce
from ..questions.item import Item
from ..scoring.modes import FREE_HEADS
from ..scoring.scorer import ChoiceScorer
from .fit_few import fit_to_few
from .fit_graph import fit_lora_heads, why_not_covered
from .fit_none import score_without_heads
from .fit_output import fit_output_heads
from .lora_runs import held_out_places
from .recipe import LoraRecipe
from .settings import FitSettings
from .training_set import FittedHeads, HeldOutItems
from .trials import NO_HEADS, Trial, kept_trial, try_heads

__all__ = ["fit_best_heads"]

# Some 100 Gflop a second is what two cores of a laptop do: about 20 seconds, and 17 minutes.
CHEAP, AFFORDABLE = 2e12, 1e14
FEWEST = 40  # items: a fifth of them is held out, to tell which heads are best
FLOAT_BYTES = 4
ITERATIONS = 15  # of the solver of output matrices, about
FITS = 6  # of each output matrix: five folds and the whole

IntArray = NDArray[np.int64]


def fit_best_heads(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: IntArray,
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Fit heads of every kind that is worth its cost, and keep the best kind.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        Validation items; as for each kind of heads if None.
    settings : FitSettings

    Returns
    -------
    FittedHeads
        Of the kind that held-out items favour, see
        :func:`likra_lite.heads.trials.kept_trial`, with the trials of all.
    """
    few = held_out is None and len(items) < FEWEST and settings.rule.mode == "auto"
    if few:
        announce(f"no heads are tried: that takes {FEWEST} items", settings.verbose)
        return fit_to_few(scorer, items, y, settings)
    if not settings.fitted_heads:
        return score_without_heads(scorer, items, y, held_out, settings)
    found: dict[str, FittedHeads] = {}
    costs = _costs(scorer, items, y, settings)
    missing = why_not_covered(scorer.model, LoraRecipe(seed=settings.seed))
    if missing is None and costs["lora"] > AFFORDABLE:
        missing = "training them would take long; adapter='lora' does it nevertheless"
    if missing is None:
        found["lora"] = fit_lora_heads(scorer, items, y, held_out, settings)
    else:
        announce(f"no LoRA heads are tried: {missing}", settings.verbose)
    # A mode that reads heads needs some, whatever they cost.
    if costs["output"] <= CHEAP or not (found or settings.rule.mode == "auto"):
        found["output"] = fit_output_heads(scorer, items, y, held_out, settings)
    trials = _trials(found, items, held_out, settings)
    best = kept_trial(trials).adapter if trials else NO_HEADS
    if best in found:
        return replace(found[best], trials=trials)
    return replace(score_without_heads(scorer, items, y, held_out, settings), trials=trials)


def _costs(
    scorer: ChoiceScorer, items: Sequence[Item], y: IntArray, settings: FitSettings
) -> dict[str, float]:
    """Return the floating-point operations that heads of each kind take, about."""
    manifest, prompt = scorer.model.manifest, scorer.prompt
    scorer.check(items)
    right = [
        (prompt.context(item, choice), [prompt.continuations(item.choices)[choice]])
        for item, choice in zip(items, y.tolist(), strict=True)
    ]
    trees, _ = scorer.model.encoder.trees(right)
    answers = {"positive": 1, "negative": settings.n_negatives}
    times = sum(answers[head] for head in settings.fitted_heads)
    vocabulary = manifest.hidden_size * manifest.vocab_size
    inside = _inside(manifest, vocabulary)
    # A product forward and one backward, two operations a weight each.
    per_pass = {
        "lora": 4 * inside * sum(map(len, trees)) * (1 + (settings.cv or 0)),
        "output": 4 * vocabulary * sum(len(tree.targets) for tree in trees) * ITERATIONS * FITS,
    }
    return {adapter: times * costs for adapter, costs in per_pass.items()}


def _inside(manifest: Manifest, vocabulary: int) -> float:
    """Return how many weights every token is multiplied with, from the size of their file."""
    size = manifest.files[WEIGHTS]["bytes"]
    if manifest.precision == "float32":
        return size / FLOAT_BYTES - vocabulary
    return size - (FLOAT_BYTES + 1) * vocabulary  # the embedding is there in float32, too


def _trials(
    found: Mapping[str, FittedHeads],
    items: Sequence[Item],
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> tuple[Trial, ...]:
    """Measure every kind of heads on the same items, and the model without any."""
    trials: list[Trial] = []
    without = None
    for adapter, fitted in found.items():
        table, right = fitted.table, fitted.y
        if adapter == "output" and "lora" in found and held_out is None and settings.cv is None:
            # Output matrices are cross-fitted on all items, LoRA holds some of them out.
            places = held_out_places(items, settings.seed)
            table, right = table.take(places), right[places]
        if not trials and settings.rule.mode == "auto":
            free = replace(settings.rule, heads=FREE_HEADS)
            trial, without = try_heads(NO_HEADS, free, table, right)
            trials.append(trial)
        trials.append(try_heads(adapter, settings.rule, table, right, without)[0])
    return tuple(trials)
