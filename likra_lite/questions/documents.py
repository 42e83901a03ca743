"""JSON: lines of objects, arrays, and documents with a list of objects inside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import ItemError
from .fields import CHOICES, CONTEXT
from .singles import SEVERAL
from .streams import LineError
from .values import fold, shown

__all__ = ["Record", "is_json", "json_document", "json_lines"]

Record = tuple[int, Any]  # the line, and what it holds

_SPACE = re.compile(r"\s*")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of an object, and refuse a name that it has twice."""
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ItemError(f"has the name {shown(twice)} twice")
    return held


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def json_lines(lines: Iterable[tuple[int, str]]) -> Iterator[Record]:
    """Yield what each line holds; empty ones are skipped.

    Raises
    ------
    LineError
        If a line is not JSON.
    """
    for number, text in lines:
        if not text.strip():
            continue
        try:
            yield number, _DECODER.decode(text)
        except ItemError as error:
            raise LineError(number, str(error)) from None
        except json.JSONDecodeError as error:
            reason = f"{error.msg} at column {error.colno}"
            raise _no_object(number, reason) from None
        except RecursionError:
            raise LineError(number, "is nested too deep") from None
        except ValueError as error:
            raise _no_object(number, str(error)) from None


def _no_object(line: int, reason: str) -> LineError:
    return LineError(line, f"is not JSON ({reason}); expected one object per line")


def json_document(text: str) -> Iterator[Record]:
    """Yield the objects of an array, of the list inside a document, or the one that it is.

    Raises
    ------
    LineError
        If the text is not JSON.
    """
    yield from _Document(text).records()


class _Document:
    """A JSON text that is decoded piece by piece, so that every piece has its line."""

    def __init__(self, text: str) -> None:
        self.text = text

    def records(self) -> Iterator[Record]:
        start = self._skip(0)
        if self.text[start : start + 1] == "[":
            yield from self._elements(start)
            return
        members, end = self._members(start)
        self._expect_end(end)
        inside = _list_inside({name: value for name, (value, _) in members.items()})
        if inside is None:
            yield self._line(start), {name: value for name, (value, _) in members.items()}
        else:
            yield from self._elements(members[inside][1], is_last=False)

    def _elements(self, start: int, is_last: bool = True) -> Iterator[Record]:
        line, counted = self._line(start), start
        place = self._skip(start + 1)
        while self.text[place : place + 1] != "]":
            line, counted = line + self.text.count("\n", counted, place), place
            value, end = self._decode(place)
            yield line, value
            place = self._next(end, "]")
        if is_last:
            self._expect_end(place + 1)

    def _members(self, start: int) -> tuple[dict[str, tuple[Any, int]], int]:
        """Return the values of an object and where they start, and its end."""
        if self.text[start : start + 1] != "{":
            raise self._failure(start, "expected an object or a list")
        members: dict[str, tuple[Any, int]] = {}
        place = self._skip(start + 1)
        while self.text[place : place + 1] != "}":
            name, end = self._decode(place)
            colon = self._skip(end)
            if not isinstance(name, str) or self.text[colon : colon + 1] != ":":
                raise self._failure(colon, "expected a name and a colon")
            if name in members:
                raise LineError(self._line(place), f"has the name {shown(name)} twice")
            place = self._skip(colon + 1)
            value, end = self._decode(place)
            members[name] = value, place
            place = self._next(end, "}")
        return members, place + 1

    def _decode(self, place: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self.text, place)
        except json.JSONDecodeError as error:
            raise self._failure(error.pos, error.msg) from None
        except RecursionError:
            raise LineError(self._line(place), "is nested too deep") from None
        except ItemError as error:
            raise LineError(self._line(place), str(error)) from None
        except ValueError as error:
            raise self._failure(place, str(error)) from None

    def _next(self, end: int, closing: str) -> int:
        """Return where the next part starts, behind a comma, or the closing bracket stands."""
        place = self._skip(end)
        found = self.text[place : place + 1]
        if found == closing:
            return place
        following = self._skip(place + 1)
        if found != "," or self.text[following : following + 1] == closing:
            raise self._failure(place, f"expected a comma or {closing}")
        return following

    def _skip(self, place: int) -> int:
        match = _SPACE.match(self.text, place)
        return place if match is None else match.end()

    def _expect_end(self, place: int) -> None:
        rest = self._skip(place)
        if rest < len(self.text):
            raise self._failure(rest, "extra data")

    def _line(self, place: int) -> int:
        return self.text.count("\n", 0, place) + 1

    def _failure(self, place: int, message: str) -> LineError:
        column = place - self.text.rfind("\n", 0, place)
        return LineError(self._line(place), f"is not JSON ({message} at column {column})")


def _list_inside(document: dict[str, Any]) -> str | None:
    """Return the field of a document that holds its records, if it is none itself."""
    folded = {fold(name): name for name in document}
    if any(name in folded for name in (*CHOICES, *CONTEXT)):
        return None
    lists = [
        name
        for name, value in document.items()
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    ]
    named = [folded[name] for name in SEVERAL if name in folded and folded[name] in lists]
    return next(iter(named), lists[0] if len(lists) == 1 else None)


def is_json(text: str) -> bool:
    """Return whether a text is JSON by itself."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
