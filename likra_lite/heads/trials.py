"""What heads of each kind give on the same held-out items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scoring.selection import DecisionRule, item_losses
from ..scoring.statistics import accuracy, mean_and_error
from ..scoring.table import LogLikelihoods

__all__ = ["NO_HEADS", "Trial", "kept_trial", "try_heads"]

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
    n_examples : int
        Items that were shown before every question.
    """

    adapter: str
    loss: float
    accuracy: float
    standard_error: float
    n_items: int
    gain: float | None = None
    gain_error: float | None = None
    n_examples: int = 0

    @property
    def name(self) -> str:
        """What was tried, in words."""
        return f"{self.adapter}, {self.n_examples} shown" if self.n_examples else self.adapter


def try_heads(
    adapter: str,
    rule: DecisionRule,
    table: LogLikelihoods,
    y: NDArray[np.int64],
    without: NDArray[np.float64] | None = None,
) -> tuple[Trial, NDArray[np.float64]]:
    """Measure heads of one kind on items that they have not seen.

    Parameters
    ----------
    adapter : str
        The kind.
    rule : DecisionRule
        How the decision is come to; for every item without that item.
    table : LogLikelihoods
    y : ndarray of shape (n_items,)
        Index of the right choice.
    without : ndarray of shape (n_items,), optional
        The losses without heads.

    Returns
    -------
    trial : Trial
    losses : ndarray of shape (n_items,)
        Log-losses of the right choices, in nats.
    """
    decision = rule.cross_fit(table, y)
    losses = item_losses(decision, table, y)
    gain, gain_error = (None, None) if without is None else mean_and_error(without - losses)
    share, error = accuracy(decision.predict(table) == y)
    loss = float(np.mean(losses))
    return Trial(adapter, loss, share, error, len(y), gain, gain_error), losses


def kept_trial(trials: Sequence[Trial]) -> Trial:
    """Return what stays: the heads of least loss, unless none are clearly better.

    Parameters
    ----------
    trials : sequence of Trial
        Of heads, or all of none: then the least loss stays.

    Returns
    -------
    Trial
    """
    with_heads = [trial for trial in trials if trial.adapter != NO_HEADS]
    best = min(with_heads or trials, key=lambda trial: trial.loss)
    if not with_heads or best.gain is None or best.gain_error is None:
        return best
    if best.gain >= -CLEARLY * best.gain_error:
        return best
    return next(trial for trial in trials if trial.adapter == NO_HEADS)
