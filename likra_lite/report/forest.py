"""Paired comparisons as a forest plot."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparisons import Comparison
from .charts import Forest, Interval

__all__ = ["comparison_forest"]


def comparison_forest(
    comparisons: Sequence[Comparison], modes: Sequence[str], n_examples: int
) -> Forest:
    """Return intervals of differences, grouped by what is compared with.

    Parameters
    ----------
    comparisons : sequence of Comparison
        All that were made together, see :func:`likra_lite.comparisons.compare_modes`.
    modes : sequence of str
        Whose comparisons are shown.
    n_examples : int
        Training items of the fits.

    Returns
    -------
    Forest
    """
    shown = [each for each in comparisons if each.mode in modes]
    n_seeds = max(each.n_seeds for each in shown)
    seeds = f"mean of {n_seeds} seeds" if n_seeds > 1 else "a single seed"
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
            for each in shown
        ),
        f"Differences in accuracy after {n_examples:,} examples, {seeds}, on "
        f"{shown[0].n_items:,} test items; 95 % bootstrap intervals over items; p-values of "
        f"McNemar's exact test, after Holm's correction for {len(comparisons)} comparisons.",
    )
