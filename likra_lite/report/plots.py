"""Dots, intervals, reliability diagrams and bars as SVG."""

from __future__ import annotations

from .axes import Area, category_ticks, horizontal_ticks, vertical_ticks
from .charts import BarChart, DotPlot, Forest, Interval, ReliabilityChart
from .drawing import Element, add, ink, mark, new_drawing, shortened, svg_text, text_width
from .scales import decimals, linear_ticks, number, padded, spread
from .styles import LEVEL, STYLES, Style, styles_of

__all__ = ["draw_bars", "draw_dots", "draw_forest", "draw_reliability", "p_value", "points"]

ROW, GROUP = 26.0, 30.0  # heights
NAMES = 0.4  # share of the width that names may take
NARROW = 480.0  # below this width, names stand above their intervals


def points(value: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    text = number(100 * value, 1)
    return text if value < 0 or float(f"{100 * value:.1f}") == 0 else f"+{text}"


def p_value(value: float) -> str:
    """Return ``p = .032``, ``p < .001`` or ``p = 1``."""
    if value < 0.001:
        return "p < .001"
    text = f"{value:.3f}"
    return "p = 1" if text == "1.000" else f"p = {text.removeprefix('0')}"


def _words(row: Interval) -> str:
    text = f"{points(row.difference)} [{points(row.low)}, {points(row.high)}]"
    return text if row.p_value is None else f"{text}  {p_value(row.p_value)}"


def draw_forest(forest: Forest, width: float) -> str:
    """Draw paired differences as dots with intervals around a line at zero."""
    rows = forest.intervals
    groups = list(dict.fromkeys(row.group for row in rows))
    narrow = width < NARROW
    row_height = 44.0 if narrow else ROW
    height = GROUP * sum(bool(group) for group in groups) + row_height * len(rows) + 56
    edges = [100 * edge for row in rows for edge in (row.low, row.high)]
    bounds = padded([*edges, 0.0], 2.0, 0.05)
    left, right = 8.0, width - 8.0
    if not narrow:
        left += min(max(text_width(row.name, 13) for row in rows), NAMES * width) + 16
        right -= max(text_width(_words(row), 12) for row in rows) + 8
    area = Area(left, right, 8, height - 46, bounds, (0, 1))
    label = "; ".join(f"{row.group} {row.name} {_words(row)}" for row in rows)
    root = new_drawing(width, height, f"{forest.title}. {label}")
    ticks = linear_ticks(*bounds, most=6)
    places = decimals(ticks)
    for tick in ticks:
        x = area.at_x(tick)
        kind = "zero" if tick == 0 else "grid"
        add(root, "line", class_=kind, x1=x, x2=x, y1=area.top, y2=area.bottom)
    texts = [(t, ("+" if t > 0 else "") + number(t, places)) for t in ticks]
    horizontal_ticks(root, area, texts, "percentage points")
    y = area.top
    for group in groups:
        if group:
            name = shortened(group, width - 8, 13, bold=True)
            add(root, "text", name, class_="group", x=2, y=y + 20)
            y += GROUP
        for row in rows:
            if row.group == group:
                _interval(root, area, row, y, width, narrow)
                y += row_height
    return svg_text(root)


def _interval(
    root: Element, area: Area, row: Interval, top: float, width: float, narrow: bool
) -> None:
    mode = row.name.split(" ")[0]
    style = STYLES.get(mode, LEVEL)
    group = add(root, "g", class_="series", style=ink(style))
    y = top + (31 if narrow else ROW / 2)
    low, high, middle = (area.at_x(100 * v) for v in (row.low, row.high, row.difference))
    add(group, "line", class_="span", x1=low, x2=high, y1=y, y2=y)
    mark(group, style.marker, middle, y, 4.5, f"{row.group} {row.name}: {_words(row)}")
    text_y = top + 17 if narrow else y + 4
    words = points(row.difference) if narrow else _words(row)
    if narrow and row.p_value is not None:
        words += f"  {p_value(row.p_value)}"
    name = shortened(row.name, NAMES * width, 13)
    add(root, "text", name, class_="row", x=2 if narrow else 8, y=text_y)
    add(root, "text", words, class_="tick end", x=width - 2, y=text_y)


def draw_dots(plot: DotPlot, width: float) -> str:
    """Draw a large dot for each mean, small ones for its seeds, and a whisker of testing."""
    rows = sorted(plot.rows, key=lambda row: -row.mean)
    height = 34 + ROW * len(rows) + 50
    everything = [v for row in rows for v in row.values]
    for row in rows:
        everything += [row.mean - (row.error or 0.0), row.mean + (row.error or 0.0)]
    everything += [level.value for level in plot.levels]
    bounds = padded(everything, 0.1, 0.08)
    room = min(max(text_width(row.name, 13) for row in rows), NAMES * width)
    left = 18 + room
    area = Area(left, width - 48, 34, height - 46, bounds, (0, 1))
    style = STYLES.get(plot.series, LEVEL)
    listed = "; ".join(f"{row.name} {row.mean:.3f}" for row in rows)
    root = new_drawing(width, height, f"{plot.title}: {listed}")
    ticks = linear_ticks(*bounds, most=max(3, round((area.right - area.left) / 60)))
    for tick in ticks:
        x = area.at_x(tick)
        add(root, "line", class_="grid", x1=x, x2=x, y1=area.top, y2=area.bottom)
    places = decimals(ticks)
    horizontal_ticks(root, area, [(t, number(t, places)) for t in ticks], plot.x_label)
    _upright_levels(root, area, plot, width)
    for index, row in enumerate(rows):
        y = area.top + ROW * (index + 0.5)
        group = add(root, "g", class_="series", style=ink(style))
        add(root, "text", shortened(row.name, room, 13), class_="row", x=2, y=y + 4.5)
        if row.error is not None:
            ends = [area.at_x(row.mean + sign * row.error) for sign in (-1, 1)]
            add(group, "line", class_="span", x1=ends[0], x2=ends[1], y1=y, y2=y)
        tip = f"{row.name}: {row.mean:.3f}"
        if row.error is not None:
            tip += f" \N{PLUS-MINUS SIGN} {row.error:.3f} s.e."
        for value in row.values:
            add(group, "circle", class_="seed", cx=area.at_x(value), cy=y, r=2.6)
        if row.values:
            tip += "; seeds " + ", ".join(f"{value:.3f}" for value in row.values)
        mark(group, style.marker, area.at_x(row.mean), y, 5, tip)
        add(root, "text", f"{row.mean:.3f}", class_="tick end", x=width - 2, y=y + 4)
    return svg_text(root)


def _upright_levels(root: Element, area: Area, plot: DotPlot, width: float) -> None:
    levels = sorted(plot.levels, key=lambda level: level.value)
    wanted = [area.at_x(level.value) for level in levels]
    names = [shortened(level.name, width / max(len(levels), 1) - 8, 12) for level in levels]
    gap = max((text_width(name, 12) for name in names), default=0.0) + 6
    places = spread(wanted, gap, gap / 2, width - gap / 2)
    for level, name, x, place in zip(levels, names, wanted, places, strict=True):
        group = add(root, "g", class_="level", style=ink(LEVEL))
        add(group, "line", class_="dash", x1=x, x2=x, y1=area.top, y2=area.bottom)
        add(group, "path", class_="thread", d=f"M{place:.1f} {area.top - 12}L{x:.1f} {area.top}")
        add(group, "text", name, class_="label small middle", x=place, y=area.top - 16)
        add(group, "title", f"{level.name}: {level.value:.3f}")


def draw_reliability(chart: ReliabilityChart, width: float) -> str:
    """Draw accuracy against confidence, and below it how many answers each bin holds."""
    counts = [b.count for b in chart.bins]
    height = width + 30
    side = height - 44 - 62
    area = Area(46, width - 12, 34, side, (0, 1), (0, 1))
    style = styles_of(["likra"])[0]
    label = ", ".join(f"{b.accuracy:.2f} right at {b.confidence:.2f}" for b in chart.bins)
    root = new_drawing(width, height, f"{chart.title}: {label}")
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    vertical_ticks(root, area, ticks, "share right")
    add(root, "line", class_="level dash", style=ink(LEVEL), x1=area.left, y1=area.bottom,
        x2=area.right, y2=area.top)  # fmt: skip
    ece = f"expected calibration error {chart.calibration_error:.3f}"
    add(root, "text", ece, class_="axis end", x=area.right, y=area.top - 14)
    group = add(root, "g", class_="series", style=ink(style))
    floor = height - 44
    for b in chart.bins:
        x, y = area.at_x(b.confidence), area.at_y(b.accuracy)
        tall = (floor - area.bottom - 16) * b.count / max(counts)
        add(group, "line", class_="gap", x1=x, x2=x, y1=y, y2=area.at_y(b.confidence))
        add(group, "rect", class_="bar", x=x - 6, width=12, y=floor - tall, height=tall)
        tip = f"{b.count} answers with probability {b.confidence:.2f}: {b.accuracy:.2f} right"
        mark(group, style.marker, x, y, 4.5, tip)
    _counts(root, area, chart, floor)
    below = Area(area.left, area.right, area.bottom, floor, (0, 1), (0, 1))
    horizontal_ticks(root, below, [(t, f"{t:.1f}") for t in ticks], "probability of the answer")
    return svg_text(root)


def _counts(root: Element, area: Area, chart: ReliabilityChart, floor: float) -> None:
    """Write the bins' counts where they do not touch; the table has them all."""
    most, free = max(b.count for b in chart.bins), -1e9
    for b in chart.bins:
        x, text = area.at_x(b.confidence), f"{b.count:,}"
        half = text_width(text, 10) / 2
        if x - half > free:
            top = floor - (floor - area.bottom - 16) * b.count / most
            add(root, "text", text, class_="count middle", x=x, y=top - 3)
            free = x + half + 3


def draw_bars(chart: BarChart, width: float) -> str:
    """Draw upright bars with their values on top."""
    height = 280.0
    top = max(bar.value for bar in chart.bars)
    bounds = (0.0, max(top * 1.12, 0.1))
    area = Area(46, width - 12, 34, height - 44, (0, 1), bounds)
    listed = "; ".join(f"{bar.name}: {bar.value:.3f}" for bar in chart.bars)
    root = new_drawing(width, height, f"{chart.title}. {listed}")
    vertical_ticks(root, area, linear_ticks(*bounds, most=5), chart.y_label)
    middles = category_ticks(root, area, [bar.name for bar in chart.bars], chart.x_label)
    style: Style = styles_of(["likra"])[0]
    group = add(root, "g", class_="series", style=ink(style))
    half = min(28.0, 0.36 * (area.right - area.left) / len(chart.bars))
    for bar, x in zip(chart.bars, middles, strict=True):
        y = area.at_y(bar.value)
        element = add(
            group, "rect", class_="bar mark", x=x - half, width=2 * half, y=y,
            height=area.bottom - y,
        )  # fmt: skip
        add(element, "title", f"{bar.name}: {bar.value:.3f}")
        add(root, "text", f"{bar.value:.2f}", class_="tick middle", x=x, y=y - 6)
    return svg_text(root)
