"""Files of records: one for each item, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from likra_lite.errors import LikraError, import_extra
from likra_lite.system.atomic import atomic_bytes
from likra_lite.system.resumable import ResumableFile

if TYPE_CHECKING:
    from likra_lite.questions.formats import Format

__all__ = ["FORMATS", "FOR_PEOPLE", "Records", "format_of", "is_standard_output", "open_records"]

Record = Mapping[str, Any]
DECIMALS = 4  # of numbers in CSV
STANDARD_OUTPUT = ("-", "/dev/stdout")


class RecordWriter(Protocol):
    """Writes records to a binary stream; what is written is whole when it exits."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def write(self, records: Sequence[Record]) -> None:
        """Write some records."""


class _Text:
    """A text stream on top of the binary one, which stays open."""

    def __init__(self, stream: IO[bytes], types: Mapping[str, Any], begun: bool) -> None:
        self.text = TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self.types = types

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.text.detach()


class JsonLines(_Text):
    """One JSON object in a line; what a record lacks is left out."""

    def write(self, records: Sequence[Record]) -> None:
        """Write some records."""
        for record in records:
            self.text.write(json.dumps(record, allow_nan=False) + "\n")


class Csv(_Text):
    """A header and one row for each record; lists are JSON, one column for each head.

    Numbers have four decimals: where and by how many threads a model runs changes the fifth.
    """

    def __init__(
        self, stream: IO[bytes], types: Mapping[str, Any], begun: bool, like: Format | None = None
    ) -> None:
        super().__init__(stream, types, begun)
        delimiter = (like and like.delimiter) or ","
        self.rows = csv.DictWriter(
            self.text, list(_flat(types)), delimiter=delimiter, lineterminator="\n"
        )
        if not begun:
            self.text.write("\ufeff" if like is not None and like.is_marked else "")
            self.rows.writeheader()

    def write(self, records: Sequence[Record]) -> None:
        """Write some records."""
        for record in records:
            self.rows.writerow({name: _cell(value) for name, value in _flat(record).items()})


class Parquet:
    """A Parquet file (extra ``data``)."""

    def __init__(self, stream: IO[bytes], types: Mapping[str, Any], begun: bool) -> None:
        self.arrow: Any = import_extra("pyarrow", "data")
        parquet: Any = import_extra("pyarrow.parquet", "data")
        self.schema = self.arrow.schema(
            [(name, self._arrow_type(kind)) for name, kind in types.items()]
        )
        self.writer = parquet.ParquetWriter(stream, self.schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def write(self, records: Sequence[Record]) -> None:
        """Write some records."""
        rows = [{**record, "id": str(record["id"])} for record in records]
        self.writer.write_table(self.arrow.Table.from_pylist(rows, self.schema))

    def _arrow_type(self, kind: Any) -> Any:
        if isinstance(kind, Mapping):
            return self.arrow.struct([(name, self._arrow_type(of)) for name, of in kind.items()])
        if isinstance(kind, list):
            return self.arrow.list_(self._arrow_type(kind[0]))
        names = {str: "string", int: "int64", float: "float64", bool: "bool_"}
        return getattr(self.arrow, names[kind])()


# From a stream, the columns, and whether the stream holds records already.
FORMATS: dict[str, Callable[[IO[bytes], Mapping[str, Any], bool], RecordWriter]] = {
    "jsonl": JsonLines,
    "csv": Csv,
    "parquet": Parquet,
}
FOR_PEOPLE = ("csv",)  # with the question, and numbers that can be read
SPREADSHEETS = ("xlsx", "xls", "ods")
RESUMABLE = ("jsonl", "csv")  # whose records stand one behind the other


def format_of(out: str | None, given: str | None) -> str:
    """Return the format asked for, or that of the file's ending, or else JSON lines.

    Raises
    ------
    LikraError
        If the ending is that of a spreadsheet.
    """
    ending = "" if out is None else Path(out).suffix.lower().removeprefix(".")
    if given is None and ending in SPREADSHEETS:
        raise LikraError(
            f"cannot write {out} as a spreadsheet; give it the ending .csv, which they open"
        )
    return given or (ending if ending in FORMATS else "jsonl")


def is_standard_output(out: str | None) -> bool:
    """Return whether no file is meant."""
    return out is None or out in STANDARD_OUTPUT


class Records:
    """A file of records that is open for writing.

    Parameters
    ----------
    writer : RecordWriter
    file : ResumableFile or None
        None where nothing is taken up.
    """

    def __init__(self, writer: RecordWriter, file: ResumableFile | None = None) -> None:
        self.writer, self.file = writer, file

    @property
    def state(self) -> dict[str, Any] | None:
        """As it was given with the last records of the run that is taken up."""
        return None if self.file is None else self.file.state

    def write(self, records: Sequence[Record], state: dict[str, Any]) -> None:
        """Write some records, and note what is to be known to go on behind them."""
        self.writer.write(records)
        if self.file is not None:
            self.file.note(state)


@contextmanager
def open_records(
    out: str | None,
    form: str,
    types: Mapping[str, Any],
    identity: str,
    like: Format | None = None,
) -> Iterator[Records]:
    """Yield what writes records to a file, whole or not at all, or to standard output.

    Parameters
    ----------
    out : str or None
        None, ``-`` or ``/dev/stdout`` for standard output.
    form : str
        One of :data:`FORMATS`.
    types : mapping
        The columns, as :func:`likra_lite.scoring.rows.row_types` gives them.
    identity : str
        A checksum of all that the records depend on: what an earlier run has left of the same is
        taken up.
    like : Format, optional
        A table whose delimiter and byte order mark CSV is to have.
    """
    opened = partial(Csv, like=like) if form == "csv" else FORMATS[form]
    if is_standard_output(out):
        sys.stdout.flush()
        with opened(sys.stdout.buffer, types, False) as writer:
            yield Records(writer)
        return
    assert out is not None
    if form not in RESUMABLE or is_special(out):
        with atomic_bytes(out) as stream, opened(stream, types, False) as writer:
            yield Records(writer)
        return
    with (
        ResumableFile(out, identity) as file,
        opened(file.stream, types, file.state is not None) as writer,
    ):
        yield Records(writer, file)


def is_special(out: str) -> bool:
    """Return whether a path is a pipe or a device."""
    return Path(out).exists() and not Path(out).is_file()


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns within a column as columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner}": one for inner, one in value.items()})
        else:
            flat[name] = value
    return flat


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps([_readable(each) for each in value], allow_nan=False)
    return json.dumps(value) if isinstance(value, bool) else value


def _readable(value: Any) -> Any:
    return round(value, DECIMALS) + 0.0 if isinstance(value, float) else value
