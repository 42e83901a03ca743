"""Too few items for heads: a decision, with some of the items shown before every question or not.

Five answered questions do more for a model that knows their form than any weights fitted on them,
and harm one that does not. The others tell: weights are fitted on them with examples and without,
and the lower log-loss decides. On 30 draws of 16 and 32 questions of five sets, with a model of 135
million parameters, the better way was missed three times, by 1.3 points of accuracy at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..questions.examples import draw_examples
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .fit_none import score_without_heads
from .settings import FitSettings
from .training_set import FittedHeads
from .trials import NO_HEADS, kept_trial, try_heads

__all__ = ["fit_to_few"]

SHOWN = 5  # of SmolLM2-135M's sets of questions, 25 did no better
LEAST = 2 * SHOWN  # items that may be parted


def fit_to_few(
    scorer: ChoiceScorer, items: Sequence[Item], y: NDArray[np.int64], settings: FitSettings
) -> FittedHeads:
    """Score items with the model as it is, behind some of them if that is better.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    settings : FitSettings
        Examples are tried if it says so, unless the prompt has some, or they do not fit in the
        model's window.

    Returns
    -------
    FittedHeads
        With both trials, if two were made.
    """
    without = score_without_heads(scorer, items, y, None, settings)
    if not settings.try_examples or scorer.prompt.has_examples or len(items) < LEAST:
        return without
    examples, others = draw_examples(items, y, SHOWN, settings.seed)
    behind = replace(scorer, prompt=scorer.prompt.with_examples(examples))
    used = [items[place] for place in others.tolist()]
    if behind.model.encoder.trees(behind.pairs(used))[1]:
        return without
    shown = score_without_heads(behind, used, y[others], None, settings)
    plain, losses = try_heads(NO_HEADS, settings.rule, without.table.take(others), y[others])
    tried, _ = try_heads(NO_HEADS, settings.rule, shown.table, shown.y, losses)
    trials = (plain, replace(tried, n_examples=SHOWN))
    best = shown if kept_trial(trials).n_examples else without
    return replace(best, trials=trials, n_examples=SHOWN if best is shown else 0)
