"""The plot area shared by all drawings: margins, grid, ticks and axis titles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from .drawing import Element, add, shortened, text_width
from .scales import decimals, number

__all__ = ["Area", "category_ticks", "horizontal_ticks", "vertical_ticks"]

TICK = 12.0  # font size


@dataclass(frozen=True)
class Area:
    """A rectangle of a drawing and the values at its edges.

    Attributes
    ----------
    left, right, top, bottom : float
        In the drawing's units.
    x, y : tuple of float
        Values at left and right, and at bottom and top.
    """

    left: float
    right: float
    top: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        """Return where a value of x is."""
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        """Return where a value of y is."""
        low, high = self.y
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)


def vertical_ticks(parent: Element, area: Area, ticks: Sequence[float], label: str) -> None:
    """Draw a grid line and a number for each tick of y, and the axis title above them."""
    places = decimals(ticks)
    for tick in ticks:
        y = area.at_y(tick)
        add(parent, "line", class_="grid", x1=area.left, x2=area.right, y1=y, y2=y)
        add(parent, "text", number(tick, places), class_="tick end", x=area.left - 7, y=y + 4)
    text = shortened(label, area.right - 2)
    add(parent, "text", text, class_="axis", x=2, y=area.top - 14)


def horizontal_ticks(
    parent: Element, area: Area, ticks: Sequence[tuple[float, str]], label: str
) -> None:
    """Draw the x axis; where numbers would touch, every second or third is written."""
    add(parent, "line", class_="base", x1=area.left, x2=area.right, y1=area.bottom, y2=area.bottom)
    written = set(_apart(area, ticks))
    for place, (value, text) in enumerate(ticks):
        x = area.at_x(value)
        add(parent, "line", class_="base", x1=x, x2=x, y1=area.bottom, y2=area.bottom + 4)
        if place in written:
            add(parent, "text", text, class_="tick middle", x=x, y=area.bottom + 18)
    _title(parent, area, label)


def _title(parent: Element, area: Area, label: str) -> None:
    middle = (area.left + area.right) / 2
    text = shortened(label, 2 * min(middle, area.right - area.left))
    add(parent, "text", text, class_="axis middle", x=middle, y=area.bottom + 37)


def _apart(area: Area, ticks: Sequence[tuple[float, str]]) -> list[int]:
    """Return which numbers to write: the last, and back from it in equal steps."""
    spans = [(area.at_x(value), text_width(text, TICK) / 2) for value, text in ticks]
    for step in range(1, len(ticks)):
        places = list(range(len(ticks) - 1, -1, -step))
        pairs = ((spans[one], spans[other]) for one, other in itertools.pairwise(places))
        if all(x - half - 5 >= y + other for (x, half), (y, other) in pairs):
            return places
    return [len(ticks) - 1]


def category_ticks(parent: Element, area: Area, names: Sequence[str], label: str) -> list[float]:
    """Draw an x axis of names and return the middle of each."""
    step = (area.right - area.left) / len(names)
    middles = [area.left + (place + 0.5) * step for place in range(len(names))]
    add(parent, "line", class_="base", x1=area.left, x2=area.right, y1=area.bottom, y2=area.bottom)
    for x, name in zip(middles, names, strict=True):
        add(
            parent, "text", shortened(name, step - 4), class_="tick middle", x=x, y=area.bottom + 18
        )
    _title(parent, area, label)
    return middles
