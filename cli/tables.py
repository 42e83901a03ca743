"""How results are laid out for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["accuracy_line", "mode_table"]


def accuracy_line(decision: Any, table: Any, y: Any) -> str:
    """Return ``0.375 +- 0.015``: a decision's accuracy with its standard error."""
    from likra_lite.scoring.statistics import accuracy

    share, error = accuracy(decision.predict(table) == y)
    return f"{share:.3f} +- {error:.3f}"


def mode_table(rows: Sequence[Any]) -> str:
    """Lay out accuracies with a line per mode and a column per normalisation."""
    from likra_lite.scoring.columns import layout

    titles = {"none": "raw", "chars": "per character", "bytes": "per byte", "tokens": "per token"}
    modes = list(dict.fromkeys(row.mode for row in rows))
    alphas = {row.mode: "-" if row.alpha is None else f"{row.alpha:g}" for row in rows}
    columns = {"alpha": [alphas[mode] for mode in modes]}
    for row in rows:  # the same modes in the same order under every normalisation
        cell = f"{row.accuracy:.3f} +- {row.standard_error:.3f}"
        columns.setdefault(titles[row.normalization], []).append(cell)
    return layout(modes, columns, "mode")
