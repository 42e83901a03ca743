"""How far one model's scores are from another's, on the same items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from .decision import Decision
from .table import LogLikelihoods

__all__ = ["Agreement", "compare_scores"]


@dataclass(frozen=True)
class Agreement:
    """Another model's scores, such as rounded ones, against those of a reference.

    Attributes
    ----------
    n_items : int
    flips : int
        Items whose best choice is another.
    mean_difference, largest_difference : float
        Of log-likelihoods, absolute, in nats.
    margin_shift, margin_spread : float
        Mean and standard deviation of what is added to the reference's margin, its best
        choice's score minus that of the runner-up, in nats.
    divergence : float
        Mean Kullback-Leibler divergence of the choices' probabilities from the reference's, in
        nats.
    """

    n_items: int
    flips: int
    mean_difference: float
    largest_difference: float
    margin_shift: float
    margin_spread: float
    divergence: float

    def __str__(self) -> str:
        share = self.flips / self.n_items
        return (
            f"{self.flips} of {self.n_items} answers differ ({share:.1%}); log-likelihoods by "
            f"{self.mean_difference:.3g} nats on average, {self.largest_difference:.3g} at most; "
            f"margins shift by {self.margin_shift:+.3g} +- {self.margin_spread:.3g} nats; "
            f"KL divergence {self.divergence:.3g} nats"
        )


def compare_scores(reference: LogLikelihoods, other: LogLikelihoods) -> Agreement:
    """Compare the base log-likelihoods of two models.

    Parameters
    ----------
    reference, other : LogLikelihoods
        Of the same items.

    Returns
    -------
    Agreement

    Raises
    ------
    LikraError
        If the tables are not of the same items.
    """
    if not np.array_equal(reference.offsets, other.offsets):
        raise LikraError("the two tables are not of the same items; score the same items twice")
    base = Decision("base")
    expected, found = base.scores(reference), base.scores(other)
    differences = np.abs(found - expected)
    shifts = _margins(reference, expected, found) - _margins(reference, expected, expected)
    p, q = base.probabilities(reference), base.probabilities(other)
    tiny = np.finfo(float).tiny
    divergences = p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))
    return Agreement(
        n_items=len(reference),
        flips=int(np.sum(base.predict(reference) != base.predict(other))),
        mean_difference=float(differences.mean()),
        largest_difference=float(differences.max()),
        margin_shift=float(shifts.mean()),
        margin_spread=float(shifts.std()),
        divergence=float(divergences.sum() / len(reference)),
    )


def _margins(
    table: LogLikelihoods, ranking: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the score of the first of a ranking minus that of the second, per item."""
    margins = []
    for ranks, values in zip(table.split(ranking), table.split(scores), strict=True):
        first, second = np.argsort(-ranks, kind="stable")[:2]
        margins.append(values[first] - values[second])
    return np.array(margins)
