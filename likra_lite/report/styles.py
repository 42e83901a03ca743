"""How each series is drawn, in every chart: colour, lightness, marker and dash all differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LEVEL", "STYLES", "Style", "styles_of"]


class Style(NamedTuple):
    """Look of one series.

    Attributes
    ----------
    light, dark : str
        Colour on a light and on a dark page.
    marker : str
        ``circle``, ``square``, ``triangle``, ``down``, ``diamond`` or ``cross``.
    dash : str
        Lengths of dashes and gaps as in SVG, empty for a solid line.
    """

    light: str
    dark: str
    marker: str
    dash: str = ""


# Dark to light on paper, light to dark on a screen: the order survives a grey printer. Blue,
# orange, green and violet of these lightnesses stay apart for red-green blind readers.
_CYCLE = (
    Style("#0b4f9e", "#8cc4ff", "circle"),
    Style("#b84208", "#ffa36b", "square"),
    Style("#0a7f60", "#4cc198", "triangle", "7 3"),
    Style("#8e61b5", "#bf97e6", "down", "2 3"),
    Style("#826c0e", "#d9bd45", "diamond", "8 3 2 3"),
    Style("#6a7682", "#9aa5b1", "cross", "4 4"),
)
_PLACE = {
    "likra": 0,
    "base-likra": 1,
    "sft": 2,
    "pos-base": 3,
    "pmi": 4,
    "base": 5,
    "question shown": 0,
    "answer only": 1,
    "shuffled": 4,
    "right": 0,
    "near-miss": 1,
    "tempting": 1,
    "wrong": 1,
    "mentioned": 2,
    "other question": 2,
    "unrelated": 3,
}
STYLES = {name: _CYCLE[place] for name, place in _PLACE.items()}
LEVEL = Style("#6b7480", "#98a2ae", "cross", "3 3")


def styles_of(names: Sequence[str]) -> list[Style]:
    """Return a style for each series of a chart: known names keep theirs, others get a free one."""
    taken = [STYLES[name] for name in names if name in STYLES]
    free = iter([style for style in _CYCLE if style not in taken] or _CYCLE)
    chosen = []
    for name in names:
        style = STYLES.get(name) or next(free, _CYCLE[-1])
        chosen.append(style)
    return chosen
