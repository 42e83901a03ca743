"""Tables as text: CSV and TSV, with whatever delimiter, with or without a header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from ..errors import ItemError, LikraError
from .documents import Record
from .layouts import plan_of
from .streams import LineError
from .values import shown

__all__ = ["Dialect", "check_delimiter", "sniff", "table_records"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 50  # lines that the dialect is told from
MOST_TITLES = 10  # rows that may stand above the header

_ANNOUNCED = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's first line


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes
    ----------
    delimiter : str
    has_header : bool
    is_spaced : bool
        Whether a space follows each delimiter.
    skipped : int
        Lines before the table.
    title : str
        What stands there, if it is text.
    """

    delimiter: str = ","
    has_header: bool = True
    is_spaced: bool = False
    skipped: int = 0
    title: str = ""

    @property
    def name(self) -> str:
        """The delimiter in words, and what else is to be known of the table."""
        words = [DELIMITERS.get(self.delimiter, f"delimiter {shown(self.delimiter)}")]
        if not self.has_header:
            words.append("no header")
        if self.title:
            lines = "line 1" if self.skipped == 1 else f"lines 1 to {self.skipped}"
            words.append(f"{lines} left out as a title ({shown(self.title)})")
        return ", ".join(words)


def check_delimiter(delimiter: str | None) -> str | None:
    r"""Return the character that a delimiter stands for; ``tab`` and ``\t`` are one.

    Raises
    ------
    LikraError
        If it is none.
    """
    if delimiter is None:
        return None
    names = {name: character for character, name in DELIMITERS.items()} | {"\\t": "\t"}
    character = names.get(delimiter, delimiter) if isinstance(delimiter, str) else None
    if character is None or len(character) != 1 or character in '"\r\n':
        raise LikraError(f"got delimiter={delimiter!r}; expected one character, or tab")
    return character


def sniff(lines: Iterable[tuple[int, str]], delimiter: str | None, is_tsv: bool) -> Dialect:
    """Tell how a table is written from its first lines.

    The delimiter is the one with which the first row is a header of some layout, or else an item
    without a header: a question, choices and a letter. Rows above a header are a title if fewer
    of their cells are filled.

    Parameters
    ----------
    lines : iterable of (int, str)
    delimiter : str or None
        The one to use.
    is_tsv : bool
        Whether to prefer tabs.
    """
    sample = [line for _, line in islice(lines, SAMPLE)]
    announced = _ANNOUNCED.fullmatch(sample[0]) if sample else None
    if announced is not None:
        sample = sample[1:]
        delimiter = delimiter or announced[1]
    candidates = [delimiter] if delimiter else sorted(DELIMITERS, key=lambda d: d != "\t" * is_tsv)
    skipped = int(announced is not None)
    dialects = [_dialect(sample, candidate, skipped) for candidate in candidates]
    return max(dialects, key=lambda found: found[0])[1]


def _dialect(
    sample: Sequence[str], delimiter: str, skipped: int
) -> tuple[tuple[int, int], Dialect]:
    rows = _sample_rows(sample, delimiter)
    _, first = next(rows, (0, []))
    names = _names(first)
    is_header, is_item = _is_header(names), _is_item(names)
    if not (is_header or is_item):
        above, titles = len(_filled(names)), _filled(names)
        for lines, row in islice(rows, MOST_TITLES):
            names = _names(row)
            if above < len(_filled(names)) and _is_header(names):
                found = Dialect(delimiter, True, _is_spaced(row), skipped + lines, " ".join(titles))
                return (2, len(row)), found
            above = max(above, len(_filled(names)))
            titles += _filled(names)
    dialect = Dialect(delimiter, is_header or not is_item, _is_spaced(first), skipped)
    return (2 * is_header + is_item, len(first)), dialect


def _sample_rows(sample: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows, as far as they can be read, with the number of lines before each."""
    reader = csv.reader(sample, delimiter=delimiter)
    before = 0
    with suppress(csv.Error):
        for row in reader:
            yield before, row
            before = reader.line_num


def _names(row: Sequence[str]) -> list[str]:
    return [name.strip(' "') for name in row]


def _filled(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if cell]


def _is_spaced(row: Sequence[str]) -> bool:
    return len(row) > 1 and all(cell.startswith(" ") for cell in row[1:])


def _is_header(names: Sequence[str]) -> bool:
    try:
        plan_of([name for name in names if name])
    except ItemError:
        return False
    return True


def _is_item(cells: Sequence[str]) -> bool:
    """Return whether a row is a question, two or more choices and the letter of one of them."""
    letters = [chr(ord("A") + place) for place in range(len(cells) - 2)]
    return len(cells) >= 4 and all(cells) and cells[-1].upper() in letters


def table_records(lines: Iterable[tuple[int, str]], dialect: Dialect) -> Iterator[Record]:
    """Yield each row as a mapping from names to cells; empty rows are skipped.

    Raises
    ------
    LineError
        If a row has more cells than the header, a quote is open, or two columns have the same name.
    """
    header: list[str] = []
    for line, cells, physical in _rows(lines, dialect):
        if not any(cell.strip() for cell in cells):
            continue
        if not header and dialect.has_header:
            header = [name.strip() for name in cells]
            _check_header(line, header)
            continue
        if not header:
            letters = [chr(ord("A") + place) for place in range(len(cells) - 2)]
            header = ["question", *letters, "answer"]
        _check_row(line, header, cells, physical, dialect)
        padded = [*cells, *[""] * (len(header) - len(cells))]
        yield line, {name: cell for name, cell in zip(header, padded, strict=False) if name}


def _check_header(line: int, header: Sequence[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise LineError(line, f"the header has the column {shown(twice[0])} twice; rename one")
    try:
        plan_of([name for name in header if name])
    except ItemError as error:
        raise LineError(line, str(error)) from None


def _check_row(
    line: int,
    header: Sequence[str],
    cells: Sequence[str],
    physical: Sequence[str],
    dialect: Dialect,
) -> None:
    if len(physical) > 1 and _swallows(header, cells, physical, dialect.delimiter):
        raise LineError(line, "a quote is opened and not closed: the cell takes in other rows")
    if any(cell.strip() for cell in cells[len(header) :]):
        raise LineError(line, f"has {len(cells)} cells, more than the header's {len(header)}")
    if not dialect.has_header and len(cells) < len(header):
        raise LineError(line, f"has {len(cells)} cells, but the first row has {len(header)}")


def _swallows(
    header: Sequence[str], cells: Sequence[str], physical: Sequence[str], delimiter: str
) -> bool:
    """Return whether a row of several lines looks like rows between two stray quotes."""
    if len(cells) < len(header):
        return True
    if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in cells):
        return True
    n_quotes = [line.count('"') for line in physical]
    are_stray = n_quotes[0] == n_quotes[-1] == 1 and not any(n_quotes[1:-1])
    n_delimiters = {line.count(delimiter) for line in physical if line.strip()}
    return are_stray and n_delimiters == {len(header) - 1}


def _rows(
    lines: Iterable[tuple[int, str]], dialect: Dialect
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the first line of each row, its cells, and the lines that it stands on."""
    physical: list[str] = []
    number = dialect.skipped

    def feed() -> Iterator[str]:
        nonlocal number
        for number, line in lines:
            if number > dialect.skipped:
                physical.append(line)
                yield line

    reader = csv.reader(
        feed(), delimiter=dialect.delimiter, skipinitialspace=dialect.is_spaced, strict=True
    )
    while True:
        start = number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"a quote is not closed, or not doubled inside a cell ({error})"
            raise LineError(start, reason) from None
        yield start, cells, physical
        physical.clear()
