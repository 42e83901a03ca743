"""The contents of a report, wherever they come from: sections of charts, and items."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import LikraError
from .charts import BarChart, Chart, DotPlot, Forest, LineChart, ReliabilityChart, check_finite

__all__ = ["ChoiceRow", "ItemRow", "Report", "Section"]


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
        check_finite(f"the choice {self.text!r}", (self.score, self.probability, *self.ratios))
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
