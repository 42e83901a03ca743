"""Prompt templates as data: an item to a context text and its continuation texts."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import LikraError
from .items import Item

__all__ = ["PROMPTS", "Prompt", "as_prompt"]

# The question prompt of Hamdan & Yuret (2025), and the bare text, to be continued.
PROMPTS = {
    "question": "\n\nQuestion: {question}\nAnswer:",
    "completion": "{question}",
}


@dataclass(frozen=True)
class Prompt:
    """A template whose text ends right before the answer.

    Parameters
    ----------
    template : str
        Contains ``{question}`` once. An item's context, if it has one, stands where the
        template says ``{context}``, or else before everything.

    Raises
    ------
    LikraError
        If the template lacks ``{question}`` or has another placeholder.
    """

    template: str

    def __post_init__(self) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.template)]
        except ValueError as error:
            raise LikraError(f"prompt {self.template!r} is not a template: {error}") from None
        names = [field for field in fields if field is not None]
        unknown = sorted(set(names) - {"question", "context"})
        if unknown or names.count("question") != 1:
            raise LikraError(
                f"got prompt {self.template!r}; expected one of {sorted(PROMPTS)} or a template "
                "with {question} once and, if wanted, {context}"
            )

    def context(self, item: Item) -> str:
        """Return the text before the answer."""
        given = item.context or ""
        text = self.template.format(question=item.question, context=given)
        return text if "{context}" in self.template else given + text

    def continuations(self, answers: Sequence[str]) -> list[str]:
        """Return the text of each answer as it continues the context."""
        return [" " + answer for answer in answers]

    @property
    def neutral_context(self) -> str:
        """The template's text after the question: what remains when nothing is asked."""
        tail = self.template.rpartition("{question}")[2]
        return tail.format(context="")


def as_prompt(prompt: str | Prompt) -> Prompt:
    """Return the named or given template as a :class:`Prompt`."""
    if isinstance(prompt, Prompt):
        return prompt
    if not isinstance(prompt, str):
        raise LikraError(f"got a prompt of type {type(prompt).__name__}; expected a string")
    return Prompt(PROMPTS.get(prompt, prompt))
