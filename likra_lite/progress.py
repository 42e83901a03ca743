"""Progress of long work, on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

__all__ = ["Pace", "announce", "progress_bar"]

FIRST, SELDOM = 20.0, 60.0  # seconds to the first line in a log, and between two


def progress_bar(total: int | None, description: str, show: bool = True, unit: str = "item") -> Any:
    """Return a tqdm bar that appears after two seconds; in a log, a plain line a minute.

    Parameters
    ----------
    total : int or None
        Number of units, if known.
    description : str
    show : bool, default=True
        False for a bar that never appears.
    unit : str
    """
    if show and sys.stderr is not None and not (sys.stderr.isatty() or _in_notebook()):
        return LogLines(total, description, unit)
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        delay=2,
        disable=not show or sys.stderr is None,
        leave=False,
    )


def _in_notebook() -> bool:
    """Return whether what is written to stderr appears under a cell of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


class LogLines:
    """What stands for a bar in a log: a line now and then, and none about short work.

    Parameters
    ----------
    total : int or None
    description, unit : str
    """

    def __init__(self, total: int | None, description: str, unit: str) -> None:
        self.total, self.description, self.unit = total, description, unit
        self.done = 0
        self._next = time.monotonic() + FIRST
        self._first: tuple[float, int] | None = None  # when the first step ended, and its units

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def set_description(self, description: str) -> None:
        """Tell what is done now."""
        self.description = description

    def update(self, count: int = 1) -> None:
        """Take in that some more units are done, and write a line if it is time."""
        self.done += count
        now = time.monotonic()
        self._first = self._first or (now, self.done)
        if now < self._next or not self.done:
            return
        self._next = now + SELDOM
        line = f"{self.description}: {self.done:,}"
        if self.total is not None:
            line += f" of {self.total:,}"
        line += f" {self.unit}s"
        start, before = self._first
        if self.total is not None and self.done > before:
            left = (now - start) / (self.done - before) * max(0, self.total - self.done)
            line += f", {duration(left)} to go"
        announce(line)


def announce(line: str, show: bool = True) -> None:
    """Tell how long work goes, above the bars.

    Parameters
    ----------
    line : str
    show : bool, default=True
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
