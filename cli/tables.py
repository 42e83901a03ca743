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
    columns = list(dict.fromkeys(row.normalization for row in rows))
    titles = {"none": "raw", "chars": "per character", "bytes": "per byte", "tokens": "per token"}
    header = f"{'mode':<12}{'alpha':>6}" + "".join(f"{titles[c]:>18}" for c in columns)
    lines = [header]
    for mode in dict.fromkeys(row.mode for row in rows):
        cells = {row.normalization: row for row in rows if row.mode == mode}
        alpha = next(iter(cells.values())).alpha
        line = f"{mode:<12}{'-' if alpha is None else format(alpha, 'g'):>6}"
        for column in columns:
            row = cells[column]
            line += f"{f'{row.accuracy:.3f} +- {row.standard_error:.3f}':>18}"
        lines.append(line)
    return "\n".join(lines)
