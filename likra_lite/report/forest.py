"""Paired comparisons as a forest plot."""

from __future__ import annotations

from collections.abc import Sequence

from ..scoring.comparisons import Comparison
from .charts import Forest, Interval

__all__ = ["comparison_forest"]


def comparison_forest(comparisons: Sequence[Comparison], n_examples: int) -> Forest:
    """Return intervals of differences, grouped by what is compared with.

    Parameters
    ----------
    comparisons : sequence of Comparison
        All that were made together, see :func:`likra_lite.scoring.comparisons.compare_modes`.
    n_examples : int
        Training items of the fits.

    Returns
    -------
    Forest
    """
    n_seeds = max(each.n_seeds for each in comparisons)
    seeds, test = "a single seed", "McNemar's exact test"
    if n_seeds > 1:
        seeds = f"mean of {n_seeds} seeds"
        test = "the exact sign-flip test of each item's difference, summed over the seeds"
    return Forest(
        "Paired comparisons",
        tuple(
            Interval(
                f"against {each.reference}",
                each.mode,
                each.difference,
                each.low,
                each.high,
                each.p_adjusted,
            )
            for each in comparisons
        ),
        f"Differences in accuracy after {n_examples:,} examples, {seeds}, on "
        f"{comparisons[0].n_items:,} test items; 95 % bootstrap intervals over items; p-values of "
        f"{test}, after Holm's correction for these {len(comparisons)} comparisons.",
    )
