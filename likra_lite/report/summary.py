"""Means and spreads over draws of what was observed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..experiments import Claims, Observation, Trajectory

__all__ = ["Curves", "Estimate", "findings", "mean_log_likelihood", "summarize"]


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


def _estimate(rows: list[Observation]) -> Estimate:
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


def mean_log_likelihood(
    trajectories: Iterable[Trajectory], head: str, group: str, n_items: int
) -> float:
    """Return the mean over draws of one group's log-likelihood, in nats."""
    return float(
        np.mean(
            [
                row.log_likelihood
                for row in trajectories
                if (row.head, row.group, row.n_items) == (head, group, n_items)
            ]
        )
    )


def findings(claims: Claims) -> list[str]:
    """Say in words what the numbers are, whether or not they support the paper."""
    curve, control = summarize(claims.curve), summarize(claims.control)
    kinds_size = claims.kinds[0].n_items
    base = curve["base"][0].accuracy
    best = max(("base-likra", "likra"), key=lambda mode: curve[mode][kinds_size].accuracy)
    gain = curve[best][kinds_size].accuracy - base
    over_sft = curve[best][kinds_size].accuracy - curve["sft"][kinds_size].accuracy
    hidden = control[best][kinds_size].accuracy - control["base"][0].accuracy
    lines = [
        f"With {kinds_size} wrong answers {best} is {_points(gain)} base and "
        f"{_points(over_sft)} SFT with as many right ones."
    ]
    if gain > 0:
        share = min(1.0, max(0.0, 1 - hidden / gain))
        lines.append(
            f"Fitted and tested with the question hidden, it is {_points(hidden)} base: "
            f"{share:.0%} of the gain needs the question."
        )
    kinds = summarize([row for row in claims.kinds if row.mode == best], by="negatives")
    ranked = sorted(kinds, key=lambda name: -kinds[name][kinds_size].accuracy)
    lines.append(
        "Wrong answers that teach most, in this order: "
        + ", ".join(f"{name} {kinds[name][kinds_size].accuracy:.3f}" for name in ranked)
        + "."
    )
    return lines


def _points(difference: float) -> str:
    side = "above" if difference >= 0 else "below"
    return f"{abs(100 * difference):.1f} points {side}"
