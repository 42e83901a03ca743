"""Charts as data: lines, intervals, dots, bins and bars, independent of how they are drawn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import LikraError

__all__ = [
    "Bar",
    "BarChart",
    "Bin",
    "Chart",
    "DotPlot",
    "DotRow",
    "Forest",
    "Interval",
    "Level",
    "Line",
    "LineChart",
    "Point",
    "ReliabilityChart",
    "check_finite",
    "mean_points",
]


def check_finite(what: str, values: Iterable[float | None]) -> None:
    """Raise LikraError if a value is not a number; None is none."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise LikraError(f"got {value} in {what}; leave out what was not measured")


@dataclass(frozen=True)
class Point:
    """One point of a line.

    Attributes
    ----------
    x, y : float
        `y` is the mean over seeds.
    deviation : float or None
        Standard deviation over seeds, drawn as a band; None for a single seed.
    error : float or None
        Standard error of testing, drawn as a whisker on the last point of a line.
    n_seeds : int
    """

    x: float
    y: float
    deviation: float | None = None
    error: float | None = None
    n_seeds: int = 1

    def __post_init__(self) -> None:
        check_finite("a point", (self.x, self.y, self.deviation, self.error))


def mean_points(
    values: Mapping[float, Sequence[float]], errors: Mapping[float, Sequence[float]] | None = None
) -> tuple[Point, ...]:
    """Return a point for every x, from the values that the seeds gave.

    Parameters
    ----------
    values : mapping of float to sequence of float
        By x, one value for each seed.
    errors : mapping of float to sequence of float, optional
        Their standard errors of testing; a point gets their root mean square.

    Returns
    -------
    tuple of Point
        Ordered by x.
    """
    points = []
    for x, found in sorted(values.items()):
        given = errors[x] if errors else ()
        points.append(
            Point(
                float(x),
                statistics.fmean(found),
                statistics.stdev(found) if len(found) > 1 else None,
                math.sqrt(statistics.fmean(e * e for e in given)) if given else None,
                len(found),
            )
        )
    return tuple(points)


@dataclass(frozen=True)
class Line:
    """A named line; its name decides how it is drawn, see :mod:`likra_lite.report.styles`."""

    name: str
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise LikraError(f"got a line {self.name!r} without points; leave it out")


@dataclass(frozen=True)
class Level:
    """A value that does not depend on x: chance, or a model without examples."""

    name: str
    value: float

    def __post_init__(self) -> None:
        check_finite(f"the level {self.name!r}", (self.value,))


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis.

    Attributes
    ----------
    title : str
    x_label, y_label : str
    lines : tuple of Line
    levels : tuple of Level
    caption : str
        What is drawn, in words: items, seeds, and what the bands are.
    log2 : bool
        Whether x doubles from one tick to the next; x = 0 then stands before the first.
    marks : bool
        Whether points are marked; a curve of hundreds of points is better without.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    caption: str = ""
    log2: bool = True
    marks: bool = True

    def __post_init__(self) -> None:
        if not self.lines:
            raise LikraError(f"got a chart {self.title!r} without lines; leave it out")


@dataclass(frozen=True)
class Interval:
    """A paired difference of two accuracies, with its interval.

    Attributes
    ----------
    group : str
        Rows of one group stand together under its name.
    name : str
    difference, low, high : float
        As shares, not in percent.
    p_value : float or None
        After correction for the number of comparisons.
    """

    group: str
    name: str
    difference: float
    low: float
    high: float
    p_value: float | None = None

    def __post_init__(self) -> None:
        values = (self.difference, self.low, self.high, self.p_value)
        check_finite(f"the comparison {self.name!r}", values)


@dataclass(frozen=True)
class Forest:
    """Paired differences, one below the other."""

    title: str
    intervals: tuple[Interval, ...]
    caption: str = ""


@dataclass(frozen=True)
class DotRow:
    """A named mean with what it is a mean of.

    Attributes
    ----------
    name : str
    mean : float
    values : tuple of float
        One for each seed.
    error : float or None
        Standard error of testing.
    """

    name: str
    mean: float
    values: tuple[float, ...] = ()
    error: float | None = None

    def __post_init__(self) -> None:
        check_finite(f"the row {self.name!r}", (self.mean, self.error, *self.values))


@dataclass(frozen=True)
class DotPlot:
    """Named means on one axis, the largest at the top.

    Attributes
    ----------
    title : str
    series : str
        A mode, which decides how the dots are drawn.
    x_label : str
    rows : tuple of DotRow
    levels : tuple of Level
    caption : str
    """

    title: str
    series: str
    x_label: str
    rows: tuple[DotRow, ...]
    levels: tuple[Level, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, accuracy and number."""

    confidence: float
    accuracy: float
    count: int

    def __post_init__(self) -> None:
        check_finite("a bin", (self.confidence, self.accuracy))


@dataclass(frozen=True)
class ReliabilityChart:
    """A reliability diagram.

    Attributes
    ----------
    title : str
    bins : tuple of Bin
        Those that hold predictions.
    calibration_error : float
        The expected calibration error over these bins (Guo et al. 2017).
    caption : str
    """

    title: str
    bins: tuple[Bin, ...]
    calibration_error: float
    caption: str = ""


@dataclass(frozen=True)
class Bar:
    """A named share."""

    name: str
    value: float

    def __post_init__(self) -> None:
        check_finite(f"the bar {self.name!r}", (self.value,))


@dataclass(frozen=True)
class BarChart:
    """Shares side by side."""

    title: str
    x_label: str
    y_label: str
    bars: tuple[Bar, ...]
    caption: str = ""


Chart = LineChart | Forest | DotPlot | ReliabilityChart | BarChart
