"""SVG, element by element."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from .styles import Style

__all__ = [
    "add",
    "ink",
    "mark",
    "new_drawing",
    "path_of",
    "shortened",
    "svg_text",
    "text_width",
]

Element = ET.Element
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHARACTER, _BOLD = 0.56, 0.63  # mean width of a character, of the size of a sans-serif font


def text_width(text: str, size: float = 12.0, bold: bool = False) -> float:
    """Return about how wide a text is drawn."""
    return (_BOLD if bold else _CHARACTER) * size * len(text)


def shortened(text: str, room: float, size: float = 12.0, bold: bool = False) -> str:
    """Return a text that fits a room, with its end cut off if it must be."""
    if text_width(text, size, bold) <= room:
        return text
    kept = int(room / text_width("x", size, bold)) - 1
    return text[: max(kept, 1)].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def new_drawing(width: float, height: float, label: str) -> Element:
    """Return an empty drawing that names itself to a screen reader."""
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg"})
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    root.set("role", "img")
    root.set("aria-label", _clean(label))
    return root


def add(parent: Element, tag: str, text: str | None = None, **attributes: str | float) -> Element:
    """Append an element; ``class_`` stands for ``class`` and ``_`` for ``-``."""
    named = {
        name.rstrip("_").replace("_", "-"): f"{value:.1f}".removesuffix(".0")
        if isinstance(value, int | float)
        else _clean(value)
        for name, value in attributes.items()
    }
    element = ET.SubElement(parent, tag, named)
    if text is not None:
        element.text = _clean(text)
    return element


def ink(style: Style) -> str:
    """Return the CSS of a series' colour; the page's theme chooses between the two."""
    return f"--light:{style.light};--dark:{style.dark}"


def path_of(points: list[tuple[float, float]], closed: bool = False) -> str:
    """Return the path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")


_SHAPES = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
    "down": [(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    "diamond": [(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
    "cross": [(-1.0, -0.4), (-0.4, -1.0), (0.0, -0.6), (0.4, -1.0), (1.0, -0.4), (0.6, 0.0),
              (1.0, 0.4), (0.4, 1.0), (0.0, 0.6), (-0.4, 1.0), (-1.0, 0.4), (-0.6, 0.0)],
}  # fmt: skip


def mark(
    parent: Element, shape: str, x: float, y: float, size: float, tip: str, class_: str = "mark"
) -> Element:
    """Draw a marker with a tooltip."""
    if shape == "circle":
        element = add(parent, "circle", cx=x, cy=y, r=size, class_=class_)
    else:
        corners = [(x + size * dx, y + size * dy) for dx, dy in _SHAPES[shape]]
        element = add(parent, "path", d=path_of(corners, closed=True), class_=class_)
    add(element, "title", tip)
    return element


def svg_text(root: Element) -> str:
    """Return the drawing as XML."""
    return ET.tostring(root, encoding="unicode")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
