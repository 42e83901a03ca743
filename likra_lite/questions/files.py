"""Files of items: JSONL and CSV, in the plain layout and in published ones."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ..errors import ItemError
from .item import NEEDS_ANSWER, Item, item_from_record, warn_of_duplicates

__all__ = ["count_items", "iter_items", "read_items"]

_INDEX = re.compile(r"-?\d+(?:\.0+)?")
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
            others = ", ".join(map(str, item.metadata))
            hint = f" (other fields: {others})" if others else ""
            raise ItemError(f"{place}: the item has no answer{hint}; {NEEDS_ANSWER}")
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

    A line of JSONL or a row of CSV is read by
    :func:`likra_lite.questions.layouts.fields_of_record`: the plain layout and those of ARC and
    CommonsenseQA. ARC's CSV, with the choices inside the question, is read too.

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
                item = replace(item_from_record(record), source=f"{path.name}, line {line}")
                yield f"{path}:{line}", item
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
        except ValueError as error:
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            reason = getattr(error, "msg", str(error))
            yield line, ItemError(f"is not JSON ({reason}{where}); expected one object per line")


def _tsv_records(stream: TextIO) -> Iterator[tuple[int, Any]]:
    return _csv_records(stream, delimiter="\t")


def _csv_records(stream: TextIO, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
    header = reader.fieldnames or []
    if header and "question" not in header:
        names = ", ".join(header)
        yield 1, ItemError(f"the header has no column question; it has {names}")
    for row in reader:
        if None in row:
            yield reader.line_num, ItemError(f"has more cells than the header's {len(header)}")
        elif "AnswerKey" in row and _INLINE_CHOICE.search(row["question"] or ""):
            yield reader.line_num, _arc_csv_record(row)
        else:
            yield reader.line_num, _with_index(row)


def _with_index(row: dict[str, Any]) -> dict[str, Any]:
    """Turn an answer that is written as a number into one."""
    name = next((name for name in row if name.lower() == "answer"), "answer")
    answer = (row.get(name) or "").strip()
    return row | {name: int(float(answer))} if _INDEX.fullmatch(answer) else row


def _arc_csv_record(row: Mapping[str, Any]) -> Any:
    """Split ``Which? (A) one (B) two``; a number in brackets may stand in the question too."""
    marks = list(_INLINE_CHOICE.finditer(row["question"] or ""))
    starts = [place for place, mark in enumerate(marks) if mark[1] in "A1"]
    marks = marks[starts[-1] :] if starts else []
    ends = [mark.start() for mark in marks[1:]] + [None]
    texts = [row["question"][mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
    return {
        "id": row.get("questionID"),
        "question": row["question"][: marks[0].start()] if marks else row["question"],
        "choices": {"text": texts, "label": [mark[1] for mark in marks]},
        "answerKey": row["AnswerKey"],
    }
