"""Parquet and Arrow files, through PyArrow (extra ``data``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from ..errors import first_line, import_extra, printable
from .documents import Record
from .streams import LineError

__all__ = ["class_labels", "columnar_records"]

ROWS = 1024  # that are Python objects at a time


def columnar_records(stream: IO[bytes], is_parquet: bool) -> Iterator[Record]:
    """Yield the rows, counted from 1, as mappings from names to values.

    Raises
    ------
    LineError
        If the file is neither, or two columns have the same name.
    MissingExtraError
        If PyArrow is not installed.
    """
    count = 0
    for batch in _batches(stream, is_parquet):
        for row in batch.to_pylist():
            count += 1
            yield count, row


def class_labels(stream: IO[bytes], is_parquet: bool) -> tuple[str, ...]:
    """Return the columns that hold indices of classes, where the Hugging Face hub says so."""
    metadata = _schema(stream, is_parquet).metadata or {}
    try:
        info = json.loads(metadata[b"huggingface"])["info"]["features"]
        kinds = {name: feature.get("_type") for name, feature in info.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
    return tuple(name for name, kind in kinds.items() if kind == "ClassLabel")


def _batches(stream: IO[bytes], is_parquet: bool) -> Iterator[Any]:
    arrow: Any = import_extra("pyarrow", "data")
    names = _schema(stream, is_parquet).names
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise LineError(None, f"two columns have the name {printable(twice[0], 50)}; rename one")
    stream.seek(0)
    try:
        if is_parquet:
            parquet: Any = import_extra("pyarrow.parquet", "data")
            yield from parquet.ParquetFile(stream).iter_batches(ROWS)
        else:
            for batch in _arrow_reader(arrow, stream)[1]:
                for start in range(0, batch.num_rows, ROWS):
                    yield batch.slice(start, ROWS)
    except arrow.ArrowException as error:
        raise LineError(None, f"cannot be read: {printable(first_line(error), 150)}") from None


def _schema(stream: IO[bytes], is_parquet: bool) -> Any:
    arrow: Any = import_extra("pyarrow", "data")
    stream.seek(0)
    try:
        if is_parquet:
            parquet: Any = import_extra("pyarrow.parquet", "data")
            return parquet.read_schema(stream)
        return _arrow_reader(arrow, stream)[0].schema
    except (arrow.ArrowException, OSError) as error:
        raise LineError(None, f"cannot be read: {printable(first_line(error), 150)}") from None


def _arrow_reader(arrow: Any, stream: IO[bytes]) -> tuple[Any, Iterator[Any]]:
    """Open Arrow's file format, or else its stream format."""
    start = stream.read(6)
    stream.seek(0)
    if start == b"ARROW1":
        reader = arrow.ipc.open_file(stream)
        return reader, (reader.get_batch(i) for i in range(reader.num_record_batches))
    reader = arrow.ipc.open_stream(stream)
    return reader, iter(reader)
