"""Progress of long work, on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Pace", "announce", "on_terminal", "progress_bar"]

SELDOM = 10.0  # seconds between two lines of a log


def on_terminal() -> bool:
    """Return whether stderr is a terminal: where nobody asks for progress, others are spared it."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress_bar(total: int | None, description: str, show: bool, unit: str = "item") -> Any:
    """Return a tqdm bar that appears after two seconds: on a terminal, in a notebook, in a log.

    Parameters
    ----------
    total : int or None
        Number of units, if known.
    description : str
    show : bool
        False for a bar that never appears.
    unit : str
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        delay=2,
        mininterval=0.1 if on_terminal() or _in_notebook() else SELDOM,
        disable=not show or sys.stderr is None,
        leave=False,
    )


def _in_notebook() -> bool:
    """Return whether what is written to stderr appears under a cell of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


def announce(line: str, show: bool) -> None:
    """Tell how long work goes, above the bars.

    Parameters
    ----------
    line : str
    show : bool
        False for nothing.
    """
    if show and sys.stderr is not None:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)


class Pace:
    """Tells once how long work will go on, from the pace of its first steps.

    Parameters
    ----------
    total : int
        Number of units of the whole work, about.
    what : str
        What is done, for the line.
    show : bool
        False for no line.
    """

    MEASURED = 16  # units that tell the pace

    def __init__(self, total: int, what: str, show: bool) -> None:
        self.total, self.what, self.show = total, what, show
        self.done = 0
        self._first: tuple[float, int] | None = None  # when, and how much was done
        self._told = False

    def advance(self, count: int) -> None:
        """Take in that some more units are done."""
        now = time.monotonic()
        self.done += count
        if self._first is None:  # the first step warms up, and a resumed work begins with a jump
            self._first = now, self.done
            return
        start, before = self._first
        if not self._told and self.done - before >= self.MEASURED:
            self._told = True
            left = (now - start) / (self.done - before) * max(0, self.total - self.done)
            announce(f"{self.what}: {duration(left)} to go", self.show)


def duration(seconds: float) -> str:
    """Return ``about 40 s``, ``about 5 min`` or ``about 3 h``."""
    if seconds < 100:
        return f"about {seconds:.0f} s"
    if seconds < 100 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.0f} h"
