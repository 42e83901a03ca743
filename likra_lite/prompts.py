"""Prompt templates as data: an item to a context text and its continuation texts."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import LikraError
from .questions.answers import letter
from .questions.inputs import answer_indices
from .questions.item import Item

__all__ = ["PROMPTS", "Prompt", "as_prompt", "letter"]

# The question prompt of Hamdan & Yuret (2025); the bare text, to be continued; and all choices
# with letters, of which one is the answer.
PROMPTS = {
    "question": "\n\nQuestion: {question}\nAnswer:",
    "completion": "{question}",
    "letters": "\n\nQuestion: {question}\n{options}Answer:",
}
PLACEHOLDERS = ("question", "context", "options")


@dataclass(frozen=True)
class Prompt:
    """A template whose text ends right before the answer.

    Parameters
    ----------
    template : str
        Contains ``{question}`` once. An item's context, if it has one, stands where the
        template says ``{context}``, or else before everything, after white space. Where it says
        ``{options}``, the choices are listed with letters, and the answer is a letter.

    Raises
    ------
    LikraError
        If the template lacks ``{question}`` or has another placeholder.
    """

    template: str

    def __post_init__(self) -> None:
        names = [name for _, name in self._parts() if name is not None]
        if names.count("question") != 1 or set(names) - {*PLACEHOLDERS}:
            raise LikraError(
                f"got prompt {self.template!r}; expected one of {sorted(PROMPTS)} or a template "
                "with {question} once and, if wanted, {context} and {options}"
            )

    def _parts(self) -> list[tuple[str, str | None]]:
        """Return the literal texts of the template, each with the placeholder that follows."""
        try:
            parsed = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise LikraError(f"prompt {self.template!r} is not a template: {error}") from None
        if any(specification or conversion for _, _, specification, conversion in parsed):
            raise LikraError(
                f"got prompt {self.template!r}; placeholders take no format, expected {{question}}"
            )
        return [(literal, name) for literal, name, _, _ in parsed]

    def without_question(self) -> Prompt:
        """Return the same template with the question hidden, for the answer-only control."""
        return AnswerOnly(self.template)

    def with_examples(self, items: Sequence[Item]) -> Prompt:
        """Return the template behind answered items: few-shot examples.

        Whatever their number, they are read once for all questions.

        Parameters
        ----------
        items : sequence of Item
            Every item has an answer. They should not be among those to be scored.

        Returns
        -------
        Prompt

        Raises
        ------
        ItemError
            If an item has no answer.
        """
        right = answer_indices(items).tolist()
        passages = any(item.context for item in items)
        spaced = self.template[:1].isspace()
        one = self.template
        if "context" not in [name for _, name in self._parts()]:
            # A passage stands before its own question, not before the examples.
            one = ("{context}" if spaced or not passages else "{context} ") + one
        one = ("" if spaced and not passages else "\n\n") + one
        shown = "".join(
            Prompt(one).context(item, answer) + self.continuations(item.choices)[answer]
            for item, answer in zip(items, right, strict=True)
        )
        return Prompt(shown.replace("{", "{{").replace("}", "}}") + one)

    def context(self, item: Item, choice: int = 0) -> str:
        """Return the text before a choice: the same for all, unless they have their own.

        A context that a choice completes, be it of its own or one that no question follows,
        stands as it is, without the template.
        """
        if item.contexts is not None:
            return item.contexts[choice]
        if item.context and not item.question.strip():
            return item.context
        values = {
            "question": item.question,
            "context": item.context or "",
            "options": "".join(f"{letter(i)}. {c}\n" for i, c in enumerate(item.choices)),
            None: "",
        }
        parts = self._parts()
        text = "".join(literal + values[name] for literal, name in parts)
        if not item.context or "context" in [name for _, name in parts]:
            return text
        glued = item.context[-1].isspace() or text[:1].isspace()
        return item.context + text if glued else f"{item.context} {text}"

    def pairs(self, item: Item) -> list[tuple[str, list[str]]]:
        """Return what is scored: contexts with the choices that continue each, in order."""
        continuations = self.continuations(item.choices)
        if len(set(item.contexts or ())) <= 1:
            return [(self.context(item), continuations)]
        return [(self.context(item, choice), [text]) for choice, text in enumerate(continuations)]

    def continuations(self, answers: Sequence[str]) -> list[str]:
        """Return the text of each choice of an item as it continues the context."""
        if self.lettered:
            return [" " + letter(index) for index in range(len(answers))]
        return [" " + answer for answer in answers]

    def borrowed(self, item: Item, answer: str) -> tuple[str, list[str]]:
        """Return an item's context, with an answer from elsewhere as it continues it.

        Alone, not beside the item's own choices: a long answer must not cut their context.

        Raises
        ------
        LikraError
            If answers are letters.
        """
        if self.lettered:
            raise LikraError("answers of other questions have no letter; use another prompt")
        return self.context(item, item.answer or 0), [" " + answer]

    @property
    def lettered(self) -> bool:
        """Whether the choices stand in the context, and the answer is a letter."""
        return "options" in [name for _, name in self._parts()]

    def neutral(self, item: Item) -> str:
        """Return what remains of the text before an answer when nothing is asked.

        That is :attr:`neutral_context`, or nothing where choices complete contexts.
        """
        completed = item.contexts is not None or not item.question.strip()
        return "" if completed else self.neutral_context

    @property
    def neutral_context(self) -> str:
        """The template's text after the question."""
        parts = self._parts()
        asked = [name for _, name in parts].index("question")
        return "".join(literal for literal, _ in parts[asked + 1 :])


class AnswerOnly(Prompt):
    """A template that leaves the question out, so that only the answers' style is left."""

    def context(self, item: Item, choice: int = 0) -> str:
        """Return what remains of the template when nothing is asked."""
        return self.neutral(item)


def as_prompt(prompt: str | Prompt) -> Prompt:
    """Return the named or given template as a :class:`Prompt`."""
    if isinstance(prompt, Prompt):
        return prompt
    if not isinstance(prompt, str):
        raise LikraError(f"got a prompt of type {type(prompt).__name__}; expected a string")
    return Prompt(PROMPTS.get(prompt, prompt))
