"""From log-likelihoods to scores, predictions and probabilities. Pure NumPy.

The score of a choice is a weighted sum of its log-likelihoods under the heads, plus what its
length adds. :class:`Decision` is a fixed ratio, such as ``log p+(a | q) - alpha * log p-(a | q)``
(Hamdan & Yuret 2025, arXiv 2503.14391); :class:`likra_lite.scoring.fitted.FittedDecision` has
weights that were fitted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from .modes import MODES
from .table import LogLikelihoods

__all__ = [
    "AnyDecision",
    "Coefficients",
    "Decision",
    "LinearDecision",
    "fit_temperature",
    "log_loss",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Coefficients(NamedTuple):
    """What a score is made of.

    Attributes
    ----------
    heads : dict of str to ndarray of shape (n_choices,)
        Weight of each head's log-likelihood: a score per nat.
    length : ndarray of shape (n_choices,)
        What the length adds to the score.
    """

    heads: Mapping[str, FloatArray]
    length: FloatArray


class AnyDecision(ABC):
    """How log-likelihoods become scores, predictions and probabilities."""

    temperature: float = 1.0

    @property
    @abstractmethod
    def heads(self) -> tuple[str, ...]:
        """The heads that are read."""

    @abstractmethod
    def scores(self, table: LogLikelihoods) -> FloatArray:
        """Return the score of every choice, of shape (n_choices,)."""

    def predict(self, table: LogLikelihoods) -> IntArray:
        """Return the index of the best choice of every item; the first of equals."""
        scores = self.scores(table)
        starts, counts = table.offsets[:-1], table.n_choices
        best = np.repeat(np.maximum.reduceat(scores, starts), counts)
        within = np.arange(len(scores)) - np.repeat(starts, counts)
        return np.minimum.reduceat(np.where(scores == best, within, len(scores)), starts)

    def probabilities(self, table: LogLikelihoods) -> FloatArray:
        """Return the softmax of scores over temperature, item by item, of shape (n_choices,)."""
        return np.exp(_log_softmax(self.scores(table) / self.temperature, table.offsets))


class LinearDecision(AnyDecision):
    """A decision whose score is a weighted sum of log-likelihoods, plus what a length adds."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A mode, or ``auto`` for fitted weights."""

    @property
    def reference(self) -> Decision:
        """The base model's own decision, which this one should not do worse than."""
        return Decision("base")

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the parameters as plain data."""

    @abstractmethod
    def coefficients(self, lengths: Mapping[str, IntArray]) -> Coefficients:
        """Return the weights of choices of some lengths.

        Parameters
        ----------
        lengths : dict of str to ndarray of shape (n_choices,)
            See :data:`likra_lite.scoring.lengths.LENGTHS`.
        """

    def scores(self, table: LogLikelihoods) -> FloatArray:
        """Return the score of every choice, of shape (n_choices,)."""
        weights, scores = self.coefficients(table.lengths)
        for head, weight in weights.items():
            scores = scores + weight * table.head(head)
        if not np.isfinite(scores).all():
            raise LikraError(
                f"a score is {scores[~np.isfinite(scores)][0]} by {self}: the log-likelihoods or "
                "the weights hold numbers that are none"
            )
        return scores


@dataclass(frozen=True)
class Decision(LinearDecision):
    """A fixed ratio of likelihoods.

    Parameters
    ----------
    mode : str
        A key of :data:`likra_lite.scoring.modes.MODES`.
    alpha : float, default=1.0
        Weight of the negative head, for the modes that have one.
    normalization : {"none", "chars", "bytes", "tokens"}, default="none"
        Length that a choice's score is divided by.
    temperature : float, default=1.0
        Scores are divided by it before the softmax.
    """

    mode: str
    alpha: float = 1.0
    normalization: str = "none"
    temperature: float = 1.0

    def __str__(self) -> str:
        """Return, for example, ``mode likra, alpha 0.9, normalization none``."""
        alpha = f", alpha {self.alpha:g}" if MODES[self.mode].weighted else ""
        return f"mode {self.mode}{alpha}, normalization {self.normalization}"

    @property
    def name(self) -> str:
        """The mode."""
        return self.mode

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        return asdict(self)

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the mode reads."""
        return MODES[self.mode].heads

    @property
    def reference(self) -> Decision:
        """The base model's decision by the same normalization."""
        return Decision("base", normalization=self.normalization)

    def coefficients(self, lengths: Mapping[str, IntArray]) -> Coefficients:
        """Return 1 and minus alpha, each divided by the length."""
        plus, minus, weighted = MODES[self.mode]
        ones = np.ones(len(lengths["chars"]))
        weights = {
            plus: ones if self.normalization == "none" else ones / lengths[self.normalization]
        }
        if minus is not None:
            weights[minus] = -(self.alpha if weighted else 1.0) * weights[plus]
        return Coefficients(weights, np.zeros(len(ones)))


def _log_softmax(scores: FloatArray, offsets: IntArray) -> FloatArray:
    starts, counts = offsets[:-1], np.diff(offsets)
    shifted = scores - np.repeat(np.maximum.reduceat(scores, starts), counts)
    total = np.log(np.add.reduceat(np.exp(shifted), starts))
    return shifted - np.repeat(total, counts)


def log_loss(scores: FloatArray, offsets: IntArray, y: IntArray) -> FloatArray:
    """Return -log p(right choice) of every item under a softmax of its scores, in nats.

    Parameters
    ----------
    scores : ndarray of shape (n_choices,)
    offsets : ndarray of shape (n_items + 1,)
    y : ndarray of shape (n_items,)
        Index of the right choice.

    Returns
    -------
    ndarray of shape (n_items,)
    """
    return -_log_softmax(scores, offsets)[offsets[:-1] + y]


def fit_temperature(scores: FloatArray, offsets: IntArray, y: IntArray) -> float:
    """Return the temperature that makes held-out answers most likely (Guo et al. 2017).

    Parameters
    ----------
    scores : ndarray of shape (n_choices,)
        Held-out scores.
    offsets : ndarray of shape (n_items + 1,)
    y : ndarray of shape (n_items,)

    Returns
    -------
    float
        Between 1e-3 and 1e4 times the scores' own spread.
    """
    from scipy.optimize import minimize_scalar  # slow to import, and not needed to score

    spread = float(np.std(scores)) or 1.0
    result = minimize_scalar(
        lambda t: float(np.mean(log_loss(scores / (spread * np.exp(t)), offsets, y))),
        bounds=(np.log(1e-3), np.log(1e4)),
        method="bounded",
    )
    return spread * float(np.exp(result.x))
