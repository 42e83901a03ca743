"""Kinds of values that options take."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import click

__all__ = ["ListOf", "ListOfRegistered", "NumberOrAuto", "Registered"]


class Registered(click.Choice):  # type: ignore[type-arg]  # generic in new versions only
    """A name in one of the library's registries, which is imported when it is needed.

    Parameters
    ----------
    registry : str
        Module of the library and name in it, such as ``"heads.negatives:NEGATIVES"``.
    first, last : str, optional
        Names to be allowed besides.
    """

    case_sensitive = True

    def __init__(self, registry: str, first: str | None = None, last: str | None = None) -> None:
        self.registry, self.first, self.last = registry, first, last

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names, in the registry's order."""
        module, _, name = self.registry.partition(":")
        names = getattr(importlib.import_module(f"likra_lite.{module}"), name)
        around = ([self.first], [*names], [self.last])
        return tuple(name for names in around for name in names if name is not None)


class ListOf(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """Values with commas between, each once.

    Parameters
    ----------
    name : str
        What stands for them in the help.
    convert : callable
        Reads one value; raises ValueError if it is none.
    what : str
        What the values should be, for the message.
    """

    def __init__(self, name: str, convert: Callable[[str], Any], what: str) -> None:
        self.name = name
        self.each = convert
        self.what = what

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, ...]:
        """Return the values."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(dict.fromkeys(self.each(part.strip()) for part in value.split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a list of {self.what}", param, ctx)


class ListOfRegistered(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """Names of a registry with commas between, each once.

    Parameters
    ----------
    registered : Registered
    what : str
        What they name, for the message.
    """

    def __init__(self, registered: Registered, what: str) -> None:
        self.name = what
        self.registered = registered

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the names, for the help."""
        return f"[{'|'.join(self.registered.choices)}],..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Return the names."""
        names = self.registered.choices
        return ListOf("", self._checked, f"{self.name}: {', '.join(names)}").convert(
            value, param, ctx
        )

    def _checked(self, word: str) -> str:
        if word not in self.registered.choices:
            raise ValueError(word)
        return word


class NumberOrAuto(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """A number of at least 0, or ``auto``.

    Parameters
    ----------
    number : type, default=float
        ``int`` for a whole one.
    """

    name = "NUMBER|auto"

    def __init__(self, number: type[float] | type[int] = float) -> None:
        self.number = number

    def convert(self, value: Any, param: Any, ctx: Any) -> float | int | str:
        """Return the number, or ``auto``."""
        if value == "auto" or isinstance(value, self.number):
            return value
        try:
            return self.number(value)
        except ValueError:
            whole = "a whole" if self.number is int else "a"
            self.fail(f"{value!r} is neither {whole} number nor 'auto'", param, ctx)
