"""Forms that choices are written in: lists, labelled lists, mappings, texts with letters inside."""

from __future__ import annotations

import ast
import json
import random
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ItemError
from .values import fold, number_text, plain, shown, text_of, type_name

__all__ = [
    "Options",
    "marked",
    "options_of",
    "shuffled",
    "split_question",
    "texts_of",
    "without_letter",
    "without_letters",
]

TEXT_KEYS = ("text", "atext", "content", "value", "choice", "option", "answer")
LABEL_KEYS = ("label", "aid", "key", "letter", "id")
MARK_KEYS = ("correct", "iscorrect", "isanswer", "score")

_PREFIX = re.compile(r"\s*(?:[(\[]([A-Za-z]|\d\d?)[)\]]|([A-Za-z]|\d\d?)\)|([A-Za-z])[.:])\s*")
_INSIDE = re.compile(r"\s*\(([A-Za-z]|\d\d?)\)\s*")
_INSIDE_LIST = re.compile(r"(?:^|(?<=[\s,;]))\(?([A-Za-z]) ?\)\s*")
_ANNOUNCED = re.compile(r"\s*(?:options|choices)\s*:?\s*$", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class Options(NamedTuple):
    """The choices of a record, and what comes with them.

    Attributes
    ----------
    choices : list
        Texts, to be checked by the item.
    labels : list of str or None
        What stands beside each choice, and an answer refers to.
    right : int or None
        The right one, where the record marks it.
    is_marked : bool
        Whether the record marks it; no other field is asked then.
    seed : int or None
        Of the order, where the record has none of its own.
    question : str or None
        The question, where the choices stood inside it.
    contexts : list of str or None
        One for each choice, where they complete different texts.
    """

    choices: list[Any]
    labels: list[str] | None = None
    right: int | None = None
    is_marked: bool = False
    seed: int | None = None
    question: str | None = None
    contexts: list[str] | None = None


def options_of(value: Any) -> Options:
    """Read the choices that one field holds.

    Parameters
    ----------
    value : list, mapping or str
        A list of texts, or of objects with ``text`` and ``label``; a mapping from labels to
        texts, from texts to scores, or of the lists ``text`` and ``label``; or any of these as
        a table holds it, as JSON or as Python writes it.

    Raises
    ------
    ItemError
        If it is none of these.
    """
    value = plain(value)
    if isinstance(value, list) and all(type(each) is str for each in value):
        return Options(value)
    if isinstance(value, str):
        return _options_of_text(value)
    if isinstance(value, Mapping):
        return _options_of_mapping(value)
    if not isinstance(value, list):
        raise ItemError(f"choices must be a list of strings, got {type_name(value)}")
    objects = [each for each in value if isinstance(each, Mapping)]
    if not objects:
        return Options(texts_of(value))
    if len(objects) < len(value):
        raise ItemError("choices mix texts and objects")
    columns = [{fold(key): plain(cell) for key, cell in each.items()} for each in objects]
    texts = [_first(column, TEXT_KEYS) for column in columns]
    labels = [_first(column, LABEL_KEYS) for column in columns]
    marks = [_first(column, MARK_KEYS) for column in columns]
    options = _labelled(texts, labels)
    return options if None in marks else marked(options.choices, marks)


def _options_of_text(text: str) -> Options:
    lettered = _sequence(_INSIDE_LIST, text)
    if lettered is not None and not text[: lettered[0].start()].strip():
        return Options([part.strip(" ,;") for part in _between(lettered, text)])
    listed: Any = None
    for read in (json.loads, ast.literal_eval):
        try:
            listed = read(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    if isinstance(listed, list):
        quoted = _QUOTED.findall(text)
        if len(quoted) > len(listed):  # NumPy writes no commas: ['a' 'b']
            listed = [ast.literal_eval(each) for each in quoted]
    if not isinstance(listed, list | dict):
        raise ItemError(f"choices must be a list of strings, got {shown(text)}")
    return options_of(listed)


def _options_of_mapping(mapping: Mapping[Any, Any]) -> Options:
    columns = {fold(key): plain(cell) for key, cell in mapping.items()}
    texts = next((columns[name] for name in ("text", "choices") if name in columns), None)
    if isinstance(texts, list):
        labels = next((columns[name] for name in ("label", "labels") if name in columns), None)
        if labels is None:
            return Options(texts_of(texts))
        if not isinstance(labels, list) or len(labels) != len(texts):
            raise ItemError(f"got {len(texts)} choices, and labels that are not as many")
        is_flag = all(isinstance(label, int) and label in (0, 1) for label in labels)
        return (
            marked(texts, labels) if is_flag and "labels" in columns else _labelled(texts, labels)
        )
    names = [(text_of(key) or "").strip() for key in mapping]
    cells = [plain(cell) for cell in mapping.values()]
    if names and all(isinstance(cell, int | float) for cell in cells) and not _consecutive(names):
        return marked(list(mapping), cells)
    order = sorted(range(len(names)), key=lambda index: names[index])
    if not _consecutive([names[index] for index in order]):
        raise ItemError(f"choices must be a list of strings, got {type_name(mapping)}")
    return _labelled([cells[index] for index in order], [names[index] for index in order])


def _labelled(texts: Sequence[Any], labels: Sequence[Any]) -> Options:
    texts = texts_of(texts)
    known = [number_text(label) or label for label in labels[: len(texts)]]
    if not all(isinstance(label, str) and label.strip() for label in known):
        return Options(texts)
    return Options(texts, [label.strip() for label in known])


def _first(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((columns[name] for name in names if columns.get(name) is not None), None)


def texts_of(values: Sequence[Any]) -> list[Any]:
    """Return choices with numbers as texts, and without missing ones at the end.

    Whole numbers in floats, as a column with missing cells has them, lose their point if all
    numbers of the item are whole.
    """
    if all(type(value) is str for value in values):
        return list(values)
    values = [plain(value) for value in values]
    while values and values[-1] is None:
        values.pop()
    whole = all(value.is_integer() for value in values if isinstance(value, float))
    texts: list[Any] = []
    for value in values:
        if isinstance(value, float) and not whole:
            texts.append(repr(value))
        else:
            texts.append(number_text(value) or value)
    return texts


def marked(choices: Sequence[Any], marks: Sequence[Any]) -> Options:
    """Return choices of which the record marks the right one by the highest score.

    Raises
    ------
    ItemError
        If the highest is shared, so that several are right, or a mark is no number.
    """
    if not all(isinstance(mark, int | float) for mark in marks):
        raise ItemError("the scores of choices must be numbers")
    best = max(marks, default=0)
    if best <= 0:
        return Options(texts_of(choices), is_marked=True)
    if list(marks).count(best) > 1:
        raise ItemError(f"{list(marks).count(best)} choices are marked as right; an item has one")
    return Options(texts_of(choices), right=list(marks).index(best), is_marked=True)


def shuffled(right: Any, wrong: Sequence[Any], about: Any) -> Options:
    """Put a right and some wrong answers in an order that depends on their texts alone.

    Parameters
    ----------
    right : str or number
    wrong : sequence
    about : str
        The question: the order differs from question to question.
    """
    choices = texts_of([right, *wrong])
    texts = [text_of(each) or "" for each in (about, *choices)]
    joined = "\0".join(text.strip() for text in texts)
    seed = zlib.crc32(joined.encode("utf-8", "surrogatepass"))
    order = random.Random(seed).sample(range(len(choices)), len(choices))
    return Options([choices[i] for i in order], right=order.index(0), is_marked=True, seed=seed)


def without_letters(options: Options) -> Options:
    """Drop ``(A)``, ``B)`` or ``C.`` before the choices, if every one has the letter of its place.

    Numbers become labels, as an answer refers to them.
    """
    found: list[re.Match[str]] = []
    for choice in options.choices:
        match = _PREFIX.match(choice) if isinstance(choice, str) else None
        if match is None:
            return options
        found.append(match)
    if len(found) < 2:
        return options
    names = [_name(match) for match in found]
    rests = [choice[match.end() :] for choice, match in zip(options.choices, found, strict=True)]
    if not _consecutive(names) or not all(rests) or any(map(_INSIDE.search, rests)):
        return options
    return options._replace(choices=rests, labels=options.labels or names)


def split_question(text: str) -> Options | None:
    """Split ``Which? (A) one (B) two``; a letter in brackets may stand in the question too."""
    marks = _sequence(_INSIDE, text)
    if marks is None:
        return None
    stem = _ANNOUNCED.sub("", text[: marks[0].start()])
    return Options(_between(marks, text), [_name(mark) for mark in marks], question=stem.strip())


def _sequence(pattern: re.Pattern[str], text: str) -> list[re.Match[str]] | None:
    """Return the last marks of a text that count from A, from a, or else from 1."""
    marks = list(pattern.finditer(text))
    for first in ("A", "a", "1"):
        for start in reversed(range(len(marks))):
            chain = marks[start : start + 1] if marks[start][1] == first else []
            for mark in marks[start + 1 :] if chain else []:
                if _consecutive([*map(_name, chain), mark[1]]):
                    chain.append(mark)
            if len(chain) > 1:
                return chain
    return None


def _between(marks: Sequence[re.Match[str]], text: str) -> list[str]:
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]


def _name(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _consecutive(names: Sequence[str]) -> bool:
    """Return whether names are A, B, ... or a, b, ... or 1, 2, ... or 0, 1, ..."""
    if not names or names[0] not in ("A", "a", "0", "1"):
        return False
    first = names[0]
    if first.isdigit():
        return list(names) == [str(int(first) + place) for place in range(len(names))]
    return list(names) == [chr(ord(first) + place) for place in range(len(names))]


def without_letter(answer: Any, options: Options) -> Any:
    """Return the label of an answer that repeats a choice with it: ``(B)`` of ``(B) two``."""
    match = _PREFIX.match(answer) if isinstance(answer, str) else None
    if match is None or _name(match) not in (options.labels or ()):
        return answer
    place = (options.labels or []).index(_name(match))
    return _name(match) if answer[match.end() :].strip() == options.choices[place] else answer
