"""Choosing mode, alpha and normalisation on held-out log-likelihoods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .decision import MODES, NORMALIZATIONS, Decision, fit_temperature, log_loss
from .statistics import accuracy, paired_difference
from .table import LogLikelihoods

__all__ = [
    "ALPHAS",
    "ModeAccuracy",
    "choose",
    "evaluate_modes",
    "supported_modes",
    "worse_than_base",
]

# The paper finds the best alpha at 0.9 to 1.0; smaller ones help where the head is weak.
ALPHAS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1)

# Total held-out log-likelihood, in nats, by which a challenger must beat the incumbent: a
# pseudo-Bayes factor (Geisser & Eddy 1979) of 20 to 1, "strong" to Kass & Raftery (1995).
EVIDENCE = 3.0

IntArray = NDArray[np.int64]


def supported_modes(heads: Iterable[str]) -> list[str]:
    """Return the modes whose heads are all there."""
    heads = set(heads)
    return [name for name, mode in MODES.items() if heads.issuperset(mode.heads)]


def _candidates(
    mode: str, alphas: Sequence[float], normalizations: Sequence[str]
) -> Iterable[Decision]:
    for normalization in normalizations:
        for alpha in alphas if MODES[mode].weighted else (1.0,):
            yield Decision(mode, alpha, normalization)


def _with_loss(decision: Decision, table: LogLikelihoods, y: IntArray) -> tuple[Decision, float]:
    """Return the decision with its fitted temperature, and its total log-loss in nats."""
    scores = decision.scores(table)
    temperature = fit_temperature(scores, table.offsets, y)
    loss = float(np.sum(log_loss(scores / temperature, table.offsets, y)))
    return replace(decision, temperature=temperature), loss


def choose(
    table: LogLikelihoods,
    y: IntArray,
    modes: Sequence[str],
    alphas: Sequence[float] = ALPHAS,
    normalizations: Sequence[str] = NORMALIZATIONS,
) -> tuple[Decision, float]:
    """Choose the decision that explains held-out answers best.

    The criterion is the log-loss of the right choice under a softmax with fitted
    temperature, which varies less between samples than accuracy. `modes` stand in order
    of trust: the first is the incumbent, and a later one replaces it only if its total
    advantage exceeds :data:`EVIDENCE`, so that a handful of items does not overturn what
    needs no fitting. A mode that may choose among alphas or normalizations is judged by its
    mean likelihood over them, not by its luckiest: more tries are no advantage.

    Parameters
    ----------
    table : LogLikelihoods
        Held-out log-likelihoods.
    y : ndarray of shape (n_items,)
        Index of the right choice.
    modes : sequence of str
    alphas : sequence of float
        Tried for the modes that have an alpha.
    normalizations : sequence of str

    Returns
    -------
    decision : Decision
        With its temperature.
    loss : float
        Its mean held-out log-loss, in nats.
    """
    in_force: tuple[Decision, float] | None = None
    evidence = -np.inf
    for mode in modes:
        tried = [_with_loss(d, table, y) for d in _candidates(mode, alphas, normalizations)]
        total = float(logsumexp([-loss for _, loss in tried]) - np.log(len(tried)))
        if in_force is None or total - evidence > EVIDENCE:
            in_force, evidence = min(tried, key=lambda pair: pair[1]), total
    assert in_force is not None
    decision, loss = in_force
    return decision, loss / len(table)


def worse_than_base(decision: Decision, table: LogLikelihoods, y: IntArray) -> str | None:
    """Return a sentence if a decision is less accurate than the base model, else None.

    Less by more than the standard error of the paired difference, that is: a smaller one is
    as likely chance.

    Parameters
    ----------
    decision : Decision
    table : LogLikelihoods
        Held-out log-likelihoods.
    y : ndarray of shape (n_items,)
    """
    base = Decision("base", normalization=decision.normalization)
    ours, theirs = (d.predict(table) == y for d in (decision, base))
    difference, error = paired_difference(ours, theirs)
    if difference >= -error or difference >= 0:
        return None
    return (
        f"mode {decision.mode!r} does worse than the base model on held-out items: accuracy "
        f"{ours.mean():.3f} against {theirs.mean():.3f}, difference {difference:.3f} "
        f"+- {error:.3f} on {len(y)} items; fit on more items, or use another mode"
    )


@dataclass(frozen=True)
class ModeAccuracy:
    """Accuracy of one way to decide.

    Attributes
    ----------
    mode, normalization : str
    alpha : float or None
        None for modes without alpha.
    accuracy, standard_error : float
    n_items : int
    """

    mode: str
    normalization: str
    alpha: float | None
    accuracy: float
    standard_error: float
    n_items: int


def evaluate_modes(
    table: LogLikelihoods,
    y: IntArray,
    alpha: float = 1.0,
    normalizations: Sequence[str] = ("none", "chars"),
) -> list[ModeAccuracy]:
    """Return the accuracy of every mode that the table supports.

    Parameters
    ----------
    table : LogLikelihoods
    y : ndarray of shape (n_items,)
    alpha : float, default=1.0
    normalizations : sequence of str

    Returns
    -------
    list of ModeAccuracy
    """
    rows = []
    for mode in supported_modes(table.heads):
        for normalization in normalizations:
            correct = Decision(mode, alpha, normalization).predict(table) == y
            share, error = accuracy(correct)
            weight = alpha if MODES[mode].weighted else None
            rows.append(ModeAccuracy(mode, normalization, weight, share, error, len(table)))
    return rows
