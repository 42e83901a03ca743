"""XML: elements with a text for each field, as COPA is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any
from xml.parsers import expat

from .documents import Record
from .streams import LineError

__all__ = ["xml_records"]


def xml_records(stream: IO[bytes]) -> Iterator[Record]:
    """Yield the attributes and the children's texts of each element that holds texts alone.

    A document type is refused, and with it every entity that is no character.

    Raises
    ------
    LineError
        If the file is not such XML.
    """
    parser = expat.ParserCreate()
    elements = _Elements(parser)
    try:
        parser.ParseFile(stream)
    except expat.ExpatError as error:
        raise LineError(error.lineno, f"is not XML ({expat.ErrorString(error.code)})") from None
    yield from elements.records


class _Elements:
    """The elements that are open, each with its line, its fields and its text so far."""

    def __init__(self, parser: Any) -> None:
        self.records: list[Record] = []
        self._parser = parser
        self._open: list[tuple[int, dict[str, Any], list[str]]] = []
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append((self._parser.CurrentLineNumber, dict(attributes), []))

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def _end(self, name: str) -> None:
        line, fields, texts = self._open.pop()
        text = "".join(texts).strip()
        if self._open and text:
            self._open[-1][1][name] = text
        elif len(fields) > 1 and not text:
            self.records.append((line, fields))

    def _refuse(self, *_: Any) -> None:
        raise LineError(self._parser.CurrentLineNumber, "has a document type; remove it")
