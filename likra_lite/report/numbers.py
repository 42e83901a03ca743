"""The numbers of every chart as a table, for those who cannot or would not read a drawing."""

from __future__ import annotations

from .charts import BarChart, Chart, DotPlot, Forest, Line, LineChart, ReliabilityChart
from .lines import plain_number
from .plots import p_value, points
from .scales import number

__all__ = ["numbers"]

ROWS = 25  # of a curve with hundreds of points
Table = tuple[list[str], list[list[str]]]


def numbers(chart: Chart) -> Table:
    """Return the header and the rows of a chart's table.

    Parameters
    ----------
    chart : LineChart, Forest, DotPlot, ReliabilityChart or BarChart

    Returns
    -------
    tuple
        The header, a list of str, and the rows, lists of str; a row's first cell names it.
    """
    match chart:
        case LineChart():
            return _of_lines(chart)
        case Forest():
            header = ["", "difference", "from", "to", "p"]
            return header, [
                [
                    f"{row.group}: {row.name}" if row.group else row.name,
                    *(points(value) for value in (row.difference, row.low, row.high)),
                    ""
                    if row.p_value is None
                    else p_value(row.p_value).removeprefix("p ").removeprefix("= "),
                ]
                for row in chart.intervals
            ]
        case DotPlot():
            most = max(len(row.values) for row in chart.rows)
            header = ["", "mean", "standard error", *(f"seed {i + 1}" for i in range(most))]
            return header, [
                [row.name, number(row.mean, 3), "" if row.error is None else f"{row.error:.3f}"]
                + [number(value, 3) for value in row.values]
                + [""] * (most - len(row.values))
                for row in sorted(chart.rows, key=lambda row: -row.mean)
            ]
        case ReliabilityChart():
            return ["probability", "share right", "answers"], [
                [f"{b.confidence:.3f}", f"{b.accuracy:.3f}", f"{b.count:,}"] for b in chart.bins
            ]
        case BarChart():
            return [chart.x_label, chart.y_label], [
                [bar.name, f"{bar.value:.3f}"] for bar in chart.bars
            ]


def _of_lines(chart: LineChart) -> Table:
    xs = sorted({point.x for line in chart.lines for point in line.points})
    if len(xs) > ROWS:
        xs = [xs[round(i * (len(xs) - 1) / (ROWS - 1))] for i in range(ROWS)]
    places = 3 if any(not float(x).is_integer() for x in xs) else 0
    rows = [
        [
            f"{x:.{places}f}" if places else plain_number(x),
            *(_cell(line, x) for line in chart.lines),
        ]
        for x in xs
    ]
    rows += [[level.name, number(level.value, 3)] for level in chart.levels]
    width = 1 + len(chart.lines)
    return [chart.x_label, *(line.name for line in chart.lines)], [
        row + [""] * (width - len(row)) for row in rows
    ]


def _cell(line: Line, x: float) -> str:
    found = next((point for point in line.points if point.x == x), None)
    if found is None:
        return ""
    error = "" if found.error is None else f" \N{PLUS-MINUS SIGN} {found.error:.3f}"
    spread = "" if found.deviation is None else f" ({found.deviation:.3f})"
    return number(found.y, 3) + error + spread
