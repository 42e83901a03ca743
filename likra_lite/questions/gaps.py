"""Choices that complete sentences of their own: gaps, pronouns and several contexts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ItemError
from .choices import Options, options_of, texts_of
from .fields import choice_columns
from .forms import BY_ANY, Values
from .values import shown

__all__ = ["Continuation", "Gap", "Pronoun"]


@dataclass(frozen=True)
class Gap:
    """A sentence with ``_`` for which each choice is set in; the rest of the sentence is scored."""

    sentence: str = "sentence"

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the sentence and the choices."""
        columns, _ = choice_columns(names)
        return (self.sentence, *columns) if self.sentence in names and columns else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those of columns."""
        return BY_ANY

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return contexts up to the gap, filled, and what follows as continuation."""
        sentence = values[fields[0]]
        choices = texts_of([values[field] for field in fields[1:]])
        if not isinstance(sentence, str) or sentence.count("_") != 1:
            raise ItemError(f"the sentence needs one gap, written _, got {shown(sentence)}")
        before, _, after = sentence.partition("_")
        return filled(before, choices, after)


@dataclass(frozen=True)
class Pronoun:
    """A sentence, a pronoun in it and what it may stand for (Winograd schemas)."""

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return sentence, pronoun, its place and the choices."""
        found = ("text", "pronoun", "pronounloc", "options")
        return found if set(found) <= names.keys() else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return indices, as published."""
        return ("index",)

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Put each choice in place of the pronoun; the rest of the sentence is scored."""
        text, pronoun, start, choices = (values[field] for field in fields)
        if not (isinstance(text, str) and isinstance(pronoun, str) and isinstance(start, int)):
            raise ItemError("text and pronoun must be texts, and pronoun_loc a number")
        end = start + len(pronoun)
        if start < 0 or text[start:end] != pronoun:
            raise ItemError(f"the pronoun {shown(pronoun)} is not at {start} of the text")
        names = options_of(choices).choices
        if pronoun.casefold() in ("his", "her", "its", "their", "my", "our", "your"):
            names = [f"{name}'s" for name in names]
        if not re.search(r"(^|[.!?]\s*)$", text[:start]):
            names = [_inside_sentence(name) for name in names]
        return filled(text[:start], names, text[end:])


def _inside_sentence(name: Any) -> Any:
    """Write an article or a possessive in small letters."""
    if not isinstance(name, str):
        return name
    first, space, rest = name.partition(" ")
    articles = ("a", "an", "the", "my", "your", "his", "her", "our", "their")
    return first.casefold() + space + rest if first.casefold() in articles else name


def filled(before: str, names: list[Any], after: str) -> Options:
    """Return what follows the gap as the continuation of the text up to it, for each choice.

    Where nothing follows but punctuation marks, the choices themselves are scored.
    """
    glued = "" if after[:1].isspace() else (after.split(maxsplit=1) or [""])[0]
    rest = after[len(glued) :]
    if not all(isinstance(name, str) for name in names):
        raise ItemError("choices must be texts")
    if not rest.strip():
        alone = [name + glued for name in names]
        return Options(alone, question="", contexts=[before.rstrip()] * len(names))
    return Options(
        [rest.strip()] * len(names), question="", contexts=[before + name + glued for name in names]
    )


@dataclass(frozen=True)
class Continuation:
    """Several contexts that one continuation may complete."""

    contexts: str
    continuation: str

    def fields(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return both fields."""
        found = (self.contexts, self.continuation)
        return found if set(found) <= names.keys() else ()

    def conventions(self, names: Mapping[str, Any]) -> tuple[str, ...]:
        """Return indices, as published."""
        return ("index",)

    def read(self, values: Values, fields: tuple[str, ...]) -> Options:
        """Return the continuation once for each context."""
        contexts = options_of(values[self.contexts]).choices
        (continuation,) = texts_of([values[self.continuation] or ""])
        return Options([continuation] * len(contexts), question="", contexts=contexts)
