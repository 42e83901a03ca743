"""Files of items: their records, and one reading of all their answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ..errors import ItemError
from .answers import CONVENTIONS
from .documents import Record
from .fields import listed
from .formats import Format, format_of
from .item import NEEDS_ANSWER, Item, warn_of_duplicates
from .labels import LabelFile
from .records import Draft, Reader, Summary
from .streams import LineError, Source, check_encoding
from .tables import check_delimiter

__all__ = ["ItemFile", "iter_items", "read_file", "read_items"]


class ItemFile:
    """A file of items that is read as often as it is iterated, and never held in memory.

    The first pass checks every item and settles how answers are written, for the file as a whole;
    items come with their answers in later passes.

    Parameters
    ----------
    path : path
        JSON lines, a JSON array or document, a table as text with any delimiter, Parquet, Arrow
        or COPA's XML, compressed by gzip or not. ``-`` is standard input.
    answers : {"letter", "text", "index", "index-from-1", "label"}, optional
        How answers are written. [default: what fits all of them]
    delimiter : str, optional
        Of a table: one character, or ``tab``. [default: what fits]
    encoding : str, optional
        Of a text. [default: by its byte order mark, UTF-8, or for tables also Windows-1252]
    labels : path, optional
        A file with the answer of each item on a line.

    Raises
    ------
    LikraError
        If a parameter is none of these.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        answers: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        labels: str | os.PathLike[str] | None = None,
    ) -> None:
        check_encoding(encoding)
        self._delimiter = check_delimiter(delimiter)
        self._encoding = encoding
        self._answers = answers
        self._labels = None if labels is None else LabelFile(labels)
        self._reader = Reader(answers)
        self.source = Source(path)

    @cached_property
    def format(self) -> Format:
        """How the file is to be read, by its ending and first bytes."""
        try:
            found = format_of(self.source, self._delimiter, self._encoding)
        except LineError as error:
            place = self.source.place + (f":{error.line}" if error.line else "")
            raise ItemError(f"{place}: {error}") from None
        self._reader = Reader(self._answers, found.class_labels)
        return found

    def __iter__(self) -> Iterator[Item]:
        """Yield the items, after a pass that settles how answers are written."""
        return (item for _, item in self.located())

    def __len__(self) -> int:
        """Return the number of items, each of which is checked, with a warning of duplicates."""
        return self._surveyed

    def located(self) -> Iterator[tuple[str, Item]]:
        """Yield each item with its place, a file and a line, for messages."""
        self._survey()
        for line, draft, _ in self._drafts():
            yield self._place(line), self._reader.item(draft, self._source(line))

    def read(self) -> list[tuple[str, Item]]:
        """Return all items with their places, in one pass."""
        held: list[tuple[int, Draft]] = []
        for line, draft, answer_place in self._drafts():
            self._reader.see(draft, answer_place)
            held.append((line, draft))
        self._reader.settle()
        if not held:
            raise ItemError(f"{self.source.place}: has no items")
        self.__dict__["_surveyed"] = len(held)
        return [
            (self._place(line), self._reader.item(draft, self._source(line)))
            for line, draft in held
        ]

    def identity(self) -> dict[str, Any]:
        """Return checksums of all that the items depend on: the content, and how it is read."""
        return {
            "content": self.source.checksum(),
            "labels": None if self._labels is None else self._labels.source.checksum(),
            "how": [self._answers, self._delimiter, self._encoding, self.source.suffix],
        }

    def summary(self) -> Summary:
        """Return how the items are read."""
        self._survey()
        return self._reader.summary()

    def facts(self) -> dict[str, str]:
        """Return how the items are read, in words: format, layout, answers, context, not used."""
        summary = self.summary()
        if not summary.n_answers:
            answers = "none"
        elif not summary.conventions:
            answers = "marked by the records"
        else:
            answers = " and ".join(CONVENTIONS[name] for name in summary.conventions)
        unanswered = len(self) - summary.n_answers
        if summary.n_answers and unanswered:
            answers += f" ({unanswered} of {len(self)} missing)"
        return {
            "format": self.format.name,
            "layout": listed(summary.layouts),
            "answers": answers,
            "context": listed(summary.context),
            "not used": listed(summary.unused, 200),
        }

    def description(self) -> str:
        """Return in one line how the items are read."""
        facts = [f"{name} {words}" for name, words in self.facts().items() if words != "none"]
        count = f"{len(self)} item{'s' * (len(self) != 1)}"
        return f"{self.source.name}: {count}; {'; '.join(facts)}"

    @cached_property
    def _surveyed(self) -> int:
        def located() -> Iterator[tuple[str, Item]]:
            for line, draft, answer_place in self._drafts():
                self._reader.see(draft, answer_place)
                yield self._place(line), draft.item

        count = warn_of_duplicates(located())
        if count == 0:
            raise ItemError(f"{self.source.place}: has no items")
        self._reader.settle()
        return count

    def _survey(self) -> None:
        len(self)

    def _drafts(self) -> Iterator[tuple[int, Draft, str]]:
        """Yield the line of each item, the item, and the place of its answer."""
        drafts = self._own_drafts()
        return drafts if self._labels is None else self._labels.attach(drafts)

    def _own_drafts(self) -> Iterator[tuple[int, Draft, str]]:
        for line, record in self._records():
            place = self._place(line)
            try:
                found = list(self._reader.drafts(record))
            except ItemError as error:
                raise ItemError(f"{place}: {error}") from None
            for draft in found:
                yield line, draft, place

    def _records(self) -> Iterator[Record]:
        try:
            yield from self.format.records()
        except LineError as error:
            raise ItemError(f"{self._place(error.line)}: {error}") from None

    def _place(self, line: int | None) -> str:
        if line is None:
            return self.source.place
        return f"{self.source.place}:{'' if self.format.unit == 'line' else ' row '}{line}"

    def _source(self, line: int) -> str:
        return f"{self.source.name}, {self.format.unit} {line}"


