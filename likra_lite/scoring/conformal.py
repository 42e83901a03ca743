"""Sets of answers that hold the right one, and abstention, with stated rates of error.

Both are calibrated on held-out items and promise something of new items that are exchangeable
with these: drawn from the same source, in no particular order.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..errors import AbstentionWarning, LikraError
from ..validation import check_share
from .calibration import top_probabilities
from .decision import AnyDecision
from .table import LogLikelihoods

__all__ = [
    "ABSTAINED",
    "abstention_threshold",
    "predict_or_abstain",
    "prediction_sets",
    "set_threshold",
]

ABSTAINED = -1
STEP = 0.01  # between the thresholds that are tried

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def set_threshold(
    table: LogLikelihoods, decision: AnyDecision, y: IntArray, coverage: float
) -> float:
    """Return the probability from which a choice belongs to an item's prediction set.

    Split conformal prediction with the least ambiguous sets [1]_: of n held-out items, the
    ``ceil((n + 1) coverage)``-th largest probability of the right choice. The choices of at least
    that probability hold a new, exchangeable item's right one with probability `coverage`, on
    average over held-out and new items, or at most 1 / (n + 1) more if probabilities do not tie
    [2]_. It holds whatever the model knows, and for all items together, not for each kind of item.

    Adaptive sets [3]_ are not offered: with few choices, they hold nearly all of them unless
    every answer takes a random draw, and with it they are seldom smaller than these.

    Parameters
    ----------
    table : LogLikelihoods
        Held-out items; their numbers of choices may differ.
    decision : AnyDecision
    y : ndarray of shape (n_items,)
        Index of the right choice.
    coverage : float
        Between 0 and 1.

    Returns
    -------
    float

    Raises
    ------
    LikraError
        If `coverage` is out of range, or too high for so few items.

    References
    ----------
    .. [1] M. Sadinle, J. Lei and L. Wasserman, "Least ambiguous set-valued classifiers with
       bounded error levels", Journal of the American Statistical Association 114, 2019.
    .. [2] J. Lei et al., "Distribution-free predictive inference for regression", Journal of
       the American Statistical Association 113, 2018, theorem 2.
    .. [3] Y. Romano, M. Sesia and E. Candes, "Classification with valid and adaptive coverage",
       NeurIPS 2020.
    """
    check_share("coverage", coverage, inside=True)
    n_items = len(table)
    needed = _ceil(coverage / (1 - coverage))
    if n_items < needed:
        raise LikraError(
            f"got coverage={coverage:g} but {n_items} held-out items; it needs at least {needed}, "
            f"and these allow at most {n_items / (n_items + 1):.3g}"
        )
    right = decision.probabilities(table)[table.offsets[:-1] + y]
    rank = _ceil((n_items + 1) * coverage)
    return float(np.sort(right)[n_items - rank])


def _ceil(value: float) -> int:
    """Round up, but not for the last digits: 0.7 * 10 is 7."""
    return int(np.ceil(value * (1 - 1e-12)))


def prediction_sets(
    table: LogLikelihoods, decision: AnyDecision, threshold: float
) -> list[IntArray]:
    """Return each item's choices of at least that probability, and the best in any case.

    A set with no choice would be of no use; to keep the best can only raise coverage, which is
    therefore no lower than accuracy.

    Parameters
    ----------
    table : LogLikelihoods
    decision : AnyDecision
    threshold : float
        From :func:`set_threshold`.

    Returns
    -------
    list of ndarray of shape (n_kept,)
        Indices of choices, best first.
    """
    item = np.repeat(np.arange(len(table)), table.n_choices)
    order = np.lexsort((-decision.scores(table), item))  # stable: the first of equals is first
    kept = decision.probabilities(table)[order] >= threshold
    kept[table.offsets[:-1]] = True
    choices = order[kept] - table.offsets[item[kept]]
    sizes = np.add.reduceat(kept.astype(np.int64), table.offsets[:-1])
    return np.split(choices, np.cumsum(sizes)[:-1])


def abstention_threshold(
    table: LogLikelihoods,
    decision: AnyDecision,
    y: IntArray,
    error_rate: float,
    confidence: float = 0.9,
) -> float:
    """Return the top probability from which to answer, so that few answers are wrong.

    With the given confidence in the draw of the held-out items, the share of wrong answers
    among the new items that are answered is at most `error_rate`. Thresholds are tested from
    high to low, each by an exact binomial test of the hypothesis that more are wrong, until the
    first that is not rejected (learn then test, with fixed-sequence testing [1]_). The sequence
    is fixed beforehand, so that the number of tests costs nothing. It starts at
    ``1 - error_rate``: above it, a calibrated model errs less often than allowed.

    Parameters
    ----------
    table : LogLikelihoods
        Held-out items.
    decision : AnyDecision
    y : ndarray of shape (n_items,)
    error_rate : float
        Between 0 and 1.
    confidence : float, default=0.9
        Between 0 and 1.

    Returns
    -------
    float
        Infinite if no threshold can be certified.

    Raises
    ------
    LikraError
        If a share is out of range, or the items are too few to certify anything, even if all
        are answered right.

    Warns
    -----
    AbstentionWarning
        If no threshold can be certified.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, E. J. Candes, M. I. Jordan and L. Lei, "Learn then test:
       calibrating predictive algorithms to achieve risk control", arXiv 2110.01052, 2021.
    """
    from scipy.special import bdtr  # not needed to score

    check_share("error_rate", error_rate, inside=True)
    check_share("confidence", confidence, inside=True)
    needed = _ceil(np.log1p(-confidence) / np.log1p(-error_rate))
    if len(table) < needed:
        raise LikraError(
            f"got error_rate={error_rate:g} but {len(table)} held-out items; to be sure of it with "
            f"confidence {confidence:g} takes at least {needed}"
        )
    top, wrong = top_probabilities(table, decision), decision.predict(table) != y
    tried = np.arange(1 - error_rate, 0, -STEP)
    answered = np.array([np.sum(top >= threshold) for threshold in tried])
    errors = np.array([np.sum(wrong & (top >= threshold)) for threshold in tried])
    certified = bdtr(errors, answered, error_rate) <= 1 - confidence
    n_certified = len(tried) if certified.all() else int(np.argmin(certified))
    if n_certified == 0:
        warnings.warn(
            f"nothing is answered: with confidence {confidence:g}, {len(table)} held-out items "
            f"(accuracy {1 - wrong.mean():.3f}) certify no answers with error_rate={error_rate:g}; "
            "allow more errors, or hold out more items",
            AbstentionWarning,
            stacklevel=3,
        )
        return float("inf")
    return float(tried[n_certified - 1])


def predict_or_abstain(table: LogLikelihoods, decision: AnyDecision, threshold: float) -> IntArray:
    """Return every item's best choice if it is probable enough, else :data:`ABSTAINED`.

    Parameters
    ----------
    table : LogLikelihoods
    decision : AnyDecision
    threshold : float
        From :func:`abstention_threshold`.

    Returns
    -------
    ndarray of shape (n_items,)
    """
    sure = top_probabilities(table, decision) >= threshold
    return np.where(sure, decision.predict(table), ABSTAINED)
