"""Deciding on held-out log-likelihoods, and telling how well that will do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .decision import AnyDecision, Decision, LinearDecision, fit_temperature, log_loss
from .lengths import NORMALIZATIONS
from .modes import HEADS, MODES, supported_modes
from .statistics import accuracy, paired_difference
from .table import LogLikelihoods
from .weighing import fit_decision

__all__ = [
    "ALPHAS",
    "CrossFittedDecision",
    "DecisionRule",
    "ModeAccuracy",
    "choose",
    "evaluate_modes",
    "item_losses",
    "mean_loss",
    "worse_than_base",
]

# The paper finds the best alpha at 0.9 to 1.0; smaller ones help where the head is weak.
ALPHAS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1)

FOLDS = 10

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def choose(
    table: LogLikelihoods,
    y: IntArray,
    mode: str,
    alphas: Sequence[float] = ALPHAS,
    normalizations: Sequence[str] = NORMALIZATIONS,
) -> Decision:
    """Choose the alpha and the normalization that explain held-out answers best.

    The criterion is the log-loss of the right choice under a softmax with fitted temperature,
    which varies less between samples than accuracy.

    Parameters
    ----------
    table : LogLikelihoods
        Held-out log-likelihoods.
    y : ndarray of shape (n_items,)
        Index of the right choice.
    mode : str
        A key of :data:`likra_lite.scoring.modes.MODES`.
    alphas : sequence of float
        Tried if the mode has an alpha.
    normalizations : sequence of str

    Returns
    -------
    Decision
        With its temperature.
    """
    best, least = Decision(mode), np.inf
    for tried in _candidates(mode, alphas, normalizations):
        scores = tried.scores(table)
        temperature = fit_temperature(scores, table.offsets, y)
        loss = float(np.mean(log_loss(scores / temperature, table.offsets, y)))
        if loss < least:
            best, least = replace(tried, temperature=temperature), loss
    return best


def _candidates(
    mode: str, alphas: Sequence[float], normalizations: Sequence[str]
) -> Iterator[Decision]:
    for normalization in normalizations:
        for alpha in alphas if MODES[mode].weighted else (1.0,):
            yield Decision(mode, alpha, normalization)


@dataclass(frozen=True)
class CrossFittedDecision(AnyDecision):
    """Decisions made without the items that they decide: for honest estimates on one table.

    Parameters
    ----------
    folds : ndarray of shape (n_items,)
        Fold of every item of the table.
    decisions : sequence of AnyDecision
        For every fold, the decision made on the others.
    """

    folds: IntArray
    decisions: Sequence[AnyDecision]

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that are read."""
        return tuple(dict.fromkeys(head for each in self.decisions for head in each.heads))

    def scores(self, table: LogLikelihoods) -> FloatArray:
        """Return the score of every choice of that table, over the temperature of its fold."""
        scores = np.stack([each.scores(table) / each.temperature for each in self.decisions])
        return scores[np.repeat(self.folds, table.n_choices), np.arange(scores.shape[1])]


@dataclass(frozen=True)
class DecisionRule:
    """How to come to a decision: with every setting a value, or ``"auto"`` for a fitted one.

    Parameters
    ----------
    mode : str, default="auto"
        A key of :data:`likra_lite.scoring.modes.MODES`, or ``auto`` for fitted weights, see
        :func:`likra_lite.scoring.weighing.fit_decision`.
    alpha : float or "auto", default="auto"
        Of a mode that has one.
    normalization : str, default="none"
        Of a mode; ``auto`` for the best. Fitted weights see to lengths themselves.
    heads : sequence of str, default=HEADS
        What fitted weights may read, as far as it is there.
    """

    mode: str = "auto"
    alpha: float | str = "auto"
    normalization: str = "none"
    heads: Sequence[str] = HEADS

    @property
    def read(self) -> frozenset[str]:
        """The heads that are needed."""
        return frozenset(self.heads if self.mode == "auto" else MODES[self.mode].heads)

    def decide(self, table: LogLikelihoods, y: IntArray) -> LinearDecision:
        """Decide on held-out log-likelihoods.

        Parameters
        ----------
        table : LogLikelihoods
        y : ndarray of shape (n_items,)
            Index of the right choice.

        Returns
        -------
        FittedDecision or Decision

        Raises
        ------
        LikraError
            If the table lacks a head that the mode reads; fitted weights do with those there are.
        """
        if self.mode == "auto":
            return fit_decision(table, y, self.heads)
        alphas = ALPHAS if isinstance(self.alpha, str) else (float(self.alpha),)
        every = self.normalization == "auto"
        return choose(
            table, y, self.mode, alphas, NORMALIZATIONS if every else (self.normalization,)
        )

    def cross_fit(self, table: LogLikelihoods, y: IntArray) -> AnyDecision:
        """Decide for each fold of the items on the others.

        What :meth:`decide` does on new items can be told from this, and not from what it does on
        the items that it has seen.

        Parameters
        ----------
        table : LogLikelihoods
        y : ndarray of shape (n_items,)

        Returns
        -------
        CrossFittedDecision
            For this table only; a single item decides for itself.
        """
        n_items = len(table)
        if n_items == 1:
            return self.decide(table, y)
        folds = np.random.default_rng(0).permutation(n_items) % min(FOLDS, n_items)
        kept = [np.flatnonzero(folds != fold) for fold in range(int(folds.max()) + 1)]
        return CrossFittedDecision(folds, [self.decide(table.take(k), y[k]) for k in kept])

    def loss(self, table: LogLikelihoods, y: IntArray) -> float:
        """Return the mean log-loss of the cross-fitted decision, in nats."""
        return mean_loss(self.cross_fit(table, y), table, y)


def item_losses(decision: AnyDecision, table: LogLikelihoods, y: IntArray) -> FloatArray:
    """Return the log-loss of every item's right choice under a decision, in nats."""
    scores = decision.scores(table) / decision.temperature
    return log_loss(scores, table.offsets, y)


def mean_loss(decision: AnyDecision, table: LogLikelihoods, y: IntArray) -> float:
    """Return the mean log-loss of the right choices under a decision, in nats."""
    return float(np.mean(item_losses(decision, table, y)))


def worse_than_base(
    mode: str, decision: AnyDecision, reference: Decision, table: LogLikelihoods, y: IntArray
) -> str | None:
    """Return a sentence if a decision is less accurate than the base model, else None.

    Less by more than the standard error of the paired difference, that is: a smaller one is
    as likely chance.

    Parameters
    ----------
    mode : str
        What the decision is called.
    decision : AnyDecision
    reference : Decision
        The base model's.
    table : LogLikelihoods
        Held-out log-likelihoods.
    y : ndarray of shape (n_items,)
    """
    ours, theirs = (d.predict(table) == y for d in (decision, reference))
    difference, error = paired_difference(ours, theirs)
    if difference >= -error:
        return None
    return (
        f"mode {mode!r} does worse than the base model on held-out items: accuracy "
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
