"""Files of items: JSONL and CSV, in the plain layout and in published ones."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from .errors import ItemError
from .items import NEEDS_ANSWER, Item, item_from_record, warn_of_duplicates

__all__ = ["count_items", "iter_items", "read_items"]

_CHOICE_COLUMN = re.compile(r"[a-z]|(?:choice|option)(?:[ _-]?\d+|[ _-][a-z])", re.I)
_INLINE_CHOICE = re.compile(r"\s*\(([A-E1-5])\)\s*")


def read_items(path: str | os.PathLike[str], require_answer: bool = False) -> list[Item]:
    """Read every item of a file.

    Parameters
    ----------
    path : path
        A ``.jsonl`` (or ``.json``) file with one object per line, or a ``.csv`` or
        ``.tsv`` file with a header. See :func:`iter_items` for the layouts.
    require_answer : bool, default=False
        Raise an error for an item without an answer.

    Returns
    -------
    list of Item

    Raises
    ------
    ItemError
        If the file cannot be read or is empty, or an item is malformed; the message
        names file and line.

    Warns
    -----
    DuplicateChoicesWarning
        If an item lists a choice twice.
    """
    located = []
    for place, item in _located(Path(path)):
        if require_answer and item.answer is None:
            raise ItemError(f"{place}: the item has no answer; {NEEDS_ANSWER}")
        located.append((place, item))
    warn_of_duplicates(located)
    return [item for _, item in located]


def count_items(path: str | os.PathLike[str]) -> int:
    """Check every item of a file without holding it in memory, and return their number.

    Raises and warns like :func:`read_items`.
    """
    return warn_of_duplicates(_located(Path(path)))


def iter_items(path: str | os.PathLike[str]) -> Iterator[Item]:
    """Read a file item by item, without holding it in memory.

    JSONL lines are read by :func:`likra_lite.items.item_from_record`: the plain layout and
    those of ARC and CommonsenseQA. A CSV file has a column ``question``, and either one
    column per choice (``choice_0, choice_1, ...`` or ``A, B, ...``; empty cells at the end
    are no choices) or a column ``choices`` with a JSON list; ``answer`` is an index counted
    from 0 or a letter. ARC's CSV, with the choices inside the question, is read too.

    Parameters
    ----------
    path : path

    Yields
    ------
    Item

    Raises
    ------
    ItemError
        As :func:`read_items`.
    """
    for _, item in _located(Path(path)):
        yield item


def _located(path: Path) -> Iterator[tuple[str, Item]]:
    """Yield items with their ``file:line``."""
    formats = {
        ".jsonl": _json_records,
        ".json": _json_records,
        ".csv": _csv_records,
        ".tsv": _tsv_records,
    }
    records = formats.get(path.suffix.lower())
    if records is None:
        raise ItemError(
            f"{path}: got a {path.suffix or 'nameless'} file, expected {', '.join(formats)}"
        )
    line, count = 0, 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for line, record in records(stream):
                if isinstance(record, ItemError):
                    raise record
                count += 1
                yield f"{path}:{line}", item_from_record(record)
    except ItemError as error:
        raise ItemError(f"{path}:{line}: {error}") from None
    except UnicodeDecodeError as error:
        raise ItemError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    except csv.Error as error:
        raise ItemError(f"{path}:{line + 1}: {error}") from None
    except OSError as error:
        raise ItemError(f"{path}: cannot be read: {error.strerror}") from None
    if count == 0:
        raise ItemError(f"{path}: has no items")


def _json_records(stream: TextIO) -> Iterator[tuple[int, Any]]:
    for line, text in enumerate(stream, start=1):
        if not text.strip():
            continue
        try:
            yield line, json.loads(text)
        except json.JSONDecodeError as error:
            hint = "expected one JSON object per line"
            yield line, ItemError(f"is not JSON ({error.msg} at column {error.colno}); {hint}")


def _tsv_records(stream: TextIO) -> Iterator[tuple[int, Any]]:
    return _csv_records(stream, delimiter="\t")


def _csv_records(stream: TextIO, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
    header = reader.fieldnames or []
    if header and "question" not in header:
        names = ", ".join(header)
        yield 1, ItemError(f"the header has no column question; it has {names}")
    choices = [name for name in header if _CHOICE_COLUMN.fullmatch(name)]
    for row in reader:
        if None in row:
            yield reader.line_num, ItemError(f"has more cells than the header's {len(header)}")
        else:
            yield reader.line_num, _csv_record(row, choices)


def _csv_record(row: Mapping[str, str | None], columns: list[str]) -> Any:
    record: dict[str, Any] = {key: value for key, value in row.items() if key not in columns}
    if "AnswerKey" in record and "choices" not in record and not columns:
        return _arc_csv_record(record)
    if columns:
        cells = [row[name] or "" for name in columns]
        while cells and not cells[-1].strip():
            cells.pop()
        record["choices"] = cells
    elif record.get("choices"):
        try:
            record["choices"] = json.loads(record["choices"])
        except json.JSONDecodeError:
            return ItemError(f"choices is not a JSON list: {record['choices']!r}")
    else:
        return ItemError("choices are missing: expected columns choice_0, choice_1, ... or choices")
    answer = (record.get("answer") or "").strip()
    if re.fullmatch(r"-?\d+", answer):
        record["answer"] = int(answer)
    return record


def _arc_csv_record(record: Mapping[str, Any]) -> Any:
    stem, *parts = _INLINE_CHOICE.split(record.get("question") or "")
    return {
        "id": record.get("questionID"),
        "question": stem,
        "choices": {"text": parts[1::2], "label": parts[0::2]},
        "answerKey": record["AnswerKey"],
    }
