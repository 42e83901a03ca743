"""Whether probabilities mean what they say, and how often the surest answers are wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..validation import check_integer
from .decision import AnyDecision
from .table import LogLikelihoods

__all__ = ["Reliability", "RiskCoverage", "reliability", "risk_coverage", "top_probabilities"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def top_probabilities(table: LogLikelihoods, decision: AnyDecision) -> FloatArray:
    """Return the probability of every item's best choice, of shape (n_items,)."""
    return np.maximum.reduceat(decision.probabilities(table), table.offsets[:-1])


class RiskCoverage(NamedTuple):
    """How often answers are wrong if only the surest are given.

    Attributes
    ----------
    threshold : ndarray of shape (n_thresholds,)
        Every top probability that occurs, from high to low.
    coverage : ndarray of shape (n_thresholds,)
        Share of the items with at least that top probability.
    error_rate : ndarray of shape (n_thresholds,)
        Share of wrong answers among them.
    """

    threshold: FloatArray
    coverage: FloatArray
    error_rate: FloatArray


def risk_coverage(table: LogLikelihoods, decision: AnyDecision, y: IntArray) -> RiskCoverage:
    """Return the risk-coverage curve of El-Yaniv and Wiener (2010).

    Parameters
    ----------
    table : LogLikelihoods
    decision : AnyDecision
    y : ndarray of shape (n_items,)

    Returns
    -------
    RiskCoverage
    """
    top, wrong = top_probabilities(table, decision), decision.predict(table) != y
    order = np.argsort(-top, kind="stable")
    ranked = top[order]
    # Items of the same probability are answered together or not at all.
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    answered = last + 1
    errors = np.cumsum(wrong[order])[last]
    return RiskCoverage(ranked[last], answered / len(table), errors / answered)


class Reliability(NamedTuple):
    """Whether probabilities mean what they say.

    Attributes
    ----------
    confidence : ndarray of shape (n_bins,)
        Mean top probability of each bin that has items.
    accuracy : ndarray of shape (n_bins,)
        Share of right predictions in it.
    n_items : ndarray of shape (n_bins,)
        Its items.
    expected_error : float
        Mean distance of accuracy and confidence over the items: the expected calibration error.
    """

    confidence: FloatArray
    accuracy: FloatArray
    n_items: IntArray
    expected_error: float


def reliability(
    table: LogLikelihoods, decision: AnyDecision, y: IntArray, bins: int = 10
) -> Reliability:
    """Compare top probabilities with accuracy, in bins of equal width (Guo et al. 2017).

    Parameters
    ----------
    table : LogLikelihoods
        Other items than the temperature was fitted on.
    decision : AnyDecision
    y : ndarray of shape (n_items,)
    bins : int, default=10
        Between 0 and 1; empty ones are left out.

    Returns
    -------
    Reliability

    Raises
    ------
    LikraError
        If `bins` is not a positive integer.
    """
    check_integer("bins", bins, 1)
    top, right = top_probabilities(table, decision), decision.predict(table) == y
    place = np.minimum((top * bins).astype(np.int64), bins - 1)
    filled, place, n_items = np.unique(place, return_inverse=True, return_counts=True)
    confidence = np.bincount(place, top, len(filled)) / n_items
    accuracy = np.bincount(place, right, len(filled)) / n_items
    error = float(np.sum(n_items * np.abs(accuracy - confidence)) / len(table))
    return Reliability(confidence, accuracy, n_items, error)
