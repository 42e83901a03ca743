"""Values as tables, JSON and Python objects hold them, brought to plain Python ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from ..errors import ItemError, first_line, printable
from ..validation import shown, type_name

__all__ = [
    "fold",
    "is_missing",
    "number_text",
    "plain",
    "plain_mapping",
    "shown",
    "text_of",
    "type_name",
]

LONGEST_NUMBER = 400  # digits; Python refuses to print many more
DEEPEST = 20  # lists inside lists


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON would hold it: NumPy and pandas types go, what is missing is None.

    Arrays and tuples become lists, those inside them too. What has no plain form is returned
    as it is.

    Raises
    ------
    ItemError
        If lists are nested too deep.
    """
    kind = type(value)
    if kind is str or value is None or kind is int or kind is bool:
        return value
    if kind is float:
        return None if math.isnan(value) else value
    if kind is list and all(type(each) is str for each in value):
        return value
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), depth)
    if isinstance(value, np.generic):
        return _plain_scalar(value)
    if isinstance(value, Mapping):
        return value if kind is dict else plain_mapping(value)
    if isinstance(value, list | tuple) or (_is_pandas(value) and hasattr(value, "to_list")):
        if depth == DEEPEST:
            raise ItemError("lists are nested too deep")
        return [plain(each, depth + 1) for each in value]
    return _missing(value) if _is_pandas(value) else value


def plain_mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping as a dict.

    Raises
    ------
    ItemError
        If the mapping's own code fails.
    """
    try:
        return dict(value)
    except Exception as error:  # anything may be handed in
        reason = printable(first_line(error), 100)
        raise ItemError(f"cannot read a {type_name(value)} ({reason})") from error


def _plain_scalar(value: np.generic) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else str(value)
    held = value.item()
    return held if isinstance(held, np.generic) else plain(held)


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas"


def _missing(value: Any) -> Any:
    """Return None for pandas' own NA and NaT."""
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def is_missing(value: Any) -> bool:
    """Return whether a plain value says nothing: None or white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def number_text(value: Any) -> str | None:
    """Return a number as it is written, or None if the value is none.

    A whole number that a column of floats holds is written without its point.
    """
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value) if abs(value) < 10**LONGEST_NUMBER else None


def fold(name: Any) -> str:
    """Return a field's name without case, spaces, underscores and hyphens, or signs around it.

    ``No.``, ``Question:`` and ``A)`` are ``no``, ``question`` and ``a``.
    """
    text = name if isinstance(name, str) else shown(name)
    folded = text.casefold().translate(_SEPARATORS)
    return folded.strip(_SIGNS) or folded


_SIGNS = ".:?*#()"
_SEPARATORS = str.maketrans("", "", " _-\t\ufeff")


def text_of(value: Any) -> str | None:
    """Return a value as text, or None if it has none."""
    if isinstance(value, str):
        return value
    try:
        return number_text(value) or str(value)
    except Exception:  # as in `shown`
        return None
