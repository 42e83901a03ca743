"""The multiple-choice item, and everything that is accepted as a list of items."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DuplicateChoicesWarning, ItemError, OverlapWarning
from .values import shown, type_name

__all__ = [
    "NEEDS_ANSWER",
    "Item",
    "content_hashes",
    "right_answers",
    "warn_of_duplicates",
    "warn_of_overlap",
]

NEEDS_ANSWER = "items without one can be scored, but not fitted or evaluated"


@dataclass(frozen=True)
class Item:
    """A question, its choices and, where known, the right one.

    Parameters
    ----------
    question : str
        May be empty if there is a context, or contexts, for the choices to complete.
    choices : sequence of str
        At least two, none of them empty. Stored as a tuple, without outer white space: a prompt
        says what stands between question and answer.
    answer : int, optional
        Index of the right choice, counted from 0.
    id : str, optional
        A name for reports.
    context : str, optional
        A passage that belongs to the question. Without a question, the text that the choices
        complete.
    metadata : mapping, optional
        Anything else; not used for scoring.
    contexts : sequence of str, optional
        One for each choice, where choices complete different texts: choice ``i`` is scored as
        the continuation of ``contexts[i]``, and of nothing else. Empty ones make whole
        sentences of the choices. Stored as a tuple.
    source : str, optional
        Where the item was read, such as ``exam.csv, line 7``, for messages.

    Raises
    ------
    ItemError
        If a field has the wrong type, a choice is empty, the answer is out of range, or the
        contexts are not as many as the choices.
    """

    question: str
    choices: tuple[str, ...]
    answer: int | None = None
    id: str | None = None
    context: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    contexts: tuple[str, ...] | None = None
    source: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.question, str):
            raise ItemError(f"question must be a string, got {type_name(self.question)}")
        if self.context is not None and not isinstance(self.context, str):
            raise ItemError(f"context must be a string, got {type_name(self.context)}")
        object.__setattr__(self, "choices", _texts("choices", self.choices))
        if len(self.choices) < 2:
            raise ItemError(f"an item needs at least two choices, got {len(self.choices)}")
        stripped = []
        for index, choice in enumerate(self.choices):
            if not isinstance(choice, str):
                raise ItemError(f"choice {index} must be a string, got {type_name(choice)}")
            stripped.append(choice.strip())
            if not stripped[-1]:
                raise ItemError(f"choice {index} is empty")
        object.__setattr__(self, "choices", tuple(stripped))
        if self.contexts is not None:
            self._check_contexts()
        elif not self.question.strip() and not (self.context or "").strip():
            raise ItemError("question is empty")
        for text in (self.question, self.context or "", *self.choices, *(self.contexts or ())):
            if not text.isascii() and not _is_unicode(text):
                raise ItemError("the text holds half a character (a lone surrogate); repair it")
        if self.answer is not None:
            object.__setattr__(self, "answer", self._index(self.answer))

    def _check_contexts(self) -> None:
        object.__setattr__(self, "contexts", _texts("contexts", self.contexts))
        contexts = self.contexts or ()
        if len(contexts) != len(self.choices):
            raise ItemError(f"got {len(contexts)} contexts for {len(self.choices)} choices")
        for index, context in enumerate(contexts):
            if not isinstance(context, str):
                raise ItemError(f"context {index} must be a string, got {type_name(context)}")

    def _index(self, answer: Any) -> int:
        if isinstance(answer, bool) or not isinstance(answer, int | np.integer):
            raise ItemError(
                f"answer must be the index of a choice from 0, or its letter, got {shown(answer)}"
            )
        if not 0 <= answer < len(self.choices):
            raise ItemError(
                f"answer {answer} is out of range for {len(self.choices)} choices, "
                f"expected 0 to {len(self.choices) - 1}"
            )
        return int(answer)

    def same(self, first: int, second: int) -> bool:
        """Return whether two choices are the same text after the same context."""
        alike = self.choices[first] == self.choices[second]
        return alike and (self.contexts is None or self.contexts[first] == self.contexts[second])

    def text_of(self, choice: int) -> str:
        """Return a choice, after the context that it completes if it has one of its own."""
        context = "" if self.contexts is None else self.contexts[choice].rstrip()
        return f"{context} {self.choices[choice].lstrip()}" if context else self.choices[choice]

    @property
    def duplicates(self) -> tuple[int, int] | None:
        """The first two indices that hold the same choice, or None."""
        contexts = self.contexts or ("",) * len(self.choices)
        seen: dict[tuple[str, str], int] = {}
        for index, pair in enumerate(zip(contexts, self.choices, strict=True)):
            if pair in seen:
                return seen[pair], index
            seen[pair] = index
        return None


def _texts(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise ItemError(f"{name} must be a list of strings, got {type_name(given)}")
    return tuple(given)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def right_answers(items: Iterable[Item]) -> list[str]:
    """Return the text of the right choice of every item; all have an answer."""
    return [item.choices[item.answer] for item in items if item.answer is not None]


def warn_of_duplicates(located: Iterable[tuple[str, Item]]) -> int:
    """Warn once of the items that list a choice twice, and return the number of items.

    Published benchmarks have some. Equal choices get equal scores, the first of them is
    predicted, and a copy of the right choice is never used as a wrong answer.

    Parameters
    ----------
    located : iterable of (str, Item)
        Items with the place that each came from.
    """
    first: tuple[str, Item] | None = None
    found = total = 0
    for place, item in located:
        total += 1
        if item.duplicates is not None:
            found += 1
            first = first or (place, item)
    if first is not None:
        place, item = first
        one, two = item.duplicates or (0, 0)
        warnings.warn(
            f"{found} of {total} items list a choice twice, first {place}: choices {one} and {two} "
            f"are both {item.choices[one]!r}; equal choices score alike, remove one",
            DuplicateChoicesWarning,
            stacklevel=3,
        )
    return total


def content_hashes(items: Iterable[Item]) -> NDArray[np.uint64]:
    """Return a hash of each item's question, choices and contexts, whatever its id and answer.

    Eight bytes each: one of a million items is taken for another of a million once in 18 million
    such pairs of files.
    """
    parts = (
        json.dumps([item.question, item.context, item.choices, item.contexts]) for item in items
    )
    digests = (hashlib.blake2b(part.encode(), digest_size=8).digest() for part in parts)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def warn_of_overlap(training: NDArray[np.uint64], tested: Sequence[Item]) -> int:
    """Warn of items to test on that are training items too, and return their number.

    Parameters
    ----------
    training : ndarray of shape (n_training,)
        What :func:`content_hashes` gives for the training items.
    tested : sequence of Item
    """
    shared = int(np.isin(content_hashes(tested), training).sum())
    if shared:
        warnings.warn(
            f"{shared} of {len(tested)} held-out items are training items too; accuracy on them "
            "will look better than it is",
            OverlapWarning,
            stacklevel=3,
        )
    return shared