def read_items(
    path: str | os.PathLike[str],
    require_answer: bool = False,
    *,
    answers: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> list[Item]:
    """Read every item of a file.

    Parameters
    ----------
    path : path
        See :class:`ItemFile`, as for the other parameters.
    require_answer : bool, default=False
        Raise an error for an item without an answer.
    answers : {"letter", "text", "index", "index-from-1", "label"}, optional
    delimiter : str, optional
    encoding : str, optional
    labels : path, optional

    Returns
    -------
    list of Item

    Raises
    ------
    ItemError
        If the file cannot be read or is empty, an item is malformed, or the answers may be read
        in two ways; the message names file and line.

    Warns
    -----
    DuplicateChoicesWarning
        If an item lists a choice twice.
    """
    return read_file(ItemFile(path, answers, delimiter, encoding, labels), require_answer)


def read_file(file: ItemFile, require_answer: bool = False) -> list[Item]:
    """Read every item of a file that is opened already, like :func:`read_items`."""
    located = file.read()
    for place, item in located:
        if require_answer and item.answer is None:
            others = listed(item.metadata)
            hint = f" (other fields: {others})" if item.metadata else ""
            raise ItemError(f"{place}: the item has no answer{hint}; {NEEDS_ANSWER}")
    warn_of_duplicates(located)
    return [item for _, item in located]


def iter_items(path: str | os.PathLike[str], **options: Any) -> Iterator[Item]:
    """Read a file item by item, without holding it in memory.

    The file is read twice: how answers are written is settled first.

    Parameters
    ----------
    path : path
    **options
        Those of :func:`read_items`.

    Yields
    ------
    Item

    Raises
    ------
    ItemError
        As :func:`read_items`.
    """
    return iter(ItemFile(path, **options))
