"""Everything in Python that is accepted as a list of items, or as their right answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ItemError, first_line, printable
from .answers import Convention, Given, check_answers
from .choices import texts_of
from .fields import listed
from .item import NEEDS_ANSWER, Item
from .records import Draft, Reader
from .values import is_missing, plain, type_name

__all__ = ["answer_indices", "as_items"]


def as_items(X: Any, answers: str | None = None) -> list[Item]:
    """Return `X` as a list of items.

    Parameters
    ----------
    X : list or 1-D object array of Item, dict or (question, choices), DataFrame or Dataset
        Dicts, and rows of a pandas or Polars DataFrame, a PyArrow table or a Hugging Face
        Dataset, are read in any of the layouts that files may have.
    answers : {"letter", "text", "index", "index-from-1", "label"}, optional
        How the answers of dicts and rows are written. [default: what fits all of them]

    Returns
    -------
    list of Item

    Raises
    ------
    ItemError
        If `X` is empty, an entry is malformed, or its answers may be read in two ways; the
        message names the entry by its index.
    """
    reader = Reader(answers, _class_labels(X))
    read: list[Item | Draft] = []
    for index, entry in enumerate(_entries(X)):
        place = f"item {index}"
        try:
            found = list(_read(entry, reader))
        except ItemError as error:
            raise ItemError(f"{place}: {error}") from None
        for each in found:
            if isinstance(each, Draft):
                reader.see(each, place)
        read += found
    if not read:
        raise ItemError("expected at least one item, got none")
    reader.settle()
    return [reader.item(each) if isinstance(each, Draft) else each for each in read]


def _entries(X: Any) -> Iterable[Any]:
    """Return the entries of whatever holds some; tables give their rows as dicts."""
    if isinstance(X, str | bytes | Mapping | Item):
        hint = "; a file is read by read_items" if isinstance(X, str) else ""
        hint = "; choose a split" if isinstance(X, Mapping) and hasattr(X, "column_names") else hint
        raise ItemError(f"expected a list of items, got {type_name(X)}{hint}")
    if isinstance(X, np.ndarray) and X.ndim != 1:
        raise ItemError(f"expected a 1-D array of items, got shape {X.shape}")
    try:
        for rows in ("to_dicts", "to_pylist"):  # Polars; PyArrow
            if hasattr(X, rows) and hasattr(X, "schema"):
                return list(getattr(X, rows)())
        if hasattr(X, "columns") and hasattr(X, "to_dict"):
            _check_unique([*X.columns])
            return list(X.to_dict("records"))
        return list(X)
    except ItemError:
        raise
    except Exception as error:  # anything may be handed in, and its own code may fail
        reason = printable(first_line(error), 100)
        raise ItemError(f"expected a list of items, got {type_name(X)} ({reason})") from error


def _check_unique(names: list[Any]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ItemError(f"the table has two columns {listed(twice[:1])}; rename one")


def _class_labels(X: Any) -> Collection[str]:
    """Return the fields of a Hugging Face Dataset that hold indices of classes."""
    features = getattr(X, "features", None)
    if not isinstance(features, Mapping):
        return ()
    return [name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"]


def _read(entry: Any, reader: Reader) -> Iterable[Item | Draft]:
    if isinstance(entry, Item):
        return [entry]
    if isinstance(entry, Mapping):
        return reader.drafts(entry)
    if isinstance(entry, Sequence | np.ndarray) and not isinstance(entry, str | bytes):
        pair = plain(entry)
        if isinstance(pair, list) and len(pair) == 2:
            question, choices = pair
            return [Item(question, texts_of(choices) if isinstance(choices, list) else choices)]  # type: ignore[arg-type]
    raise ItemError(
        f"expected an Item, a dict with question and choices, or a pair (question, choices), "
        f"got {type_name(entry)}"
    )


def answer_indices(
    items: Sequence[Item], y: ArrayLike | None = None, answers: str | None = None
) -> NDArray[np.int64]:
    """Return the index of every item's right choice.

    Parameters
    ----------
    items : sequence of Item
    y : array-like of shape (n_items,), optional
        Numbers are indices from 0; letters, texts of choices and digits in strings are read by
        the rule of files. [default: the items' own answers]
    answers : {"letter", "text", "index", "index-from-1"}, optional
        How `y` is written. [default: what fits all of it]

    Returns
    -------
    ndarray of shape (n_items,)

    Raises
    ------
    ItemError
        If an answer is missing or out of range, or they may be read in two ways.
    """
    check_answers(answers)
    if y is None:
        for index, item in enumerate(items):
            if item.answer is None:
                raise ItemError(
                    f"{_place(index, item)} has no answer; pass y, or give it one: {NEEDS_ANSWER}"
                )
        return np.array([item.answer for item in items], dtype=np.int64)
    values = _values_of(y, len(items))
    if answers is None:
        # Predictions are indices, and must be accepted as such.
        is_number = [isinstance(value, int | float) for value in values]
        allowed = ("index",) if all(is_number) else ("letter", "text", "index")
    else:
        allowed = (answers,)
    given = [Given(value, item.choices) for value, item in zip(values, items, strict=True)]
    convention = Convention(allowed)
    for index, each in enumerate(given):
        convention.see(each, f"item {index}")
    indices = [convention.read(each) for each in given]
    for index, found in enumerate(indices):
        if found is None:
            raise ItemError(f"{_place(index, items[index])} has no answer in y")
    return np.array(indices, dtype=np.int64)


def _place(index: int, item: Item) -> str:
    return f"item {index}" + (f" (id {printable(item.id, 60)})" if item.id else "")


def _values_of(y: Any, n_items: int) -> list[Any]:
    try:
        shape = np.shape(y) if not isinstance(y, list | tuple) else (len(y),)
    except Exception as error:  # anything may be handed in
        raise ItemError(f"got y of type {type_name(y)}; expected a list or an array") from error
    if shape != (n_items,):
        raise ItemError(f"got y of shape {shape} for {n_items} items")
    return [None if is_missing(value) else value for value in map(plain, y)]
