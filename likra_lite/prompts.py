"""Prompt templates as data: an item to a context text and its continuation texts."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from .chat import ChatTemplate, Turn
from .errors import LikraError
from .questions.answers import letter
from .questions.inputs import answer_indices
from .questions.item import Item
from .validation import shown

__all__ = ["CHAT", "PROMPTS", "ChatPrompt", "Prompt", "as_prompt"]

# The question prompt of Hamdan & Yuret (2025); the bare text, to be continued; and all choices
# with letters, of which one is the answer.
PROMPTS = {
    "question": "\n\nQuestion: {question}\nAnswer:",
    "completion": "{question}",
    "letters": "\n\nQuestion: {question}\n{options}Answer:",
}
CHAT = "chat"  # the question in the model's own chat template; "chat:TEMPLATE" for another text
PLACEHOLDERS = ("question", "context", "options")

# Stands for the question, to find what follows it.
MARK = "<<the question>>"


@dataclass(frozen=True)
class Prompt:
    """A template whose text ends right before the answer.

    Parameters
    ----------
    template : str
        Contains ``{question}`` once. An item's context, if it has one, stands where the
        template says ``{context}``, or else before everything, after white space. Where it says
        ``{options}``, the choices are listed with letters, and the answer is a letter.
    delimiter : str, default=" "
        What stands between the template's text and the answer. Nothing for languages that
        write without spaces.
    examples : str, default=""
        What stands before everything; see :meth:`with_examples`.
    hidden : bool, default=False
        Leave the question out, so that only the answers' style is left.

    Raises
    ------
    LikraError
        If the template lacks ``{question}`` or has another placeholder.
    """

    template: str
    delimiter: str = " "
    examples: str = ""
    hidden: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.delimiter, str):
            raise LikraError(
                f"got a delimiter of type {type(self.delimiter).__name__}; expected a string"
            )
        names = [name for name in self._placeholders() if name is not None]
        if names.count("question") != 1 or set(names) - {*PLACEHOLDERS}:
            raise LikraError(
                f"got prompt {shown(self.template)}; expected one of {sorted([*PROMPTS, CHAT])} "
                "or a template with {question} once and, if wanted, {context} and {options}"
            )

    def __str__(self) -> str:
        """Return the template, or all settings where others are not the default."""
        settings = self.settings()
        return self.template if settings == Prompt(self.template).settings() else str(settings)

    def settings(self) -> dict[str, Any]:
        """Return what :func:`as_prompt` makes the same prompt of, as plain JSON."""
        return asdict(self)

    def _parts(self) -> list[tuple[str, str | None]]:
        """Return the literal texts of the template, each with the placeholder that follows."""
        try:
            parsed = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise LikraError(f"prompt {shown(self.template)} is not a template: {error}") from None
        if any(specification or conversion for _, _, specification, conversion in parsed):
            raise LikraError(
                f"got prompt {shown(self.template)}; placeholders take no format, expected "
                "{question}"
            )
        return [(literal, name) for literal, name, _, _ in parsed]

    def _placeholders(self) -> list[str | None]:
        return [name for _, name in self._parts()]

    def hide_question(self) -> Prompt:
        """Return the same template with the question hidden, for the answer-only control."""
        return replace(self, hidden=True)

    def with_examples(self, items: Sequence[Item]) -> Prompt:
        """Return the template behind answered items: few-shot examples.

        Whatever their number, they are read once for all questions. A blank line stands between
        them, unless the template begins with white space of its own.

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
        return replace(
            self,
            examples=self.examples
            + "".join(
                _apart(asked) + self.delimiter + answer for asked, answer in self._shown(items)
            ),
        )

    @property
    def has_examples(self) -> bool:
        """Whether answered items stand before the question."""
        return bool(self.examples)

    def _shown(self, items: Sequence[Item]) -> list[Turn]:
        """Return the text before every right answer, and that answer."""
        right = answer_indices(items).tolist()
        return [
            (self._asked(item, answer), self._answers(item.choices)[answer])
            for item, answer in zip(items, right, strict=True)
        ]

    def context(self, item: Item, choice: int = 0) -> str:
        """Return the text before a choice: the same for all, unless they have their own.

        A context that a choice completes, be it of its own or one that no question follows,
        stands as it is, without the template, unless the answer is a letter.
        """
        if self.hidden:
            return self.neutral(item)
        asked = self._asked(item, choice)
        return self.examples + _apart(asked) if self.examples else asked

    def _asked(self, item: Item, choice: int) -> str:
        """Return what is asked of an item, in the template's words."""
        if self._is_completed(item):
            return (item.context or "") if item.contexts is None else item.contexts[choice]
        parts = self._parts()
        values = {
            "question": item.question,
            "context": item.context or "",
            "options": "".join(
                f"{letter(place)}. {item.text_of(place)}\n" for place in range(len(item.choices))
            ),
            None: "",
        }
        text = "".join(literal + values[name] for literal, name in parts)
        if not item.context or "context" in [name for _, name in parts]:
            return text
        glued = item.context[-1].isspace() or text[:1].isspace()
        return item.context + text if glued else f"{item.context} {text}"

    def pairs(self, item: Item) -> list[tuple[str, list[str]]]:
        """Return what is scored: contexts with the choices that continue each, in order."""
        continuations = self.continuations(item.choices)
        if self.hidden or self.lettered or len(set(item.contexts or ())) <= 1:
            return [(self.context(item), continuations)]
        return [(self.context(item, choice), [text]) for choice, text in enumerate(continuations)]

    def continuations(self, answers: Sequence[str]) -> list[str]:
        """Return the text of each choice of an item as it continues the context."""
        return [self.delimiter + answer for answer in self._answers(answers)]

    def _answers(self, choices: Sequence[str]) -> list[str]:
        return [letter(index) for index in range(len(choices))] if self.lettered else [*choices]

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
        return self.context(item, item.answer or 0), [self.delimiter + answer]

    @property
    def lettered(self) -> bool:
        """Whether the choices stand in the context, and the answer is a letter."""
        return "options" in self._placeholders()

    def neutral(self, item: Item) -> str:
        """Return what stands before an item's answers when nothing is asked.

        That is :attr:`neutral_context`, or nothing where choices complete contexts.
        """
        return "" if self._is_completed(item) else self.neutral_context

    def _is_completed(self, item: Item) -> bool:
        """Return whether the choices complete contexts, and nothing is asked."""
        return not self.lettered and (item.contexts is not None or not item.question.strip())

    @property
    def neutral_context(self) -> str:
        """The template's text after the question."""
        parts = self._parts()
        asked = [name for _, name in parts].index("question")
        return "".join(literal for literal, _ in parts[asked + 1 :])


