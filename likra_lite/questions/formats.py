"""Formats of files: told by their endings and first bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ..errors import ItemError
from .columnar import class_labels, columnar_records
from .documents import Record, is_json, json_document, json_lines
from .markup import xml_records
from .streams import Source, encoding_of
from .tables import sniff, table_records

__all__ = ["Format", "format_of"]

TABLES = (".csv", ".tsv", ".tab")
LINES = (".jsonl", ".ndjson")
BY_CONTENT = ("", ".txt", ".json")
KNOWN = (*LINES, ".json", *TABLES, ".parquet", ".arrow", ".feather", ".xml", ".txt")


@dataclass(frozen=True)
class Format:
    """How a file is to be read.

    Attributes
    ----------
    name : str
        For people: ``CSV, semicolon, cp1252``.
    records : callable
        Yields line and record, anew at every call.
    unit : str
        What records are counted in: ``line``, or ``row`` where a file has no lines.
    class_labels : tuple of str
        Fields that hold indices from 0, as the file itself says.
    delimiter : str or None
        Of a table.
    is_marked : bool
        Whether a table has a byte order mark, or another encoding than UTF-8, as from a
        spreadsheet, which reads UTF-8 only with the mark.
    """

    name: str
    records: Callable[[], Iterator[Record]]
    unit: str = "line"
    class_labels: tuple[str, ...] = ()
    delimiter: str | None = None
    is_marked: bool = False


def format_of(source: Source, delimiter: str | None, encoding: str | None) -> Format:
    """Tell the format of a file.

    Parameters
    ----------
    source : Source
    delimiter : str or None
        Of a table; sniffed by default.
    encoding : str or None
        Of a text; sniffed by default.

    Raises
    ------
    ItemError
        If the file cannot be read, or its ending is that of something else.
    """
    suffix = source.suffix
    if suffix not in (*KNOWN, *BY_CONTENT):
        wanted = "; save the sheet as CSV" if suffix in (".xlsx", ".xls", ".ods") else ""
        raise ItemError(f"{source.place}: got a {suffix} file, expected {', '.join(KNOWN)}{wanted}")
    head = source.head()
    start = head[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"PAR1") or suffix == ".parquet":
        return _columnar(source, is_parquet=True)
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")) or suffix in (".arrow", ".feather"):
        return _columnar(source, is_parquet=False)
    if suffix == ".xml" or (suffix in BY_CONTENT and start.startswith(b"<")):
        return Format("XML", partial(_with_stream, source))
    known = encoding or encoding_of(source, is_table=False)
    is_text = suffix in LINES or suffix == ".json"
    is_text = is_text or (
        suffix not in TABLES and head.decode(known, "ignore").lstrip()[:1] in "[{"
    )
    if is_text:
        return _json(source, known, is_lines=suffix in LINES)
    return _table(source, encoding or encoding_of(source, is_table=True), delimiter)


def _columnar(source: Source, is_parquet: bool) -> Format:
    def records() -> Iterator[Record]:
        with source.open() as stream:
            yield from columnar_records(stream, is_parquet)

    with source.open() as stream:
        labels = class_labels(stream, is_parquet)
    return Format("Parquet" if is_parquet else "Arrow", records, "row", labels)


def _with_stream(source: Source) -> Iterator[Record]:
    with source.open() as stream:
        yield from xml_records(stream)


def _json(source: Source, encoding: str, is_lines: bool) -> Format:
    note = "" if encoding.startswith("utf-8") else f", {encoding}"
    with closing(source.lines(encoding)) as lines:
        first = next((line for _, line in lines if line.strip()), "")
    if not first.lstrip().startswith("[") and (is_lines or is_json(first)):
        return Format(f"JSON lines{note}", lambda: json_lines(source.lines(encoding)))
    return Format(f"JSON{note}", lambda: json_document(source.text(encoding)))


def _table(source: Source, encoding: str, delimiter: str | None) -> Format:
    is_tsv = source.suffix in (".tsv", ".tab")
    with closing(source.lines(encoding)) as lines:
        dialect = sniff(lines, delimiter, is_tsv)
    notes = [] if encoding.startswith("utf-8") else [encoding]
    return Format(
        ", ".join(["table", dialect.name, *notes]),
        lambda: table_records(source.lines(encoding), dialect),
        delimiter=dialect.delimiter,
        is_marked=encoding != "utf-8",
    )
