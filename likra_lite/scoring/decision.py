"""From log-likelihoods to decisions: the ratio, normalisation, probabilities. Pure NumPy.

The score of a choice is ``log p+(a | q) - alpha * log p-(a | q)`` (Hamdan & Yuret 2025,
arXiv 2503.14391), or one of its relatives in :data:`MODES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .table import LogLikelihoods

__all__ = [
    "MODES",
    "NORMALIZATIONS",
    "Decision",
    "Mode",
    "fit_temperature",
    "log_loss",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Mode(NamedTuple):
    """Which head speaks for a choice, which against it, and whether alpha weighs it."""

    plus: str
    minus: str | None = None
    weighted: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the mode reads."""
        return (self.plus,) if self.minus is None else (self.plus, self.minus)


MODES = {
    "base": Mode("base"),
    "pmi": Mode("base", "neutral"),
    "sft": Mode("positive"),
    "likra": Mode("positive", "negative", weighted=True),
    "base-likra": Mode("base", "negative", weighted=True),
    "pos-base": Mode("positive", "base"),
}

NORMALIZATIONS = ("none", "chars", "bytes", "tokens")


@dataclass(frozen=True)
class Decision:
    """How log-likelihoods become scores, predictions and probabilities.

    Parameters
    ----------
    mode : str
        A key of :data:`MODES`.
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

    def scores(self, table: LogLikelihoods) -> FloatArray:
        """Return the score of every choice, of shape (n_choices,), in nats (per unit of length)."""
        plus, minus, weighted = MODES[self.mode]
        scores = table.head(plus)
        if minus is not None:
            scores = scores - (self.alpha if weighted else 1.0) * table.head(minus)
        if self.normalization != "none":
            scores = scores / getattr(table, f"n_{self.normalization}")
        return scores

    def predict(self, table: LogLikelihoods) -> IntArray:
        """Return the index of the best choice of every item; the first of equals."""
        scores = self.scores(table)
        starts, counts = table.offsets[:-1], table.n_choices
        best = np.repeat(np.maximum.reduceat(scores, starts), counts)
        within = np.arange(len(scores)) - np.repeat(starts, counts)
        return np.minimum.reduceat(np.where(scores == best, within, len(scores)), starts)

    def probabilities(self, table: LogLikelihoods) -> FloatArray:
        """Return the softmax over each item's choices, of shape (n_choices,)."""
        return np.exp(_log_softmax(self.scores(table) / self.temperature, table.offsets))


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
