"""The jobs of the study, each with the name of the file that it leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from likra_lite.heads.fit_few import SHOWN

__all__ = ["CONTROLS", "DRAWN", "NEGATIVES", "Drawn", "Fit", "Free", "Job", "Shown"]

NEGATIVES = ("own", "hardest", "other", "unrelated")
CONTROLS = ("none", "hidden", "shuffled")
DRAWN = 256  # items of a draw, at most, that weights without heads are fitted on


@dataclass(frozen=True, order=True)
class Fit:
    """A fit of both heads.

    Attributes
    ----------
    questions : str
        Name of a set of questions.
    size : int
        Number of questions, drawn at random; of one seed, smaller within larger.
    seed : int
        Of the draw.
    negatives : str
        What the negative head learns: wrong choices of the question (a random one, or the one that
        the model finds most likely), right answers of other questions, or of another set.
    control : str
        Whether questions are hidden or exchanged, in fitting and in testing.
    """

    questions: str
    size: int
    seed: int
    negatives: str = "own"
    control: str = "none"

    @property
    def name(self) -> str:
        """What the files of the fit are called."""
        return f"{self.questions}/{self.control}-{self.negatives}-{self.size}-{self.seed}"

    @property
    def plain(self) -> Fit:
        """The fit whose positive head is that of this one."""
        return replace(self, negatives="own")


@dataclass(frozen=True)
class Free:
    """Test items, and answers from elsewhere, under the model as it is."""

    questions: str
    control: str = "none"

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.questions}/{self.control}-free"


@dataclass(frozen=True)
class Drawn:
    """The first items of a draw under the model as it is: for weights without heads.

    Attributes
    ----------
    questions : str
    seed : int
    shown : bool
        Of a draw too small for heads: behind the first of its items and their answers.
    """

    questions: str
    seed: int
    shown: bool = False

    @property
    def name(self) -> str:
        """What its file is called."""
        what = f"behind-{SHOWN}" if self.shown else f"drawn-{DRAWN}"
        return f"{self.questions}/{what}-{self.seed}"


@dataclass(frozen=True)
class Shown:
    """Test items behind the first items of a draw and their answers: few-shot examples."""

    questions: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.questions}/shown-{self.size}-{self.seed}"


Job = Fit | Free | Drawn | Shown
