"""Progress of long work, on stderr, for people only."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["announce", "progress_bar"]


def progress_bar(total: int | None, description: str, show: bool, unit: str = "item") -> Any:
    """Return a tqdm bar that appears after two seconds, and on a terminal only.

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
        disable=None if show else True,
        leave=False,
    )


def announce(line: str, show: bool) -> None:
    """Tell how long work goes, above the bars, if stderr is a terminal.

    Parameters
    ----------
    line : str
    show : bool
        False for nothing.
    """
    if show and sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
