"""Line charts: bands over seeds, direct labels, levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .axes import Area, horizontal_ticks, vertical_ticks
from .charts import Chart, Line, LineChart, Point
from .drawing import Element, add, ink, mark, new_drawing, path_of, shortened, svg_text, text_width
from .scales import Scale, decimals, linear_ticks, number, padded, scale_log2, spread
from .styles import LEVEL, styles_of

__all__ = ["alike", "draw_lines", "plain_number", "tip_of", "value_range"]

LABEL = 13.0  # font size of direct labels
LEAST_SPAN = 0.1  # of an axis
APART = 5.0  # between whiskers, which would lie on each other
NAMES = 0.4  # share of the width that names may take
MOST_TICKS = 6  # beyond, round numbers instead of the values of x
GHOSTS = 24  # points with a tooltip on a line without marks


def alike(chart: LineChart, charts: Iterable[Chart]) -> list[LineChart]:
    """Return the line charts that share a chart's y axis: those with its label."""
    lines = [other for other in charts if isinstance(other, LineChart)]
    return [other for other in lines if other.y_label == chart.y_label]


def value_range(charts: Sequence[LineChart]) -> tuple[float, float]:
    """Return a range of y that holds everything on the charts."""
    values = [level.value for chart in charts for level in chart.levels]
    for chart in charts:
        for line in chart.lines:
            for point in line.points:
                half = max(point.deviation or 0.0, point.error or 0.0)
                values += [point.y - half, point.y + half]
    low, high = padded(values, LEAST_SPAN, 0.04)
    return (max(low, 0.0) if min(values) >= 0 else low), high


def plain_number(value: float) -> str:
    """Return 4096 as ``4,096`` and 0.25 as ``0.25``."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def tip_of(chart: LineChart, line: Line, point: Point) -> str:
    """Say in words what a point is."""
    parts = [f"{line.name}: {number(point.y, 3)}"]
    if point.error is not None:
        parts.append(f"\N{PLUS-MINUS SIGN} {point.error:.3f} s.e.")
    if point.deviation is not None:
        parts.append(f"(s.d. {point.deviation:.3f} over {point.n_seeds} seeds)")
    x = plain_number(point.x) if chart.log2 else number(point.x, decimals([point.x]))
    return f"{' '.join(parts)}; {chart.x_label} {x}"


def draw_lines(
    chart: LineChart, width: float, height: float, y_range: tuple[float, float] | None = None
) -> str:
    """Draw lines, with their names at their ends.

    Parameters
    ----------
    chart : LineChart
    width, height : float
        In CSS pixels at full size.
    y_range : tuple of float, optional
        For charts that share an axis.

    Returns
    -------
    str
        SVG.
    """
    values = [point.x for line in chart.lines for point in line.points]
    scale: Scale = scale_log2(values) if chart.log2 else float
    low, high = scale(min(values)), scale(max(values))
    if low == high:
        low, high = low - 1, high + 1
    bounds = y_range or value_range([chart])
    ticks = linear_ticks(*bounds, most=max(3, round(height / 55)))
    left = 14 + max(text_width(number(tick, decimals(ticks)), 12) for tick in ticks)
    widths = [text_width(line.name, LABEL, bold=True) for line in chart.lines]
    widths += [text_width(level.name, LABEL - 1) for level in chart.levels]
    room = min(max(widths), NAMES * width)
    right = width - room - 13
    pad = (high - low) * 0.03
    area = Area(left, right, 34, height - 44, (low - pad, high + pad), bounds)
    root = new_drawing(width, height, _label(chart))
    vertical_ticks(root, area, ticks, chart.y_label)
    horizontal_ticks(root, area, _x_ticks(chart, values, scale), chart.x_label)
    ends: list[_End] = []
    for level in chart.levels:
        y = area.at_y(level.value)
        group = add(root, "g", class_="level", style=ink(LEVEL))
        add(group, "line", x1=area.left, x2=area.right, y1=y, y2=y, class_="dash")
        add(group, "title", f"{level.name}: {number(level.value, 3)}")
        ends.append(_End(level.name, ink(LEVEL), "label quiet", area.right, y))
    styles = styles_of([line.name for line in chart.lines])
    drawn = []
    for line, style in zip(chart.lines, styles, strict=True):
        group = add(root, "g", class_="series", style=ink(style))
        places = [(area.at_x(scale(p.x)), area.at_y(p.y)) for p in line.points]
        _band(group, area, line, scale)
        drawn.append((group, line, style, places))
        ends.append(_End(line.name, ink(style), "label", *places[-1]))
    for place, (group, line, style, places) in enumerate(drawn):
        path = path_of(places)
        add(group, "path", d=path, class_="line", stroke_dasharray=style.dash or "none")
        aside = APART * (place - (len(drawn) - 1) / 2)
        _whisker(group, area, line.points[-1], places[-1][0] + aside)
        step = 1 if chart.marks else max(1, len(places) // GHOSTS)
        for point, (x, y) in list(zip(line.points, places, strict=True))[::step]:
            kind = "mark" if chart.marks else "mark ghost"
            mark(group, style.marker, x, y, 4.0, tip_of(chart, line, point), kind)
    _name_ends(root, area, ends, room)
    return svg_text(root)


def _label(chart: LineChart) -> str:
    ends = "; ".join(f"{line.name} ends at {line.points[-1].y:.3f}" for line in chart.lines)
    return f"{chart.title}: {chart.y_label} against {chart.x_label}. {ends}."


def _x_ticks(chart: LineChart, values: Sequence[float], scale: Scale) -> list[tuple[float, str]]:
    if chart.log2:
        return [(scale(value), plain_number(value)) for value in sorted(set(values))]
    ticks = sorted(set(values))
    if len(ticks) > MOST_TICKS:
        ticks = linear_ticks(ticks[0], ticks[-1], 6)
    return [(tick, number(tick, decimals(ticks))) for tick in ticks]


def _band(group: Element, area: Area, line: Line, scale: Scale) -> None:
    spans = [(scale(p.x), p.y, p.deviation) for p in line.points if p.deviation is not None]
    if len(spans) < 2:
        return
    upper = [(area.at_x(x), area.at_y(y + d)) for x, y, d in spans]
    lower = [(area.at_x(x), area.at_y(y - d)) for x, y, d in spans]
    add(group, "path", d=path_of(upper + lower[::-1], closed=True), class_="band")


def _whisker(group: Element, area: Area, point: Point, x: float) -> None:
    if point.error is None:
        return
    top, bottom = (area.at_y(point.y + sign * point.error) for sign in (1, -1))
    add(group, "path", d=f"M{x - 3:.1f} {top:.1f}h6m-3 0V{bottom:.1f}m-3 0h6", class_="whisker")


class _End(NamedTuple):
    """Where a line ends, and how its name is written."""

    name: str
    style: str
    class_: str
    x: float
    y: float


def _name_ends(root: Element, area: Area, ends: list[_End], room: float) -> None:
    """Write each name at the end of its line, with a thread to it if it had to move."""
    places = spread([end.y for end in ends], LABEL + 3, area.top, area.bottom - 2)
    x = area.right + 12
    for end, y in zip(ends, places, strict=True):
        group = add(root, "g", style=end.style, class_="name")
        if abs(y - end.y) > 3 or x - end.x > 25:
            path = f"M{end.x + 5:.1f} {end.y:.1f}L{x - 3:.1f} {y:.1f}"
            add(group, "path", d=path, class_="thread")
        named = end.class_ == "label"
        name = shortened(end.name, room, LABEL if named else LABEL - 1, bold=named)
        add(group, "text", name, x=x, y=y + 4.5, class_=end.class_)
