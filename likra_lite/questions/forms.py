"""Where the choices of a record stand: the parts that layouts are made of.

A form finds the fields that hold the choices by their folded names, says how answers to such
choices may be written, and reads :class:`~likra_lite.questions.choices.Options` from the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ItemError
from .choices import Options, marked, options_of, shuffled, split_question, texts_of
from .fields import CHOICES, choice_columns, listed, numbered
from .values import is_missing, shown, text_of

__all__ = [
    "BY_ANY",
    "BY_LABEL",
    "Columns",
    "Form",
    "InsideQuestion",
    "Listed",
    "RightAndWrong",
    "Scored",
    "Values",
    "YesOrNo",
]

BY_NAME = ("letter", "text", "index")
BY_COLUMN = ("letter", "label", "text", "index")
BY_ANY = (*BY_COLUMN, "index-from-1")
BY_LABEL = ("label", *BY_NAME)


class Values(Protocol):
    """The values of a record, by the folded names of its fields."""

    @property
    def names(self) -> Mapping[str, Any]:
        """The names that the record itself has, by their folded forms."""
        ...

    def __getitem__(self, name: str) -> Any:
        """Return a value."""
        ...

    def get(self, name: str | None) -> Any:
        """Return a value, or None if there is no such field."""
        ...


class Form(Protocol):
    """A way to write choices."""

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the folded names of the fields that hold the choices; none if it is another."""
        ...

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return how answers may be written, if the layout does not say."""
        ...

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return the choices, given the record's values by folded names."""
        ...


@dataclass(frozen=True)
class Listed:
    """One field holds all choices, see :func:`likra_lite.questions.choices.options_of`."""

    names: tuple[str, ...] = CHOICES

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the first of the names that is there."""
        return tuple(name for name in self.names if name in names)[:1]

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Answer keys are labels wherever there are some; indices count from 0."""
        return BY_LABEL

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Read the list, or whatever stands in its place."""
        return options_of(values[fields[0]])


@dataclass(frozen=True)
class Columns:
    """A field for each choice, under the given names or any that count up."""

    names: tuple[str, ...] = ()

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return them in order."""
        if self.names:
            return self.names if set(self.names) <= names.keys() else ()
        return choice_columns(names)[0]

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Count from 0 alone if the columns do; the name of a column is a label."""
        return BY_COLUMN if choice_columns(names)[1] == "0" else BY_ANY

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return the cells; empty ones at the end are no choices."""
        cells = [values[field] for field in fields]
        while cells and is_missing(cells[-1]):
            cells.pop()
        names = [text_of(values.names[field]) or field for field in fields]
        return Options(texts_of(cells), labels=names[: len(cells)])


@dataclass(frozen=True)
class RightAndWrong:
    """Right and wrong answers in fields of their own; the order is drawn, see ``shuffled``."""

    right: str
    wrong: str  # a name, or what numbered names begin with
    separator: str | None = None  # between several wrong answers in one text
    sentences: bool = False  # whether they are whole sentences, with no question

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the right one and the wrong ones."""
        wrong = numbered(names, self.wrong)
        return (self.right, *wrong) if self.right in names and wrong else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return any: the right answer is known."""
        return BY_NAME

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return the answers in an order of their own."""
        right, *others = (values[field] for field in fields)
        if isinstance(right, list) and len(right) == 1:
            right = right[0]
        if isinstance(right, list) or is_missing(right):
            raise ItemError(f"{fields[0]} must be the right answer, got {shown(right)}")
        wrong: list[Any] = []
        for other in others:
            if isinstance(other, str) and self.separator is not None:
                wrong += [part for part in other.split(self.separator) if part.strip()]
            elif isinstance(other, list):
                wrong += other
            elif not is_missing(other):
                wrong.append(other)
        options = shuffled(right, wrong, values.get("question"))
        if self.sentences:
            return options._replace(question="", contexts=[""] * len(options.choices))
        return options


@dataclass(frozen=True)
class Scored:
    """A mapping from texts to scores, or a list of texts and one of scores."""

    texts: str
    scores: str | None = None

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the one or two fields."""
        found = (self.texts,) if self.scores is None else (self.texts, self.scores)
        return found if set(found) <= names.keys() else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return any: the right answer is known."""
        return BY_NAME

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return the choices, the one with the highest score being right."""
        if self.scores is None:
            scored = values[self.texts]
            if isinstance(scored, Mapping) and all(
                isinstance(score, int | float) for score in scored.values()
            ):
                return marked([*scored], [*scored.values()])
            return options_of(scored)
        texts, scores = values[self.texts], values[self.scores]
        if not isinstance(texts, list) or not isinstance(scores, list) or len(texts) != len(scores):
            raise ItemError(f"{self.texts} and {self.scores} must be lists of the same length")
        return marked(texts, scores)


@dataclass(frozen=True)
class YesOrNo:
    """A question with yes or no for an answer, written as a boolean or 0 and 1."""

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the question: there are no fields of choices."""
        return ("question",) if "question" in names else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return texts, and indices: 0 is no."""
        return ("text", "index")

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return no and yes, in the order of false and true."""
        return Options(["no", "yes"])


@dataclass(frozen=True)
class InsideQuestion:
    """The choices stand in the question, behind (A), (B), ..."""

    names: tuple[str, ...] = ("question", "input", "inputs", "prompt", "query")

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the question."""
        return tuple(name for name in self.names if name in names)[:1]

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return labels: the letters or numbers in brackets."""
        return ("label", "letter", "text")

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Split the question; no and yes are the choices if the answer is false or true."""
        question = values[fields[0]]
        split = split_question(question) if isinstance(question, str) else None
        if split is not None:
            return split
        answer = text_of(values.get("answer")) or ""
        if answer.strip().casefold() in ("true", "false"):
            return Options(["no", "yes"])
        names = listed(values.names.values())
        raise ItemError(
            f"choices are missing; got the fields {names}; call those that hold one A, B, C, ..."
        )
