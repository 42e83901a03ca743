"""Records that hold several questions, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..errors import ItemError
from .values import fold, plain, plain_mapping, text_of, type_name

__all__ = ["SEVERAL", "single_records"]

# Fields that hold several records, and those beside them that belong to each.
SEVERAL = ("questions", "qas", "examples", "data", "items", "instances", "paragraphs", "rows")
WRAPPED = ("row",)  # as the hub's viewer gives a row
ASKED = ("question", "questionstem", "stem", "query")  # a record with one question of its own
SHARED = ("article", "passage", "context", "story", "paragraph", "document", "text")
DEEPEST = 4


def single_records(record: Any, depth: int = 0) -> Iterator[Mapping[Any, Any]]:
    """Yield the records of one question each that a record holds; mostly itself.

    Read are a list of objects under a name such as ``questions`` (QuALITY), lists of questions,
    options and answers beside each other (RACE), a triple of dialogue, questions and id (DREAM),
    and a question that is an object with its choices (ARC).

    Raises
    ------
    ItemError
        If the record is no object.
    """
    if isinstance(record, list | tuple) and len(record) == 3:
        record = _of_triple(*record)
    if not isinstance(record, Mapping):
        raise ItemError(f"expected one object with question and choices, got {type_name(record)}")
    if not isinstance(record, dict):
        record = plain_mapping(record)
    question, several = _holders(tuple(record))
    inner = None if question is None else record[question]
    if isinstance(inner, Mapping):
        record = {**{name: record[name] for name in record if name != question}, **inner}
    parts = None if several is None else plain(record[several])
    if isinstance(parts, Mapping):
        parts = [parts]
    if not isinstance(parts, list) or not parts or depth == DEEPEST:
        yield record
    elif all(isinstance(part, Mapping) for part in parts):
        yield from _nested(record, parts, depth)
    elif all(isinstance(part, str) for part in parts) and fold(several) == "questions":
        yield from _parallel(record, several, len(parts))
    else:
        yield record


@lru_cache(maxsize=1024)
def _holders(names: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the names of the fields that may hold a nested question, and several ones."""
    folded = {fold(name): name for name in names}
    if not folded.keys().isdisjoint(ASKED):
        return folded.get("question"), None
    several = next((folded[name] for name in (*SEVERAL, *WRAPPED) if name in folded), None)
    return None, several


def _nested(record: Mapping[Any, Any], parts: list[Any], depth: int) -> Iterator[Mapping[Any, Any]]:
    shared = {name: value for name, value in record.items() if fold(name) in SHARED}
    named = next((name for name in record if fold(name) in ("id", "articleid", "exampleid")), None)
    for place, part in enumerate(parts):
        outer = None if named is None or named in part else text_of(plain(record[named]))
        own = {} if outer is None else {named: f"{outer}-{place}"}
        yield from single_records({**shared, **own, **part}, depth + 1)


def _parallel(record: Mapping[Any, Any], several: Any, count: int) -> Iterator[Mapping[Any, Any]]:
    singular = {"questions": "question", "answers": "answer"}
    lists = {name: plain(value) for name, value in record.items()}
    lists = {
        name: value
        for name, value in lists.items()
        if isinstance(value, list) and (len(value) == count or fold(name) in singular)
    }
    for name, value in lists.items():
        if len(value) != count:
            raise ItemError(f"got {count} {several} but {len(value)} {name}")
    for place in range(count):
        single = {name: value for name, value in record.items() if name not in lists}
        if "id" in single:
            single["id"] = f"{text_of(plain(single['id']))}-{place}"
        for name, value in lists.items():
            single[singular.get(fold(name), name)] = value[place]
        yield single


def _of_triple(dialogue: Any, questions: Any, name: Any) -> Any:
    if isinstance(dialogue, list) and all(isinstance(line, str) for line in dialogue):
        return {"context": "\n".join(dialogue), "questions": questions, "id": name}
    return [dialogue, questions, name]
