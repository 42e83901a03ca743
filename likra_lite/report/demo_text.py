"""The text of the demo: tables, a chart of characters, and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..experiments import summarize_rows
from ..scoring.columns import layout
from ..scoring.decision import Decision
from .findings import ORDER, findings, mean_log_likelihood
from .measured import RATIOS, Measured, Row

__all__ = ["chart", "demo_text", "estimate"]

CHART_ROWS = 14
LEAST_SPAN = 0.1  # of accuracy, from the top to the bottom: noise should look like noise
CELL = 6  # characters between two sizes of the chart
MARKS = {"sft": "S", "likra": "L", "base-likra": "B"}
LINES = (".", "-")  # of the base model, and of the best without examples

Curves = Mapping[str, Mapping[int, float]]


def chart(curves: Curves, marks: Mapping[str, str]) -> str:
    """Draw accuracy against the number of examples, one mark for each curve.

    Parameters
    ----------
    curves : dict of str to dict of int to float
        Accuracy by the number of examples; a curve whose only size is 0 needs no examples and
        becomes a level line.
    marks : dict of str to str
        A character for each curve to be drawn, in order: later ones are drawn on top.

    Returns
    -------
    str
    """
    sizes = sorted({size for name in marks for size in curves[name] if size})
    levels = [share for name in marks for share in curves[name].values()]
    high = max(levels)
    span = max(high - min(levels), LEAST_SPAN)
    grid = [[" "] * (CELL * len(sizes)) for _ in range(CHART_ROWS)]

    def row_of(share: float) -> list[str]:
        return grid[round((high - share) / span * (CHART_ROWS - 1))]

    for name, mark in marks.items():
        if set(curves[name]) == {0}:
            row = row_of(curves[name][0])
            row[:] = [mark if place % 2 == 0 else " " for place in range(len(row))]
    for name, mark in marks.items():
        for place, size in enumerate(sizes):
            if size in curves[name]:
                row_of(curves[name][size])[CELL * place + CELL // 2] = mark
    lines = [
        f"{high - span * index / (CHART_ROWS - 1):6.2f} |{''.join(row)}".rstrip()
        for index, row in enumerate(grid)
    ]
    axis = "".join(str(size).center(CELL) for size in sizes)
    key = "   ".join(f"{mark} {name}" for name, mark in marks.items())
    return "\n".join([*lines, " " * 7 + "+" + "-" * len(grid[0]), " " * 8 + axis.rstrip(), key])


def demo_text(measured: Measured) -> str:
    """Return every number as tables, with a chart and findings in words.

    Parameters
    ----------
    measured : Measured
        With the learning curve, its answer-only control and kinds of negatives, see
        :func:`likra_lite.experiments.points_of_claims`.
    """
    shown, hidden = (
        summarize_rows(measured.standard_rows(control)) for control in ("none", "hidden")
    )
    several = " (standard deviation between draws)" if len(measured.largest) > 1 else ""
    free = {name: measured.free_row(rule) for name, rule in measured.free.items()}
    named = ", ".join(f"{name} {estimate(row)}" for name, row in free.items())
    sections = [
        f"Accuracy on {measured.n_test} test items +- standard error{several}; "
        f"alpha {measured.alpha:g}",
        f"without examples: {named}, a guess {measured.chance:.3f}",
        _curve(shown),
        _chart(measured, shown, free),
        "The same with the question hidden, the answer-only control",
        f"without examples: base {estimate(measured.free_row(Decision('base'), 'hidden'))}",
        _curve(hidden),
        _kinds(measured),
        _trajectories(measured),
        "\n".join(findings(measured)),
    ]
    return "\n\n".join(sections)


def estimate(row: Row) -> str:
    """Return ``0.772 +- 0.013``, with the spread between draws in brackets if there is one."""
    deviation = row.get("deviation")
    spread = "" if deviation is None else f" ({deviation:.3f})"
    return f"{row['accuracy']:.3f} +- {row['standard_error']:.3f}{spread}"


def _curve(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n_items"] for row in rows})
    cells = {(row["mode"], row["n_items"]): estimate(row) for row in rows}
    columns = {mode: [cells[mode, size] for size in sizes] for mode in ORDER}
    return layout(list(map(str, sizes)), columns, "examples")


def _chart(measured: Measured, rows: Sequence[Row], free: Mapping[str, Row]) -> str:
    curves = {name: {0: row["accuracy"]} for name, row in free.items()}
    for row in rows:
        curves.setdefault(row["mode"], {})[row["n_items"]] = row["accuracy"]
    levels = dict.fromkeys(["base", measured.best_free])
    return chart(curves, dict(zip(levels, LINES, strict=False)) | MARKS)


def _kinds(measured: Measured) -> str:
    cells: dict[str, dict[str, str]] = {}
    for row in summarize_rows(measured.kinds_rows):
        cells.setdefault(row["mode"], {})[row["negatives"]] = estimate(row)
    kinds = list(cells[RATIOS[0]])
    columns = {mode: [cells[mode][kind] for kind in kinds] for mode in RATIOS}
    chosen = measured.kinds_alpha == "auto"
    how = ", each kind with its own alpha, chosen on unused training items" if chosen else ""
    title = f"Which wrong answers teach, {measured.kinds_size} of them{how}"
    return f"{title}\n\n{layout(kinds, columns, 'negatives')}"


def _trajectories(measured: Measured) -> str:
    rows = measured.trajectory_rows
    groups = list(dict.fromkeys(row["group"] for row in rows))
    sizes = sorted({row["n_items"] for row in rows} - {0})
    lines = [("base", 0), *((head, size) for head in ("positive", "negative") for size in sizes)]
    columns = {"examples": [str(size) for _, size in lines]}
    for group in groups:
        columns[group] = [
            f"{mean_log_likelihood(measured, head, group, size):.2f}" for head, size in lines
        ]
    table = layout([head for head, _ in lines], columns, "head")
    return f"Mean log-likelihood of the test answers, in nats\n\n{table}"
