"""Whether probabilities can be trusted, as charts: reliability, abstention, prediction sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scoring.calibration import reliability, risk_coverage
from ..scoring.conformal import prediction_sets, set_threshold
from ..scoring.decision import Decision, fit_temperature
from ..scoring.table import LogLikelihoods
from .charts import Bar, BarChart, Bin, Level, Line, LineChart, Point, ReliabilityChart

__all__ = [
    "ENOUGH",
    "ConfidenceCharts",
    "abstention_chart",
    "calibration_charts",
    "confidence_charts",
    "set_size_chart",
    "with_temperature",
]

COVERAGE = 0.9  # of prediction sets
ENOUGH = 100  # held-out items, to fit a temperature on and to calibrate sets

IntArray = NDArray[np.int64]


class ConfidenceCharts(NamedTuple):
    """What one fit's probabilities are worth, as the fields of a report of these names."""

    calibration: tuple[ReliabilityChart, ...]
    abstention: LineChart
    set_sizes: BarChart


def confidence_charts(
    held_out: LogLikelihoods,
    held_out_y: IntArray,
    table: LogLikelihoods,
    y: IntArray,
    decisions: Mapping[str, Decision],
) -> ConfidenceCharts:
    """Return the charts of one fit's probabilities.

    Parameters
    ----------
    held_out : LogLikelihoods
        Items that were not fitted on, :data:`ENOUGH` at least.
    held_out_y : ndarray of shape (n_held_out,)
    table : LogLikelihoods
        Test items.
    y : ndarray of shape (n_items,)
    decisions : dict of str to Decision
        By name; calibration and sets are of the first.

    Returns
    -------
    ConfidenceCharts
    """
    warmed = {
        name: with_temperature(decision, held_out, held_out_y)
        for name, decision in decisions.items()
    }
    first = next(iter(warmed.values()))
    return ConfidenceCharts(
        calibration_charts(table, first, y, len(held_out_y)),
        abstention_chart({name: (table, decision) for name, decision in warmed.items()}, y),
        set_size_chart(held_out, held_out_y, table, y, first),
    )


def with_temperature(decision: Decision, held_out: LogLikelihoods, y: IntArray) -> Decision:
    """Return a decision with the temperature that makes held-out answers most likely."""
    scores = replace(decision, temperature=1.0).scores(held_out)
    return replace(decision, temperature=fit_temperature(scores, held_out.offsets, y))


def calibration_charts(
    table: LogLikelihoods, decision: Decision, y: IntArray, n_held_out: int
) -> tuple[ReliabilityChart, ...]:
    """Return reliability diagrams without and with a decision's temperature.

    Parameters
    ----------
    table : LogLikelihoods
        Test items, others than the temperature was fitted on.
    decision : Decision
    y : ndarray of shape (n_items,)
    n_held_out : int
        Items that the temperature was fitted on.

    Returns
    -------
    tuple of ReliabilityChart
    """
    fitted = f"temperature {decision.temperature:.3g}, fitted on {n_held_out:,} held-out items"
    charts = []
    for title, temperature, how in (
        ("As scored", 1.0, "temperature 1"),
        ("With temperature", decision.temperature, fitted),
    ):
        found = reliability(table, replace(decision, temperature=temperature), y)
        rows = zip(found.confidence, found.accuracy, found.n_items, strict=True)
        charts.append(
            ReliabilityChart(
                title,
                tuple(Bin(float(c), float(a), int(n)) for c, a, n in rows),
                found.expected_error,
                f"{_named(decision)}, {how}. {len(y):,} test items in ten bins of equal width; "
                "below, how many answers each bin holds.",
            )
        )
    return tuple(charts)


def abstention_chart(
    tables: Mapping[str, tuple[LogLikelihoods, Decision]], y: IntArray
) -> LineChart:
    """Return how often answers are wrong if only the surest are given.

    Parameters
    ----------
    tables : dict of str to (LogLikelihoods, Decision)
        By the name of the line.
    y : ndarray of shape (n_items,)

    Returns
    -------
    LineChart
    """
    lines = []
    for name, (table, decision) in tables.items():
        found = risk_coverage(table, decision, y)
        # The first few answers say nothing yet: one wrong in one would fill the chart.
        shown = found.coverage >= 0.05
        pairs = zip(found.coverage[shown], found.error_rate[shown], strict=True)
        lines.append(Line(name, tuple(Point(float(c), float(e)) for c, e in pairs)))
    chance = 1 - float(np.mean(1 / next(iter(tables.values()))[0].n_choices))
    return LineChart(
        "Abstention",
        "share of questions answered",
        "share of answers wrong",
        tuple(lines),
        (Level("guessing", chance),),
        f"{len(y):,} test items, the most probable answers first, from the first twentieth on.",
        log2=False,
        marks=False,
    )


def set_size_chart(
    held_out: LogLikelihoods,
    held_out_y: IntArray,
    table: LogLikelihoods,
    y: IntArray,
    decision: Decision,
) -> BarChart:
    """Return how many choices a set needs to contain the right one with a stated probability.

    Parameters
    ----------
    held_out : LogLikelihoods
        What the sets are calibrated on.
    held_out_y : ndarray of shape (n_held_out,)
    table : LogLikelihoods
        Test items.
    y : ndarray of shape (n_items,)
    decision : Decision

    Returns
    -------
    BarChart

    Raises
    ------
    LikraError
        If the held-out items are too few for the coverage.
    """
    threshold = set_threshold(held_out, decision, held_out_y, COVERAGE)
    sets = prediction_sets(table, decision, threshold)
    sizes = np.array([len(kept) for kept in sets])
    covered = float(np.mean([right in kept for right, kept in zip(y, sets, strict=True)]))
    most = int(table.n_choices.max())
    return BarChart(
        "Prediction sets",
        "choices in the set",
        "share of questions",
        tuple(Bar(str(size), float(np.mean(sizes == size))) for size in range(1, most + 1)),
        f"Sets that should hold the right answer with probability {COVERAGE:g}, calibrated on "
        f"{len(held_out_y):,} held-out items (split conformal prediction); on {len(y):,} test "
        f"items {covered:.3f} of them do, with {sizes.mean():.2f} choices on average.",
    )


def _named(decision: Decision) -> str:
    return str(decision).removeprefix("mode ").removesuffix(", normalization none")