@dataclass(frozen=True)
class ChatPrompt(Prompt):
    """A template whose text is a user's message in a model's chat template.

    The answer is what the assistant says, and follows the chat template directly.

    Parameters
    ----------
    template, delimiter, hidden
        As of :class:`Prompt`; the bare question and no delimiter by default.
    chat : ChatTemplate
    turns : sequence of (question, answer)
        Examples, which stand as earlier turns of the conversation.
    """

    template: str = "{question}"
    delimiter: str = ""
    chat: ChatTemplate = field(kw_only=True)
    turns: tuple[Turn, ...] = ()

    def __str__(self) -> str:
        """Return the text of the message, and a checksum of all settings."""
        checksum = sha256(json.dumps(self.settings()).encode()).hexdigest()
        return f"{CHAT}:{self.template} ({checksum[:12]})"

    def with_examples(self, items: Sequence[Item]) -> Prompt:
        """Return the template behind answered items, as :meth:`Prompt.with_examples` does."""
        return replace(self, turns=(*self.turns, *self._shown(items)))

    @property
    def has_examples(self) -> bool:
        """Whether answered items stand before the question."""
        return bool(self.turns)

    def context(self, item: Item, choice: int = 0) -> str:
        """Return the conversation before a choice."""
        if self.hidden:
            return self.neutral(item)
        return self.chat.render(self.turns, self._asked(item, choice).strip())

    def neutral(self, item: Item) -> str:
        """Return what follows a message: the beginning of the assistant's."""
        return self.neutral_context

    @property
    def neutral_context(self) -> str:
        """What follows the question, in the message and after it."""
        asked = self.chat.render((), MARK + super().neutral_context)
        return asked.rpartition(MARK)[2]


def _apart(text: str) -> str:
    """Return a text as it stands after another one."""
    return text if text[:1].isspace() else f"\n\n{text}"


def as_prompt(
    prompt: str | Prompt | Mapping[str, Any],
    delimiter: str | None = None,
    chat: Mapping[str, Any] | None = None,
) -> Prompt:
    """Return the named or given template as a :class:`Prompt`.

    Parameters
    ----------
    prompt : str, Prompt or mapping
        A name in :data:`PROMPTS`; ``chat``, or ``chat:`` and a template; a template; or what
        :meth:`Prompt.settings` returns.
    delimiter : str, optional
        Between prompt and answer; the prompt's own if None.
    chat : mapping, optional
        ``template`` and ``tokens`` of the model's chat template, if it has one.

    Raises
    ------
    LikraError
        If there is no such prompt, or the model has no chat template.
    """
    own: dict[str, Any] = {} if delimiter is None else {"delimiter": delimiter}
    if isinstance(prompt, Prompt):
        return replace(prompt, **own)
    if isinstance(prompt, Mapping):
        return _of_settings({**prompt, **own})
    if not isinstance(prompt, str):
        raise LikraError(f"got a prompt of type {type(prompt).__name__}; expected a string")
    name, colon, text = prompt.partition(":")
    if name != CHAT:
        return Prompt(PROMPTS.get(prompt, prompt), **own)
    if chat is None:
        raise LikraError(
            "the model has no chat template; use prompt 'question', or export a model that was "
            "tuned to talk"
        )
    asked = text if colon else ChatPrompt.template
    return replace(ChatPrompt(asked, chat=ChatTemplate(**chat)), **own)


def _of_settings(settings: Mapping[str, Any]) -> Prompt:
    if "chat" not in settings:
        return Prompt(**settings)
    turns = tuple((asked, answer) for asked, answer in settings["turns"])
    return ChatPrompt(**{**settings, "chat": ChatTemplate(**settings["chat"]), "turns": turns})
