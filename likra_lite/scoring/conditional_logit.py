"""The conditional logit: the right choice of an item as a softmax of weighted features.

McFadden's model of choice [1]_, fitted with a normal prior on the weights, so that the
posterior is strictly concave and Newton's method finds its only mode.

References
----------
.. [1] D. McFadden, "Conditional logit analysis of qualitative choice behavior", in Frontiers in
   Econometrics, 1974.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError

__all__ = ["ConditionalLogit", "Posterior"]

MAX_STEPS = 100
SMALLEST = 1e-10  # share of a Newton step, below which it leads nowhere
# Share of the log-posterior that another Newton step could still gain: well above rounding, and
# as that step is taken, the weights are far more exact.
TOLERANCE = 1e-9
SUFFICIENT = 1e-4  # share of the gain that a step promises, to be taken (Armijo 1966)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Posterior(NamedTuple):
    """What items tell of the weights, in Laplace's approximation.

    Attributes
    ----------
    weights : ndarray of shape (n_features,)
        The mode.
    curvature : ndarray of shape (n_features, n_features)
        Negative Hessian of the log-posterior at the mode: the inverse of the covariance.
    log_evidence : float
        Log-probability of the right choices, integrated over the prior, in nats.
    """

    weights: FloatArray
    curvature: FloatArray
    log_evidence: float


class _State(NamedTuple):
    log_posterior: float
    gradient: FloatArray
    curvature: FloatArray


class ConditionalLogit:
    """Log-likelihood of the right choices as a function of the weights, and its derivatives.

    Parameters
    ----------
    features : ndarray of shape (n_choices, n_features)
        Of every choice of every item. What an item's choices have in common does not matter.
    offsets : ndarray of shape (n_items + 1,)
        Item i has the choices ``offsets[i]`` to ``offsets[i + 1] - 1``.
    y : ndarray of shape (n_items,)
        Index of the right choice.
    """

    def __init__(self, features: FloatArray, offsets: IntArray, y: IntArray) -> None:
        self.features = features
        self.starts = offsets[:-1]
        self.counts = np.diff(offsets)
        self.right = self.starts + y

    def probabilities(self, weights: FloatArray) -> tuple[FloatArray, float]:
        """Return the probability of every choice, and the log-likelihood of the right ones."""
        scores = self.features @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, self.starts), self.counts)
        shares = np.exp(scores)
        totals = np.add.reduceat(shares, self.starts)
        log_likelihood = float(scores[self.right].sum() - np.log(totals).sum())
        return shares / np.repeat(totals, self.counts), log_likelihood

    def derivatives(self, weights: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the log-likelihood, its gradient and its negative Hessian, all exact.

        Parameters
        ----------
        weights : ndarray of shape (n_features,)

        Returns
        -------
        log_likelihood : float
        gradient : ndarray of shape (n_features,)
        information : ndarray of shape (n_features, n_features)
            The covariance of the features under the probabilities, summed over the items.
        """
        shares, log_likelihood = self.probabilities(weights)
        weighted = shares[:, None] * self.features
        means = np.add.reduceat(weighted, self.starts)
        gradient = self.features[self.right].sum(axis=0) - means.sum(axis=0)
        information = self.features.T @ weighted - means.T @ means
        return log_likelihood, gradient, information

    def posterior(
        self, mean: FloatArray, precision: FloatArray, start: FloatArray | None = None
    ) -> Posterior:
        """Fit the weights under a normal prior by Newton's method with backtracking.

        Parameters
        ----------
        mean : ndarray of shape (n_features,)
            Of the prior.
        precision : ndarray of shape (n_features, n_features)
            Inverse covariance of the prior, positive definite.
        start : ndarray of shape (n_features,), optional
            Where to begin, the prior's mean by default. It changes nothing but the time.

        Returns
        -------
        Posterior

        Raises
        ------
        LikraError
            If Newton's method does not converge, which rounding alone can cause.
        """

        def at(weights: FloatArray) -> _State:
            log_likelihood, gradient, information = self.derivatives(weights)
            pull = precision @ (weights - mean)
            penalty = 0.5 * float((weights - mean) @ pull)
            return _State(log_likelihood - penalty, gradient - pull, information + precision)

        weights = mean if start is None else start
        state = at(weights)
        for _ in range(MAX_STEPS):
            step = np.linalg.solve(state.curvature, state.gradient)
            gain = float(state.gradient @ step)  # twice what a quadratic would gain
            if gain < TOLERANCE * max(1.0, -state.log_posterior):
                logs = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(state.curvature)[1]
                evidence = state.log_posterior + 0.5 * float(logs)
                return Posterior(weights + step, state.curvature, evidence)
            size = 1.0
            moved = at(weights + step)
            while moved.log_posterior < state.log_posterior + SUFFICIENT * size * gain and size:
                size = size / 2 if size > SMALLEST else 0.0
                moved = at(weights + size * step)
            if not size:
                break
            weights, state = weights + size * step, moved
        raise LikraError(
            "the weights of the decision did not converge: Newton's method stopped where "
            f"{gain:.2g} nats are still to be gained"
        )
