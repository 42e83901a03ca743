"""What a report shows, independent of where the numbers come from and of how they are drawn."""

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
    "ChoiceRow",
    "DotPlot",
    "DotRow",
    "Forest",
    "Interval",
    "ItemRow",
    "Level",
    "Line",
    "LineChart",
    "Point",
    "ReliabilityChart",
    "Report",
    "Section",
    "mean_points",
]


def _check_finite(what: str, values: Iterable[float | None]) -> None:
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
        _check_finite("a point", (self.x, self.y, self.deviation, self.error))


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
        _check_finite(f"the level {self.name!r}", (self.value,))


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
        _check_finite(f"the comparison {self.name!r}", values)


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
        _check_finite(f"the row {self.name!r}", (self.mean, self.error, *self.values))


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
        _check_finite("a bin", (self.confidence, self.accuracy))


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
        _check_finite(f"the bar {self.name!r}", (self.value,))


@dataclass(frozen=True)
class BarChart:
    """Shares side by side."""

    title: str
    x_label: str
    y_label: str
    bars: tuple[Bar, ...]
    caption: str = ""


@dataclass(frozen=True)
class ChoiceRow:
    """One choice of an item, with what each of its tokens adds to the score.

    Attributes
    ----------
    text : str
    score : float
        In nats (per unit of length, if scores are normalized).
    probability : float
    tokens : tuple of str
        They join to the text that was scored. May be empty.
    ratios : tuple of float
        One for each token, in nats.
    """

    text: str
    score: float
    probability: float
    tokens: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_finite(f"the choice {self.text!r}", (self.score, self.probability, *self.ratios))
        if len(self.tokens) != len(self.ratios):
            raise LikraError(
                f"got {len(self.tokens)} tokens and {len(self.ratios)} ratios for {self.text!r}; "
                "give one ratio for each token"
            )


@dataclass(frozen=True)
class ItemRow:
    """One item as it was answered.

    Attributes
    ----------
    id : str
    question : str
    choices : tuple of ChoiceRow
    answer : int
        Index of the right choice.
    base_prediction : int
        What the model chooses without examples, by scores of the same normalization.
    context : str
    """

    id: str
    question: str
    choices: tuple[ChoiceRow, ...]
    answer: int
    base_prediction: int
    context: str = ""

    @property
    def prediction(self) -> int:
        """The choice with the highest score; the first of equals."""
        return max(range(len(self.choices)), key=lambda i: self.choices[i].score)

    @property
    def margin(self) -> float:
        """How far the first choice's score is ahead of the second's, in the unit of scores."""
        first, second = sorted((row.score for row in self.choices), reverse=True)[:2]
        return first - second


Chart = LineChart | Forest | DotPlot | ReliabilityChart | BarChart


@dataclass(frozen=True)
class Section:
    """Charts under one heading.

    Attributes
    ----------
    title : str
    text : str
        A sentence or two on what is asked.
    charts : tuple
        Line charts with the same y label share their y axis.
    """

    title: str
    text: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Report:
    """Everything on one page; what is empty or None is left out.

    Attributes
    ----------
    title : str
    subtitle : str
        Which items, which model, how often.
    sentences : tuple of str
        What was found, in plain words, the most important first.
    command : str
        What repeats it.
    setup : tuple of (str, str)
        Names and values: model, items, sizes, seeds, versions, checksums.
    curve : LineChart or None
        The learning curve.
    controls : tuple of LineChart
        A chart per mode: with the question, without it, with a wrong one.
    paper : LineChart or None
        The paper's own curve, on other data.
    comparisons : Forest or None
    kinds : tuple of DotPlot
        Kinds of negatives, a plot per mode.
    sweeps : tuple of LineChart
        Alpha, share of contamination, number of negatives.
    trajectories : tuple of LineChart
        Mean log-likelihoods, a chart per head.
    calibration : tuple of ReliabilityChart
    abstention : LineChart or None
        Risk against coverage.
    set_sizes : BarChart or None
        Of conformal prediction sets.
    items : tuple of ItemRow
    decision : str
        How the items were answered: mode, alpha, examples, seed.
    """

    title: str
    subtitle: str = ""
    sentences: tuple[str, ...] = ()
    command: str = ""
    setup: tuple[tuple[str, str], ...] = ()
    curve: LineChart | None = None
    controls: tuple[LineChart, ...] = ()
    paper: LineChart | None = None
    comparisons: Forest | None = None
    kinds: tuple[DotPlot, ...] = ()
    sweeps: tuple[LineChart, ...] = ()
    trajectories: tuple[LineChart, ...] = ()
    calibration: tuple[ReliabilityChart, ...] = ()
    abstention: LineChart | None = None
    set_sizes: BarChart | None = None
    items: tuple[ItemRow, ...] = ()
    decision: str = ""

    @property
    def sections(self) -> tuple[Section, ...]:
        """The charts in the order in which they are read, under headings."""
        found = []
        for title, text, charts in _SECTIONS:
            shown: list[Chart] = []
            for name in charts:
                value = getattr(self, name)
                shown += value if isinstance(value, tuple) else [] if value is None else [value]
            if shown:
                found.append(Section(title, text, tuple(shown)))
        return tuple(found)


_SECTIONS = (
    (
        "Learning curve",
        "How many test questions are answered right after fitting on so many examples. An example "
        "is a question with its right answer and one wrong answer.",
        ("curve",),
    ),
    (
        "Does it need the question?",
        "Wrong answers may have a style of their own. Heads that are fitted and tested with the "
        "question hidden, or with the questions shuffled among the items, can only use that "
        "style; what they lose is what was learned about questions.",
        ("controls",),
    ),
    (
        "The paper, for comparison",
        "Other questions and another model, of seven billion parameters: compare the shapes of "
        "the curves, not their heights.",
        ("paper",),
    ),
    (
        "Paired comparisons",
        "Both modes answer the same test questions, so that the luck of the questions cancels. An "
        "interval holds for one comparison by itself; the p-values are corrected for their number, "
        "and tell which differences are real.",
        ("comparisons",),
    ),
    (
        "Which wrong answers teach",
        "The negative head learns a different kind of wrong answers each time.",
        ("kinds",),
    ),
    ("What the settings do", "", ("sweeps",)),
    (
        "What happens to the likelihoods",
        "The mean log-likelihood of test answers under each fitted head, and how far it is from "
        "the model as it is, which stands at 0 examples. What is to be learned is a gap between "
        "right answers and near-misses.",
        ("trajectories",),
    ),
    (
        "Can the probabilities be trusted?",
        "Of the answers given with probability .7, seven in ten should be right: points on the "
        "diagonal. A temperature that was fitted on held-out answers moves them there.",
        ("calibration",),
    ),
    (
        "Knowing when not to answer",
        "What is gained by leaving out the questions with the least certain answers, and how many "
        "choices a set must hold to contain the right one.",
        ("abstention", "set_sizes"),
    ),
)
