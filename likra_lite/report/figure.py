"""The charts of a report as pictures for print, with matplotlib (extra ``report``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from ..errors import import_extra
from .charts import BarChart, Chart, DotPlot, Forest, LineChart, ReliabilityChart
from .lines import alike, plain_number, value_range
from .plots import p_value, points
from .scales import scale_log2, spread
from .styles import LEVEL, STYLES, Style, styles_of

__all__ = ["RC", "figure", "line_style", "picture"]

# Quiet axes, light grid, nothing that is not data; for matplotlib.rc_context.
RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#5c6670",
    "axes.labelcolor": "#5c6670",
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": "#e3e5e2",
    "legend.frameon": False,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.7,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "likra-lite",
    "text.color": "#1c2126",
    "xtick.color": "#5c6670",
    "ytick.color": "#5c6670",
    "ytick.left": False,
}
_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "down": "v", "diamond": "D"}
_INCHES = (6.5, 4.0)


def line_style(name: str) -> dict[str, Any]:
    """Return matplotlib's keywords for the line of a known mode, control or group."""
    return _keywords(STYLES[name])


def _keywords(style: Style) -> dict[str, Any]:
    dashes = tuple(float(part) / 1.6 for part in style.dash.split())
    return {
        "color": style.light,
        "marker": _MARKERS.get(style.marker, "X"),
        "linestyle": (0, dashes) if dashes else "-",
    }


def figure(charts: Sequence[Chart]) -> Any:
    """Draw charts side by side.

    Parameters
    ----------
    charts : sequence of LineChart, Forest, DotPlot, ReliabilityChart or BarChart
        Line charts with the same y label share their axis.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure_module = import_extra("matplotlib.figure", "report")
    matplotlib = import_extra("matplotlib", "report")
    wide, tall = _INCHES
    if len(charts) > 1:
        wide, tall = 4.6 * len(charts), 3.4
    with matplotlib.rc_context(RC):
        drawn = figure_module.Figure(figsize=(wide, tall), layout="constrained")
        for axes, chart in zip(
            drawn.subplots(1, len(charts), squeeze=False)[0], charts, strict=True
        ):
            axes.set_title(chart.title)
            match chart:
                case LineChart():
                    _lines(axes, chart, value_range(alike(chart, charts)))
                case Forest():
                    _forest(axes, chart)
                case DotPlot():
                    _dots(axes, chart)
                case ReliabilityChart():
                    _reliability(axes, chart)
                case BarChart():
                    _bars(axes, chart)
    return drawn


def picture(charts: Sequence[Chart], kind: str = "png") -> bytes:
    """Return charts side by side as the content of a file.

    Parameters
    ----------
    charts : sequence of LineChart, Forest, DotPlot, ReliabilityChart or BarChart
    kind : {"png", "svg", "pdf"}, default="png"

    Returns
    -------
    bytes
        The same for the same charts.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    drawn = figure(charts)
    matplotlib = import_extra("matplotlib", "report")
    stream = io.BytesIO()
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with matplotlib.rc_context(RC):
        drawn.savefig(stream, format=kind, dpi=160, metadata=undated)
    return stream.getvalue()


