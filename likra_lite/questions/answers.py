"""The meaning of answers: one rule for files, for Python objects and for ``y``.

People write the right choice in five ways (:data:`CONVENTIONS`), and one cell alone often fits
several of them. So a convention is settled from all answers of a file or a call: every row
strikes out the readings that do not fit it. Where two are left that differ in some row, nobody
can tell, and :meth:`Convention.settle` refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ..errors import ItemError, LikraError
from ..validation import check_one_of
from .fields import listed
from .values import is_missing, number_text, shown, type_name

__all__ = ["CONVENTIONS", "Convention", "Given", "check_answers", "letter"]

CONVENTIONS = {
    "label": "the labels that stand beside the choices",
    "letter": "letters, A being the first choice",
    "text": "texts of choices",
    "index": "indices counted from 0",
    "index-from-1": "indices counted from 1",
}
_HOW = {
    "label": "by its label",
    "letter": "by letter",
    "text": "by text",
    "index": "counted from 0",
    "index-from-1": "counted from 1",
}

UNANSWERED = -1
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\].:]?")
_LETTER_AND_TEXT = re.compile(r"[(\[]?([A-Za-z])[)\].:]\s*(\S.*)", re.DOTALL)
_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?")
_WORDS = (("false", "no"), ("true", "yes"))


class Given(NamedTuple):
    """An answer as it is written, and what it may refer to.

    Attributes
    ----------
    value : object
        Plain: see :func:`likra_lite.questions.values.plain`.
    choices : sequence of str
    labels : sequence of str or None
        What stands beside each choice, such as A, B or 1, 2.
    """

    value: Any
    choices: Sequence[str]
    labels: Sequence[str] | None = None


class _Written(NamedTuple):
    """An answer as text, as other spellings of it, and as a number if it is a whole one."""

    text: str
    spellings: tuple[str, ...]
    number: int | None


def _written(value: Any) -> _Written:
    """Bring an answer to text and number.

    Raises
    ------
    ItemError
        If it is neither a text nor a number, or several.
    """
    if type(value) is int and -10 < value < 100:
        text = str(value)
        return _Written(text, (text,), value)
    if isinstance(value, list):
        if len(value) != 1:
            raise ItemError(f"got {len(value)} right answers in a list; an item has one")
        value = value[0]
    if isinstance(value, bool):
        return _Written(str(value), (str(value),), None)
    if isinstance(value, str):
        text = value.strip()
        match = _NUMBER.fullmatch(text)
        if match is None or len(match[1]) > 9:
            return _Written(text, (text,), None)
        number = int(match[1])
        return _Written(text, (text, str(number)), number)
    if isinstance(value, int | float):
        text = number_text(value) or ""
        whole = isinstance(value, int) or value.is_integer()
        number_or_none = int(value) if whole and abs(value) < 10**9 else None
        return _Written(text, (text, repr(value) if text else ""), number_or_none)
    raise ItemError(f"an answer must be a letter, a text or a number, got {type_name(value)}")


def _label(written: _Written, given: Given) -> int | None:
    if given.labels is not None:
        for spelling in written.spellings:
            if spelling in given.labels:
                return given.labels.index(spelling)
        folded = [label.casefold() for label in given.labels]
        if folded.count(written.text.casefold()) == 1:
            return folded.index(written.text.casefold())
    return UNANSWERED if written.number == UNANSWERED else None


def _letter(written: _Written, given: Given) -> int | None:
    match = _LETTER.fullmatch(written.text) or _LETTER_AND_TEXT.fullmatch(written.text)
    if match is None:
        return UNANSWERED if written.number == UNANSWERED else None
    place = ord(match[1].upper()) - ord("A")
    if place >= len(given.choices) or (match.lastindex == 2 and match[2] != given.choices[place]):
        return None
    return place


def _text(written: _Written, given: Given) -> int | None:
    for spelling in written.spellings:
        if spelling in given.choices:
            return given.choices.index(spelling)
    for words in _WORDS:  # a boolean beside choices such as Yes and No
        if written.text.casefold() in words:
            folded = [choice.casefold() for choice in given.choices]
            return next((folded.index(word) for word in words if word in folded), None)
    return UNANSWERED if written.number == UNANSWERED else None


def _numbered(given: Given) -> bool:
    """Return whether labels are numbers, which is what a number then refers to."""
    return given.labels is not None and any(map(_NUMBER.fullmatch, given.labels))


def _counted(first: int) -> Callable[[_Written, Given], int | None]:
    def read(written: _Written, given: Given) -> int | None:
        if written.number is None or written.number == UNANSWERED:
            return written.number
        if _numbered(given):
            return None
        place = written.number - first
        return place if 0 <= place < len(given.choices) else None

    return read


_READ: dict[str, Callable[[_Written, Given], int | None]] = {
    "label": _label,
    "letter": _letter,
    "text": _text,
    "index": _counted(0),
    "index-from-1": _counted(1),
}


class Convention:
    """The readings that all answers seen so far leave possible.

    Parameters
    ----------
    allowed : sequence of str
        Keys of :data:`CONVENTIONS`.
    preferred : str, optional
        The one that holds where several are left: how a benchmark is published.
    """

    def __init__(self, allowed: Sequence[str], preferred: str | None = None) -> None:
        self.allowed = tuple(allowed)
        self.possible = tuple(allowed)
        self.preferred = preferred
        self.n_answers = 0
        self._clashes: dict[tuple[str, str], str] = {}

    def see(self, given: Given, place: str) -> None:
        """Strike out the readings that do not fit one more answer.

        Parameters
        ----------
        given : Given
        place : str
            Where it stands, for messages: a file and a line.

        Raises
        ------
        ItemError
            If no reading is left.
        """
        if is_missing(given.value):
            return
        try:
            written = _written(given.value)
            found = {name: _READ[name](written, given) for name in self.possible}
            fitting = {name: index for name, index in found.items() if index is not None}
            if not fitting:
                raise ItemError(self._misfit(written, given))
        except ItemError as error:
            raise ItemError(f"{place}: {error}") from None
        meanings = set(fitting.values())
        self.n_answers += meanings != {UNANSWERED}
        self.possible = tuple(fitting)
        if len(meanings) > 1:
            for pair in combinations(fitting, 2):
                if fitting[pair[0]] != fitting[pair[1]] and pair not in self._clashes:
                    self._clashes[pair] = f"{place}: {_both(given, fitting, pair)}"

    def settle(self) -> str:
        """Return the reading that holds for all answers.

        Raises
        ------
        ItemError
            If two are left that differ in some row; the message has both.
        """
        if self.preferred in self.possible:
            return self.preferred
        for pair, message in self._clashes.items():
            if set(pair) <= set(self.possible):
                raise ItemError(message)
        return self.possible[0]

    def read(self, given: Given) -> int | None:
        """Return the index of the right choice, or None if there is no answer.

        The answer must have been seen, and the convention is that of :meth:`settle`.
        """
        if is_missing(given.value):
            return None
        index = _READ[self.settle()](_written(given.value), given)
        return None if index == UNANSWERED else index

    def _misfit(self, written: _Written, given: Given) -> str:
        """Say why an answer fits none of the readings that are left."""
        answer = f"answer {shown(given.value)}"
        n_choices = len(given.choices)
        out_of_range = f"{answer} is out of range for {n_choices} choices"
        if given.labels is not None and self.possible[0] == "label":
            return f"{answer} is not one of the labels {listed(given.labels, 80)}"
        if written.number is not None and _numbered(given) and self.possible[0].startswith("index"):
            labels = listed(given.labels or (), 60)
            return f"{answer} counts nothing beside the labels {labels}; pass --answers label"
        if written.number is not None and "index" in self.possible:
            hint = "; if answers count from 1, pass --answers index-from-1"
            is_next = written.number == n_choices and "index-from-1" not in self.allowed
            return f"{out_of_range}, expected 0 to {n_choices - 1}{hint * is_next}"
        if written.number is not None and "index-from-1" in self.possible:
            return f"{out_of_range}, expected 1 to {n_choices}"
        if _LETTER.fullmatch(written.text) and "letter" in self.possible:
            return out_of_range
        expected = {
            "label": f"one of {listed(given.labels or ['the labels'], 60)}",
            "letter": f"a letter from A to {letter(n_choices - 1)}",
            "text": "the text of a choice",
            "index": f"an index from 0 to {n_choices - 1}",
            "index-from-1": f"an index from 1 to {n_choices}",
        }
        is_lettered = given.labels is None or "letter" in self.possible
        known = [name for name in self.possible if name != "label" or not is_lettered]
        wanted = " nor ".join(expected[name] for name in known)
        before = ", as the answers before it are" if self.n_answers else ""
        return f"{answer} is not {wanted}{before}"


def _both(given: Given, fitting: dict[str, Any], pair: tuple[str, str]) -> str:
    one, two = (f"{_named(given, fitting[name])} ({_HOW[name]})" for name in pair)
    options = " or ".join(f"--answers {name}" for name in pair)
    return (
        f"answer {shown(given.value, 30)} means {one} or {two}, and no row tells which; "
        f"pass {options} (answers= in Python)"
    )


def _named(given: Given, index: int) -> str:
    if index == UNANSWERED:
        return "no answer"
    return f"choice {letter(index)}, {shown(given.choices[index], 30)}"


def letter(index: int) -> str:
    """Return A, B, ..., Z, then AA, AB, ..."""
    first, last = divmod(index, 26)
    return (letter(first - 1) if first else "") + chr(ord("A") + last)


def check_answers(answers: str | None) -> None:
    """Raise LikraError unless `answers` is None or one of the conventions."""
    if answers is not None:
        if not isinstance(answers, str):
            raise LikraError(f"got answers of type {type_name(answers)}; expected a string")
        check_one_of("answers", answers, CONVENTIONS)
