"""Tables and sentences as text, no wider than a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

__all__ = ["WIDTH", "layout", "wrapped"]

WIDTH = 80  # characters of a line
GAP = "  "


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


def wrapped(sentence: str) -> str:
    """Return a sentence in lines of :data:`WIDTH` characters, all but the first indented."""
    return textwrap.fill(sentence, WIDTH, subsequent_indent="  ")