def _lines(axes: Any, chart: LineChart, bounds: tuple[float, float]) -> None:
    values = sorted({point.x for line in chart.lines for point in line.points})
    scale = scale_log2(values) if chart.log2 else float
    ends = []
    for level in chart.levels:
        axes.axhline(level.value, color=LEVEL.light, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        ends.append((level.name, LEVEL.light, level.value))
    styles = styles_of([line.name for line in chart.lines])
    for line, style in zip(chart.lines, styles, strict=True):
        x, y = [scale(p.x) for p in line.points], [p.y for p in line.points]
        keywords = _keywords(style)
        axes.plot(x, y, **(keywords if chart.marks else keywords | {"marker": ""}))
        spans = [(scale(p.x), p.y, p.deviation) for p in line.points if p.deviation is not None]
        if spans:
            low, high = [m - d for _, m, d in spans], [m + d for _, m, d in spans]
            places = [at for at, _, _ in spans]
            axes.fill_between(places, low, high, color=style.light, alpha=0.14, linewidth=0)
        last = line.points[-1]
        if last.error is not None:
            axes.errorbar(x[-1], last.y, last.error, color=style.light, capsize=2, linewidth=1)
        ends.append((line.name, style.light, last.y))
    axes.set_ylim(*bounds)
    axes.grid(axis="y")
    if chart.log2:
        axes.set_xticks([scale(v) for v in values], [plain_number(v) for v in values])
        if len(values) > 8:
            axes.tick_params(axis="x", labelsize="small")
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    _name_ends(axes, ends, bounds)


def _name_ends(axes: Any, ends: list[tuple[str, str, float]], bounds: tuple[float, float]) -> None:
    """Write names at the right, apart from one another, instead of a legend."""
    low, high = bounds
    gap = 0.055 * (high - low)
    for (name, color, _), y in zip(
        ends, spread([end[2] for end in ends], gap, low, high), strict=True
    ):
        axes.annotate(
            name, (1, (y - low) / (high - low)), (4, 0), xycoords="axes fraction",
            textcoords="offset points", color=color, va="center",
            weight="normal" if color == LEVEL.light else "bold",
        )  # fmt: skip


def _forest(axes: Any, chart: Forest) -> None:
    rows = chart.intervals
    axes.axvline(0, color=LEVEL.light, linewidth=1)
    for place, row in enumerate(rows):
        style = STYLES.get(row.name.split(" ")[0], LEVEL)
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=style.light)
        marker = _keywords(style)["marker"]
        axes.plot(100 * row.difference, place, marker=marker, color=style.light, linestyle="")
        words = points(row.difference)
        if row.p_value is not None:
            words += f"  {p_value(row.p_value)}"
        axes.annotate(
            words, (1, place), (4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center",
        )  # fmt: skip
    names = [f"{row.group}: {row.name}" if row.group else row.name for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("percentage points")


def _dots(axes: Any, chart: DotPlot) -> None:
    rows = sorted(chart.rows, key=lambda row: row.mean)
    style = STYLES.get(chart.series, LEVEL)
    for level in chart.levels:
        axes.axvline(level.value, color=LEVEL.light, linewidth=1, linestyle=(0, (2, 2)))
        axes.annotate(
            level.name, (level.value, 1), (0, 2), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", fontsize="small", color=LEVEL.light,
        )  # fmt: skip
    axes.set_title(chart.title, pad=16)
    for place, row in enumerate(rows):
        axes.errorbar(row.mean, place, xerr=row.error, color=style.light, linewidth=1.5)
        axes.plot(
            list(row.values), [place] * len(row.values), "o", color=style.light, markersize=4,
            markerfacecolor="none", markeredgecolor=style.light,
        )  # fmt: skip
        marker = _keywords(style)["marker"]
        axes.plot(row.mean, place, marker=marker, color=style.light, markersize=7, linestyle="")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.grid(axis="x")
    axes.set_xlabel(chart.x_label)


def _reliability(axes: Any, chart: ReliabilityChart) -> None:
    axes.plot([0, 1], [0, 1], color=LEVEL.light, linewidth=1, linestyle=(0, (2, 2)))
    most = max(b.count for b in chart.bins)
    style = STYLES["likra"]
    for b in chart.bins:
        axes.bar(b.confidence, 0.15 * b.count / most, width=0.03, color=style.light, alpha=0.4)
        axes.annotate(f"{b.count:,}", (b.confidence, 0.15 * b.count / most), (0, 2),
                      textcoords="offset points", ha="center", fontsize="x-small")  # fmt: skip
    axes.plot(
        [b.confidence for b in chart.bins], [b.accuracy for b in chart.bins], "o",
        color=style.light,
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="probability of the answer", ylabel="share right")
    axes.grid()
    ece = f"expected calibration error {chart.calibration_error:.3f}"
    axes.annotate(ece, (0.03, 0.95), fontsize="small")


def _bars(axes: Any, chart: BarChart) -> None:
    bars = axes.bar(
        [bar.name for bar in chart.bars], [bar.value for bar in chart.bars],
        color=STYLES["likra"].light, width=0.6,
    )  # fmt: skip
    axes.bar_label(bars, fmt="{:.2f}", padding=2)
    axes.grid(axis="y")
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
