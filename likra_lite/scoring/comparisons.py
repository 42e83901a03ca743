"""Comparisons of modes on the same items, with their uncertainty, as numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..validation import check_share
from .statistics import (
    LEVEL,
    bootstrap_interval,
    detectable_difference,
    holm,
    item_sums,
    mcnemar_test,
    paired_difference,
)

__all__ = ["Comparison", "compare_modes", "findings", "remaining_share_sentence", "sentence"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """How much more accurate a mode is than a reference on the same items.

    Attributes
    ----------
    mode, reference : str
    n_items : int
    n_seeds : int
        Fits whose mean was compared.
    difference, standard_error : float
        Of the accuracies, paired by item.
    low, high : float
        Bootstrap interval of the difference, see :func:`bootstrap_interval`.
    p_value : float
        See :func:`mcnemar_test`.
    p_adjusted : float
        For the number of comparisons that were made together, see :func:`holm`.
    detectable : float
        Difference that would have been found with a power of 80 %, whatever the other
        comparisons gave; see :func:`detectable_difference`.
    """

    mode: str
    reference: str
    n_items: int
    n_seeds: int
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    detectable: float


def compare_modes(
    correct: Mapping[str, BoolArray],
    references: Sequence[str],
    confidence: float = 0.95,
    modes: Sequence[str] | None = None,
) -> list[Comparison]:
    """Compare modes with every reference on the same items.

    Parameters
    ----------
    correct : mapping of str to ndarray of shape (n_items,) or (n_seeds, n_items)
        Whether each prediction was right, by mode.
    references : sequence of str
        Among the modes. A reference is compared with those named before it.
    confidence : float, default=0.95
        Of the intervals; p-values count as evidence below ``1 - confidence``.
    modes : sequence of str, optional
        What is compared with the references; all of them by default.

    Returns
    -------
    list of Comparison
        By reference, then in the order of the modes. Holm's correction is over all of them.

    Raises
    ------
    LikraError
        If a reference or mode has no predictions, or shapes do not fit together.
    """
    check_share("confidence", confidence, inside=True)
    compared = list(correct if modes is None else modes)
    for what, names in (("reference", references), ("mode", compared)):
        for name in names:
            if name not in correct:
                raise LikraError(f"got the {what} {name!r}; expected one of {', '.join(correct)}")
    rank = {name: place for place, name in enumerate(references)}
    pairs = [
        (mode, reference)
        for reference, mode in product(rank, compared)
        if rank.get(mode, len(rank)) > rank[reference]
    ]
    level = (1 - confidence) / max(len(pairs), 1)
    found = [_compare(correct, *pair, confidence, level) for pair in pairs]
    adjusted = holm([each.p_value for each in found])
    return [replace(each, p_adjusted=float(p)) for each, p in zip(found, adjusted, strict=True)]


def _compare(
    correct: Mapping[str, BoolArray], mode: str, reference: str, confidence: float, level: float
) -> Comparison:
    pair = correct[mode], correct[reference]
    sums, n_seeds = item_sums(*pair)
    difference, error = paired_difference(*pair)
    low, high = bootstrap_interval(*pair, confidence)
    p_value = mcnemar_test(*pair)
    discordance = float(np.mean((sums / n_seeds) ** 2))
    return Comparison(
        mode=mode,
        reference=reference,
        n_items=len(sums),
        n_seeds=n_seeds,
        difference=difference,
        standard_error=error,
        low=low,
        high=high,
        p_value=p_value,
        p_adjusted=p_value,
        detectable=detectable_difference(len(sums), discordance, level),
    )


def sentence(comparison: Comparison, level: float = LEVEL) -> str:
    """Say in plain words what a comparison found.

    Differences are in points, hundredths of accuracy, with their standard errors; p is
    adjusted for the comparisons that were made together.

    Parameters
    ----------
    comparison : Comparison
    level : float, default=0.05
        Below which p counts as evidence.

    Returns
    -------
    str
    """
    mode, reference, difference = comparison.mode, comparison.reference, comparison.difference
    where = f"{_where(comparison)} ({_p(comparison.p_adjusted)})"
    if comparison.p_adjusted < level:
        verb = "beats" if difference > 0 else "does worse than"
        return f"{mode} {verb} {reference} by {_points(comparison).lstrip('+-')} points {where}"
    return (
        f"no difference between {mode} and {reference} was found: {_points(comparison)} points "
        f"{where}; {_seen([comparison])}"
    )


def findings(comparisons: Sequence[Comparison], level: float = LEVEL) -> list[str]:
    """Say what comparisons found: a sentence for each difference, one for all that show none.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Made together.
    level : float, default=0.05
        Below which p counts as evidence.

    Returns
    -------
    list of str
    """
    found = [each for each in comparisons if each.p_adjusted < level]
    others = [each for each in comparisons if each.p_adjusted >= level]
    told = [sentence(each, level) for each in found]
    if len(others) < 2:
        return told + [sentence(each, level) for each in others]
    which = "the other" if found else "any of the"
    seeds = max(others, key=lambda each: each.n_seeds)
    return [
        *told,
        f"no difference was found in {which} {len(others)} comparisons {_where(seeds)}; "
        f"{_seen(others)}",
    ]


def _where(comparison: Comparison) -> str:
    seeds = f", mean of {comparison.n_seeds} seeds" if comparison.n_seeds > 1 else ""
    return f"on {comparison.n_items:,} items{seeds}"


def _seen(comparisons: Sequence[Comparison]) -> str:
    """Say how large differences must be to be found in all of the comparisons."""
    largest = max(each.detectable for each in comparisons)
    if min(each.detectable for each in comparisons) > 1:
        return "with so few items none would have been seen"
    if largest > 1:
        return "with so few items hardly any would have been seen"
    return f"only differences of {100 * largest:.1f} points or more would have been seen"


def remaining_share_sentence(
    gain: Comparison, gain_hidden: Comparison, level: float = LEVEL
) -> str:
    """Say how much of a gain remains when the question is hidden.

    What remains comes from the style of the answers alone.

    Parameters
    ----------
    gain : Comparison
        Of a mode with a reference, question shown.
    gain_hidden : Comparison
        Of the same two, question hidden in fitting and in testing.
    level : float, default=0.05
        Below which p counts as evidence.

    Returns
    -------
    str
        No share is given of a gain that was not found.
    """
    over = f"over {gain.reference}"
    if gain.p_adjusted >= level or gain.difference <= 0:
        return f"no gain {over} was found of which a part could remain: {_points(gain)} points"
    measured = f"({_points(gain_hidden)} of {_points(gain)} points)"
    if gain_hidden.p_adjusted >= level:
        found = f"nothing of the gain {over} was found"
        return f"{found} when the question is hidden {measured}"
    if gain_hidden.difference < 0:
        return f"the gain {over} becomes a loss when the question is hidden {measured}"
    share = gain_hidden.difference / gain.difference
    percent = f"about {round(10 * share) * 10} %" if share >= 0.1 else "less than 10 %"
    part = "all" if share >= 0.95 else percent
    return f"{part} of the gain {over} remains when the question is hidden {measured}"


def _points(comparison: Comparison) -> str:
    """Return ``+7.9 +- 1.4``, a difference and its standard error in hundredths."""
    return f"{100 * comparison.difference:+z.1f} +- {100 * comparison.standard_error:.1f}"


def _p(p: float) -> str:
    """Return ``p = .84``, ``p = .012`` or ``p < .001``."""
    if p < 0.001:
        return "p < .001"
    text = f"{p:.{2 if p >= 0.1 else 3}f}"
    return "p = 1" if text == "1.00" else f"p = {text.removeprefix('0')}"
