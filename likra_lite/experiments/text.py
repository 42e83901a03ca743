"""Tables of results for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tidy import FREE_MODES, Row, summarize_rows

__all__ = ["WIDTH", "curve_text", "layout", "setting_name"]

WIDTH = 80  # characters of a line
GAP = "  "

# Settings that tell one curve of a mode from another, and how they are called.
SETTINGS = {
    "alpha": "alpha {}",
    "normalization": "per {}",
    "negatives": "{}",
    "n_negatives": "x{}",
    "contamination": "{:.0%} right",
}
UNITS = {"none": "answer", "chars": "character", "bytes": "byte", "tokens": "token"}


def layout(rows: Sequence[str], columns: Mapping[str, Sequence[str]], first: str = "") -> str:
    """Lay out a table, in blocks of columns if it is wider than a line.

    Parameters
    ----------
    rows : sequence of str
        What stands before each line.
    columns : dict of str to sequence of str
        A cell for each line, under its title.
    first : str
        Title of what stands before the lines.

    Returns
    -------
    str
    """
    head = max(map(len, [first, *rows]))
    blocks: list[list[str]] = []
    room = -1
    for title, cells in columns.items():
        width = max(map(len, [title, *cells]))
        if room < width + len(GAP):
            blocks.append([first.ljust(head), *(name.ljust(head) for name in rows)])
            room = WIDTH - head
        room -= width + len(GAP)
        block = blocks[-1]
        for place, cell in enumerate([title, *cells]):
            block[place] += GAP + cell.rjust(width)
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks)


def setting_name(row: Mapping[str, Any], varying: Sequence[str]) -> str:
    """Return what a setting is called: its mode, with those of its settings that vary."""
    parts = [row["mode"]]
    for name in varying:
        value = row[name]
        if name == "normalization":
            parts.append(SETTINGS[name].format(UNITS[value]))
        elif name == "alpha" and row["alpha_auto"]:
            parts.append("alpha auto")
        elif value is not None:
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
        named = (f"{setting_name(row, varying)} {row['accuracy']:.3f}" for row in free)
        lines[0] += f"; without examples: {', '.join(named)}"
    if not fitted:
        return lines[0]
    varying = _varying(fitted)
    sizes = sorted({row["n_items"] for row in fitted})
    cells: dict[str, dict[int, Row]] = {}
    for row in fitted:
        cells.setdefault(setting_name(row, varying), {})[row["n_items"]] = row
    titles = [str(size) for size in sizes]
    columns = {
        name: [_cell(found[size]) if size in found else "" for size in sizes]
        for name, found in cells.items()
    }
    lines.append(layout(titles, columns, "examples"))
    chosen = {
        name: [f"{found[size]['alpha']:.2f}" if size in found else "" for size in sizes]
        for name, found in cells.items()
        if next(iter(found.values()))["alpha_auto"]
        and next(iter(found.values()))["alpha"] is not None
    }
    if chosen:
        lines.append("alpha, chosen on unused training items, mean over seeds")
        lines.append(layout(titles, chosen, "examples"))
    return "\n\n".join(lines)


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
