"""What heads of each kind give on the same held-out items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scoring.selection import DecisionRule, item_losses
from ..scoring.statistics import accuracy
from ..scoring.table import LogLikelihoods

__all__ = ["NO_HEADS", "Trial", "kept_adapter", "try_heads"]

NO_HEADS = "none"
# Standard errors by which the model without heads must be ahead to stay without. The weights of
# heads are such that they can leave them aside, and a dozen held-out items tell little: with the
# least loss alone, 64 questions of SciQ kept no heads in two draws of two, at a cost of 10 points.
CLEARLY = 2.0


@dataclass(frozen=True)
class Trial:
    """The held-out result of heads of one kind, with the decision cross-fitted.

    Attributes
    ----------
    adapter : str
        The kind: ``"none"``, ``"output"`` or ``"lora"``.
    loss : float
        Mean log-loss of the right choice, in nats.
    accuracy, standard_error : float
    n_items : int
    gain, gain_error : float or None
        By how much the loss is less than without heads, with the standard error of the paired
        difference; None where that was not tried.
    """

    adapter: str
    loss: float
    accuracy: float
    standard_error: float
    n_items: int
    gain: float | None = None
    gain_error: float | None = None


def try_heads(
    rules: Sequence[tuple[str, DecisionRule]], table: LogLikelihoods, y: NDArray[np.int64]
) -> list[Trial]:
    """Measure heads on items that they have not seen.

    Parameters
    ----------
    rules : sequence of (str, DecisionRule)
        For each kind, ``"none"`` first if it is tried, how the decision is come to; for every
        item without that item.
    table : LogLikelihoods
    y : ndarray of shape (n_items,)
        Index of the right choice.

    Returns
    -------
    list of Trial
    """
    trials: list[Trial] = []
    without = None
    for adapter, rule in rules:
        decision = rule.cross_fit(table, y)
        losses = item_losses(decision, table, y)
        gain = gain_error = None
        if adapter == NO_HEADS:
            without = losses
        elif without is not None:
            gain = float(np.mean(without - losses))
            gain_error = float(np.std(without - losses) / np.sqrt(len(y)))
        share, error = accuracy(decision.predict(table) == y)
        loss = float(np.mean(losses))
        trials.append(Trial(adapter, loss, share, error, len(y), gain, gain_error))
    return trials


def kept_adapter(trials: Iterable[Trial]) -> str:
    """Return the kind that stays: the heads of least loss, unless none are clearly better.

    Parameters
    ----------
    trials : iterable of Trial
        With heads of one kind at least.

    Returns
    -------
    str
    """
    best = min((t for t in trials if t.adapter != NO_HEADS), key=lambda trial: trial.loss)
    if best.gain is None or best.gain_error is None:
        return best.adapter
    return NO_HEADS if best.gain < -CLEARLY * best.gain_error else best.adapter
