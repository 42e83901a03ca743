"""No heads at all: every item under the base model, for a decision fitted on that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..progress import progress_bar
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .settings import FitSettings
from .training_set import NO_NEGATIVES, FittedHeads, HeldOutItems

__all__ = ["score_without_heads"]


def score_without_heads(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: NDArray[np.int64],
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Score items with the model as it is.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        More items: as no head is fitted, none has been seen.
    settings : FitSettings

    Returns
    -------
    FittedHeads
        With the table of all items.
    """
    every, right = list(items), y
    if held_out is not None:
        every, right = [*items, *held_out.items], np.concatenate([y, held_out.y])
    with progress_bar(len(every), "scoring", settings.verbose) as bar:
        table = scorer.table(every, settings.free_heads, bar.update)
    return FittedHeads(scorer, NO_NEGATIVES, table, right, len(items))
