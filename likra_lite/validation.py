"""Checks of parameters: what was got, and what was expected, in one line whatever it is."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LikraError, printable

__all__ = [
    "as_path",
    "check_flag",
    "check_integer",
    "check_number",
    "check_number_or_auto",
    "check_one_of",
    "check_share",
    "shown",
    "type_name",
]


def shown(value: Any, limit: int = 50) -> str:
    """Return the repr of a value, cut to a length, that a terminal can print."""
    if isinstance(value, str):
        value = value[: limit + 1]
    elif isinstance(value, Mapping | Sequence):
        return f"a {type_name(value)} of length {len(value)}"
    try:
        text = repr(value)
    except Exception:  # an object's own repr, or a number too long for Python to print
        return f"a {type_name(value)}"
    return printable(text, limit)


def type_name(value: object) -> str:
    """Return how a value's type is called in messages."""
    return "nothing" if value is None else type(value).__name__


def check_one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise LikraError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise LikraError(
            f"got {name}={shown(value)}; expected one of {', '.join(map(repr, allowed))}"
        )


def check_integer(name: str, value: Any, least: int, optional: bool = False) -> None:
    """Raise LikraError unless `value` is an integer of at least `least`, or None if optional."""
    if value is None and optional:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise LikraError(f"got {name}={shown(value)}; expected an integer of at least {least}")


def check_flag(name: str, value: Any) -> None:
    """Raise LikraError unless `value` is true or false, as an integer may be too."""
    if not isinstance(value, bool | int | np.bool_ | np.integer):
        raise LikraError(f"got {name}={shown(value)}; expected True or False")


def check_share(name: str, value: Any, inside: bool = False) -> None:
    """Raise LikraError unless `value` is a number between 0 and 1, or strictly inside."""
    if not _is_number(value) or not 0 <= value <= 1 or (inside and value in (0, 1)):
        bounds = ", neither of them" if inside else ""
        raise LikraError(f"got {name}={shown(value)}; expected a share between 0 and 1{bounds}")


def check_number(name: str, value: Any, positive: bool = False, otherwise: str = "") -> None:
    """Raise LikraError unless `value` is a number of at least (or above) 0."""
    if not _is_number(value) or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise LikraError(f"got {name}={shown(value)}; expected a number {bound}{otherwise}")


def check_number_or_auto(name: str, value: Any, positive: bool = False) -> None:
    """Raise LikraError unless `value` is ``"auto"`` or a number of at least (or above) 0."""
    if not (isinstance(value, str) and value == "auto"):
        check_number(name, value, positive, otherwise=" or 'auto'")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of an integer that no float holds
        return False


def as_path(name: str, value: Any) -> Path:
    """Return a path, or raise LikraError if `value` is none."""
    try:
        path = Path(os.fspath(value))
        text = os.fsencode(path)
    except (TypeError, UnicodeEncodeError):
        text = b"\0"
    if b"\0" in text:
        raise LikraError(f"got {name}={shown(value)}; expected a path")
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise LikraError(f"got {name}={shown(value)}; the file name is too long") from None
    return path
