"""Tables of results for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scoring.columns import layout, wrapped
from ..scoring.comparisons import Comparison, findings
from ..scoring.lengths import LENGTHS
from ..scoring.statistics import accuracy
from .summaries import summarize_rows
from .tidy import FREE_MODES, Row

__all__ = ["comparison_text", "curve_text"]

# Settings that tell one curve of a mode from another, and how they are called.
SETTINGS = {
    "alpha": "alpha {}",
    "normalization": "per {}",
    "negatives": "{}",
    "n_negatives": "x{}",
    "contamination": "{:.0%} right",
}


def setting_name(row: Mapping[str, Any], varying: Sequence[str]) -> str:
    """Return what tells a setting from others of its mode: those of its values that vary."""
    parts = []
    for name in varying:
        value = row[name]
        if name == "alpha" and row["alpha_auto"]:
            parts.append("alpha auto")
        elif value is None:
            continue
        elif name == "normalization":
            unit = "answer" if value == "none" else LENGTHS[value].unit
            parts.append(SETTINGS[name].format(unit))
        else:
            parts.append(SETTINGS[name].format(f"{value:g}" if name == "alpha" else value))
    return " ".join(parts)


def curve_text(rows: Sequence[Row]) -> str:
    """Return learning curves as tables, means over seeds, one for each test set and control.

    Parameters
    ----------
    rows : sequence of dict
        See :func:`likra_lite.experiments.observations`.
    """
    settings = summarize_rows(rows)
    places = dict.fromkeys((row["test"], row["control"]) for row in settings)
    sections = []
    for test, control in places:
        here = [row for row in settings if (row["test"], row["control"]) == (test, control)]
        sections.append(_section(here))
    return "\n\n".join(sections)


CONTROL_NAMES = {
    "none": "",
    "hidden": ", questions hidden (the answer-only control)",
    "shuffled": ", questions exchanged between items",
}


def _section(settings: Sequence[Row]) -> str:
    free = [row for row in settings if row["mode"] in FREE_MODES]
    fitted = [row for row in settings if row["mode"] not in FREE_MODES]
    some = settings[0]
    n_seeds = max(row["n_seeds"] for row in settings)
    spread = f"; {n_seeds} seeds: mean (standard deviation between seeds)" if n_seeds > 1 else ""
    error = max(row["standard_error"] for row in settings)
    lines = [
        f"{some['test']}{CONTROL_NAMES[some['control']]}\n"
        f"accuracy on {some['n_test']} items{spread}\n"
        f"standard errors of testing up to {error:.3f}; a guess {some['chance']:.3f}"
    ]
    if free:
        varying = _varying(free)
        named = (f"{_full_name(row, varying)} {row['accuracy']:.3f}" for row in free)
        lines[0] += f"\nwithout examples: {', '.join(named)}"
    if not fitted:
        return lines[0]
    varying = _varying(fitted)
    sizes = sorted({row["n_items"] for row in fitted})
    for rows in _tables(fitted, varying):
        lines.append(_table(rows, sizes, varying, _cell))
        chosen = [row for row in rows if row["alpha_auto"] and row["alpha"] is not None]
        if chosen:
            lines.append("alpha, chosen on unused training items, mean over seeds")
            lines.append(_table(chosen, sizes, varying, lambda row: f"{row['alpha']:.2f}"))
    return "\n\n".join(lines)


def _full_name(row: Row, varying: Sequence[str]) -> str:
    return f"{row['mode']} {setting_name(row, varying)}".strip()


def _tables(settings: Sequence[Row], varying: Sequence[str]) -> list[list[Row]]:
    """Return what stands in a table of its own: modes with several settings, and all others."""
    by_mode: dict[str, list[Row]] = {}
    for row in settings:
        by_mode.setdefault(row["mode"], []).append(row)
    many = {
        mode
        for mode, rows in by_mode.items()
        if len({setting_name(row, varying) for row in rows}) > 1
    }
    simple = [row for row in settings if row["mode"] not in many]
    return [rows for rows in (simple, *(by_mode[mode] for mode in by_mode if mode in many)) if rows]


def _table(
    rows: Sequence[Row], sizes: Sequence[int], varying: Sequence[str], cell: Callable[[Row], str]
) -> str:
    modes = {row["mode"] for row in rows}
    alone = len(modes) == 1 and any(setting_name(row, varying) for row in rows)
    columns: dict[str, dict[int, Row]] = {}
    for row in rows:
        title = setting_name(row, varying) if alone else _full_name(row, varying)
        columns.setdefault(title, {})[row["n_items"]] = row
    cells = {
        title: [cell(found[size]) if size in found else "" for size in sizes]
        for title, found in columns.items()
    }
    table = layout(list(map(str, sizes)), cells, "examples")
    return f"{modes.pop()}\n{table}" if alone else table


def _varying(settings: Sequence[Row]) -> list[str]:
    """Return which settings take more than one value."""
    found = []
    for name in SETTINGS:
        given = {
            "auto" if name == "alpha" and row["alpha_auto"] else row[name]
            for row in settings
            if row[name] is not None
        }
        if len(given) > 1:
            found.append(name)
    return found


def _cell(row: Row) -> str:
    spread = "" if row["deviation"] is None else f" ({row['deviation']:.3f})"
    return f"{row['accuracy']:.3f}{spread}"


def comparison_text(
    correct: Mapping[str, NDArray[np.bool_]], comparisons: Sequence[Comparison]
) -> str:
    """Return accuracies, paired differences, and what they say, as text.

    Parameters
    ----------
    correct : dict of str to ndarray
        See :func:`likra_lite.experiments.predictions.correct_by_mode`.
    comparisons : sequence of Comparison
        See :func:`likra_lite.scoring.comparisons.compare_modes`.
    """
    shares = {name: accuracy(values) for name, values in correct.items()}
    columns = {"accuracy": [f"{share:.3f} +- {error:.3f}" for share, error in shares.values()]}
    if any(values.ndim > 1 for values in correct.values()):
        columns["seeds"] = [str(len(np.atleast_2d(values))) for values in correct.values()]
    sections = [layout(list(correct), columns, "mode")]
    if comparisons:
        differences = {
            "difference": [
                f"{each.difference:+z.3f} +- {each.standard_error:.3f}" for each in comparisons
            ],
            "95 % interval": [f"{each.low:+z.3f} to {each.high:+z.3f}" for each in comparisons],
            "adjusted p": [_p(each.p_adjusted) for each in comparisons],
        }
        names = [f"{each.mode} - {each.reference}" for each in comparisons]
        sections.append(layout(names, differences, "on the same items"))
        sections.append("\n".join(wrapped(line) for line in findings(comparisons)))
    return "\n\n".join(sections)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
