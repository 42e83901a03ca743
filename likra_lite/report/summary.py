"""Means and spreads over draws of what was observed, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..experiments import Claims, Difference, Observation, Trajectory, name_of
from ..experiments.bench import RIGHT

__all__ = ["Curves", "Estimate", "findings", "mean_log_likelihood", "summarize", "total_difference"]


class Estimate(NamedTuple):
    """A mean accuracy, the standard error of testing, and the spread between draws.

    Attributes
    ----------
    accuracy : float
        Mean over draws.
    standard_error : float
        Of one test with these items.
    deviation : float or None
        Standard deviation between draws, None for a single one.
    """

    accuracy: float
    standard_error: float
    deviation: float | None

    def __str__(self) -> str:
        """Return ``0.772 +- 0.013``, with the spread between draws in brackets."""
        spread = "" if self.deviation is None else f" ({self.deviation:.3f})"
        return f"{self.accuracy:.3f} +- {self.standard_error:.3f}{spread}"


Curves = dict[str, dict[int, Estimate]]


def _estimate(rows: Sequence[Observation]) -> Estimate:
    values = [row.accuracy for row in rows]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    error = float(np.sqrt(np.mean([row.standard_error**2 for row in rows])))
    return Estimate(float(np.mean(values)), error, deviation)


def summarize(rows: Iterable[Observation], by: str = "mode") -> Curves:
    """Return, for every mode (or other field) and number of items, the estimate over draws."""
    grouped: dict[str, dict[int, list[Observation]]] = {}
    for row in rows:
        grouped.setdefault(getattr(row, by), {}).setdefault(row.n_items, []).append(row)
    return {
        name: {size: _estimate(found) for size, found in sorted(sizes.items())}
        for name, sizes in grouped.items()
    }


def total_difference(
    rows: Iterable[Difference], mode: str, reference: str, n_items: int
) -> tuple[float, float]:
    """Return the mean over draws of a paired difference, and the standard error of one draw."""
    wanted = (mode, reference, n_items)
    chosen = [row for row in rows if (row.mode, row.reference, row.n_items) == wanted]
    error = float(np.sqrt(np.mean([row.standard_error**2 for row in chosen])))
    return float(np.mean([row.difference for row in chosen])), error


def mean_log_likelihood(
    trajectories: Iterable[Trajectory], head: str, groups: Iterable[str], n_items: int
) -> float:
    """Return the mean over draws and groups of the log-likelihood, in nats."""
    wanted = set(groups)
    values = [
        row.log_likelihood
        for row in trajectories
        if row.group in wanted and (row.head, row.n_items) == (head, n_items)
    ]
    return float(np.mean(values))


def findings(claims: Claims) -> list[str]:
    """Say in words what the numbers are, whether or not they support the paper."""
    return [
        *_first_claim(claims),
        _control(claims),
        _second_claim(claims),
        _third_claim(claims),
    ]


def _points(difference: tuple[float, float]) -> str:
    return f"{100 * difference[0]:+z.1f} +- {100 * difference[1]:.1f} points"


def _first_claim(claims: Claims) -> list[str]:
    size = claims.kinds[0].n_items
    best = name_of(claims.best_free.mode, claims.best_free.normalization)
    references = list(dict.fromkeys(row.reference for row in claims.differences))
    lines = []
    for mode, what in (("base-likra", "wrong"), ("likra", "right and as many wrong")):
        against = [
            f"{_points(total_difference(claims.differences, mode, reference, size))} against "
            + (f"sft with {size} right" if reference == "sft" else reference)
            + (", the best without examples" if reference == best else "")
            for reference in references
        ]
        lines.append(f"{mode} with {size} {what}: {'; '.join(against)}.")
    return lines


def _control(claims: Claims) -> str:
    size = claims.kinds[0].n_items
    hidden = summarize(claims.control)
    base = claims.control_free[0].accuracy
    shares = ", ".join(f"{mode} {hidden[mode][size].accuracy:.3f}" for mode in hidden)
    text = f"With the question hidden: base {base:.3f}, {shares}; a guess {claims.chance:.3f}."
    gain, error = total_difference(claims.differences, "base-likra", "base", size)
    if gain <= 2 * error:
        return text
    style = hidden["base-likra"][size].accuracy - base
    share = min(1.0, max(0.0, 1.0 - style / gain))
    return f"{text} About {share:.0%} of base-likra's gain needs the question."


def _second_claim(claims: Claims) -> str:
    size = claims.kinds[0].n_items
    kinds = summarize([row for row in claims.kinds if row.mode == "base-likra"], by="negatives")
    ranked = sorted(kinds, key=lambda name: -kinds[name][size].accuracy)
    listed = ", ".join(f"{name} {kinds[name][size].accuracy:.3f}" for name in ranked)
    error = max(kinds[name][size].standard_error for name in ranked)
    how = ", each with its own alpha" if claims.kinds_alpha == "auto" else ""
    return (
        f"base-likra by kind of wrong answers{how}: {listed} (standard errors up to {error:.3f})."
    )


def _third_claim(claims: Claims) -> str:
    size = max(row.n_items for row in claims.trajectories)
    wrong = {row.group for row in claims.trajectories} - {RIGHT}

    def change(head: str, groups: Iterable[str]) -> float:
        end = mean_log_likelihood(claims.trajectories, head, groups, size)
        return end - mean_log_likelihood(claims.trajectories, "base", groups, 0)

    return (
        f"In nats against the base model, with {size} in training the positive head moves right "
        f"answers by {change('positive', [RIGHT]):+z.2f} and wrong ones by "
        f"{change('positive', wrong):+z.2f}; the negative head by "
        f"{change('negative', [RIGHT]):+z.2f} and {change('negative', wrong):+z.2f}."
    )
