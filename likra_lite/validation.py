"""Checks of parameters: what was got, and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import LikraError

__all__ = ["check_integer", "check_number", "check_number_or_auto", "check_one_of", "check_share"]


def check_one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise LikraError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise LikraError(f"got {name}={value!r}; expected one of {', '.join(map(repr, allowed))}")


def check_integer(name: str, value: Any, least: int, optional: bool = False) -> None:
    """Raise LikraError unless `value` is an integer of at least `least`, or None if optional."""
    if value is None and optional:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise LikraError(f"got {name}={value!r}; expected an integer of at least {least}")


def check_share(name: str, value: Any, inside: bool = False) -> None:
    """Raise LikraError unless `value` is a number between 0 and 1, or strictly inside."""
    if not _is_number(value) or not 0 <= value <= 1 or (inside and value in (0, 1)):
        bounds = ", neither of them" if inside else ""
        raise LikraError(f"got {name}={value!r}; expected a share between 0 and 1{bounds}")


def check_number(name: str, value: Any, positive: bool = False, otherwise: str = "") -> None:
    """Raise LikraError unless `value` is a number of at least (or above) 0."""
    if not _is_number(value) or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise LikraError(f"got {name}={value!r}; expected a number {bound}{otherwise}")


def check_number_or_auto(name: str, value: Any, positive: bool = False) -> None:
    """Raise LikraError unless `value` is ``"auto"`` or a number of at least (or above) 0."""
    if not (isinstance(value, str) and value == "auto"):
        check_number(name, value, positive, otherwise=" or 'auto'")


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating)
    return real and not isinstance(value, bool) and bool(np.isfinite(value))
