"""What heads of each kind give on the same held-out items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scoring.selection import DecisionRule, mean_loss
from ..scoring.statistics import accuracy
from ..scoring.table import LogLikelihoods

__all__ = ["Trial", "try_heads"]


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
    """

    adapter: str
    loss: float
    accuracy: float
    standard_error: float
    n_items: int


def try_heads(
    adapter: str, rule: DecisionRule, table: LogLikelihoods, y: NDArray[np.int64]
) -> Trial:
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

    Returns
    -------
    Trial
    """
    decision = rule.cross_fit(table, y)
    share, error = accuracy(decision.predict(table) == y)
    return Trial(adapter, mean_loss(decision, table, y), share, error, len(y))
