"""Layouts of items: mappings as people and benchmarks write them, to an item's fields."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ItemError

__all__ = ["fields_of_record", "type_name"]

_FIELDS = {"question", "choices", "answer", "answerKey", "id", "context"}
_CANONICAL = {name.lower(): name for name in _FIELDS}
_CHOICE_COLUMN = re.compile(
    r"(?:choice|option)[ _-]?(\d+)|(?:(?:choice|option)[ _-])?([a-z])", re.IGNORECASE
)


def fields_of_record(record: Any) -> dict[str, Any]:
    """Read one item in the plain layout or in a published one.

    Plain: ``{"question", "choices": [text, ...], "answer"}``, with optional ``id``,
    ``context`` and anything else. The answer is an index counted from 0, a letter, or the
    text of a choice. In tables, choices may have a column each: ``choice_0, choice_1, ...``
    or ``A, B, ...``, empty cells at the end being no choices. ARC as published by AI2:
    ``{"question": {"stem", "choices": [{"text", "label"}, ...]}, "answerKey": label}``.
    ARC and CommonsenseQA as on the Hugging Face hub: ``{"question", "choices": {"text":
    [...], "label": [...]}, "answerKey": label}``.

    Parameters
    ----------
    record : mapping

    Returns
    -------
    dict
        Arguments of :class:`likra_lite.Item`.

    Raises
    ------
    ItemError
        If a field is missing or malformed.
    """
    if not isinstance(record, Mapping):
        raise ItemError(f"expected one object with question and choices, got {type_name(record)}")
    names = ", ".join(map(str, record)) or "none"
    record = {_CANONICAL.get(str(name).lower(), name): value for name, value in record.items()}
    question: Any = record.get("question")
    choices: Any = record.get("choices")
    used = _FIELDS
    if isinstance(question, Mapping):
        question, choices = question.get("stem"), question.get("choices")
    if _missing(question):
        raise ItemError(f"question is missing; got the fields {names}")
    if _missing(choices):
        columns = _choice_columns(record)
        choices = [record[column] for column in columns]
        while choices and _missing(choices[-1]):
            choices.pop()
        used = _FIELDS | set(columns)
    if _missing(choices) or (isinstance(choices, list) and not choices):
        raise ItemError(f"choices are missing; got the fields {names}")
    if isinstance(choices, str):
        choices = _listed(choices)
    labels: Any = None
    if isinstance(choices, Mapping):
        choices, labels = choices.get("text"), choices.get("label")
    elif isinstance(choices, list) and any(isinstance(choice, Mapping) for choice in choices):
        if not all(isinstance(choice, Mapping) for choice in choices):
            raise ItemError("choices mix texts and objects")
        labels = [choice.get("label") for choice in choices]
        choices = [choice.get("text") for choice in choices]
    if isinstance(choices, Sequence | np.ndarray) and not isinstance(choices, str):
        choices = [_number_as_text(choice) for choice in choices]
    answer = _index(record.get("answer"), choices)
    if answer is None:
        answer = _position(record.get("answerKey"), labels, choices)
    return {
        "question": question,
        "choices": choices,
        "answer": answer,
        "id": _text(record.get("id")),
        "context": _text(record.get("context")),
        "metadata": {key: value for key, value in record.items() if key not in used},
    }


def type_name(value: object) -> str:
    """Return how a value's type is called in messages."""
    return "nothing" if value is None else type(value).__name__


def _missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _text(value: Any) -> str | None:
    return None if _missing(value) else str(value)


def _number_as_text(choice: Any) -> Any:
    number = isinstance(choice, int | float | np.number) and not isinstance(choice, bool)
    return str(choice) if number and not _missing(choice) else choice


def _listed(text: str) -> Any:
    """Read a list that a table holds as text, as JSON or as Python writes it."""
    for read in (json.loads, ast.literal_eval):
        try:
            choices = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(choices, list):
            return choices
    raise ItemError(f"choices must be a list of strings, got {text!r}")


def _choice_columns(names: Iterable[Any]) -> list[str]:
    """Return the columns that hold a choice each, in order.

    Raises
    ------
    ItemError
        If they are numbered from 1, where the index of an answer would be ambiguous, or
        have a gap.
    """
    numbered: dict[int, str] = {}
    lettered: dict[int, str] = {}
    for name in names:
        match = _CHOICE_COLUMN.fullmatch(str(name))
        if match and match[1]:
            numbered[int(match[1])] = name
        elif match:
            lettered[ord(match[2].upper()) - ord("A")] = name
    if numbered and 0 not in numbered:
        raise ItemError(
            f"choices are numbered from {min(numbered)}, but the index of an answer counts from 0; "
            "name them choice_0, choice_1, ... or A, B, ..."
        )
    columns = numbered
    if not numbered and 0 in lettered:
        # A column named n beside A, B, C is something else.
        style = (len(lettered[0]), lettered[0].isupper())
        columns = {
            place: name for place, name in lettered.items() if (len(name), name.isupper()) == style
        }
    places = sorted(columns)
    if places != list(range(len(places))):
        gap = next(place for place, found in enumerate(places) if place != found)
        raise ItemError(
            f"the columns {columns[places[gap - 1]]} and {columns[places[gap]]} leave a gap"
        )
    return [columns[place] for place in places]


def _position(given: Any, labels: Any, choices: Any) -> Any:
    """Return the position of an answer key among the labels, A, B, ... by default."""
    if _missing(given):
        return None
    if not isinstance(labels, Sequence) or None in labels:
        return _index(given, choices)
    known = [str(label).strip() for label in labels]
    if str(given).strip() not in known:
        raise ItemError(f"answer {given!r} is not one of the labels {', '.join(known)}")
    return known.index(str(given).strip())


def _index(given: Any, choices: Any) -> Any:
    """Return the index that an answer means; what cannot be read is left to the item's check."""
    if _missing(given):
        return None
    if isinstance(given, float) and given.is_integer():
        return int(given)  # a column with missing answers is a column of floats
    if not isinstance(given, str) or not isinstance(choices, list):
        return given
    if choices.count(given) == 1:
        return choices.index(given)
    text = given.strip()
    if len(text) == 1 and text.isascii() and text.isalpha():
        place = ord(text.upper()) - ord("A")
        if place < len(choices):
            return place
        raise ItemError(f"answer {text!r} is out of range for {len(choices)} choices")
    return given
