"""Records to items: the layout of each, and one reading of all their answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import ItemError
from .answers import Convention, Given, check_answers
from .choices import without_letter, without_letters
from .fields import listed
from .item import Item
from .layouts import Plan, plan_of
from .singles import single_records
from .values import is_missing, number_text, plain, text_of, type_name

__all__ = ["Draft", "Reader", "Summary"]


class Draft(NamedTuple):
    """An item whose answer is not read yet.

    Attributes
    ----------
    item : Item
        With the answer that the record marks by itself, or none.
    given : Given or None
        The answer to be read, unless the record marks it.
    plan : Plan
    """

    item: Item
    given: Given | None
    plan: Plan


@dataclass(frozen=True)
class Summary:
    """How records were read.

    Attributes
    ----------
    layouts : tuple of str
        Names of the layouts.
    conventions : tuple of str
        How answers are written, keys of ``answers.CONVENTIONS``; none where there are no answers,
        or the records mark the right choice.
    context : tuple of str
        Names of the fields that became the context.
    unused : tuple of str
        Names of the fields that mean nothing to the layout.
    n_answers : int
        Number of items with an answer.
    """

    layouts: tuple[str, ...]
    conventions: tuple[str, ...]
    context: tuple[str, ...]
    unused: tuple[str, ...]
    n_answers: int


class Reader:
    """Reads the records of one file or call.

    Parameters
    ----------
    answers : str, optional
        How answers are written, a key of ``answers.CONVENTIONS``. [default: what fits all of them]
    class_labels : collection of str, optional
        Names of fields that hold indices from 0, as the data set itself says.

    Raises
    ------
    LikraError
        If `answers` is no such key.
    """

    def __init__(self, answers: str | None = None, class_labels: Collection[str] = ()) -> None:
        check_answers(answers)
        self._answers = answers
        self._class_labels = class_labels
        self._plans: dict[tuple[Any, ...], Plan] = {}
        # By layout and allowed readings, so that no order of rows makes a difference.
        self._conventions: dict[tuple[str, ...], Convention] = {}
        self._n_marked = 0

    def drafts(self, record: Any) -> Iterator[Draft]:
        """Read the items of a record, mostly one, without their answers.

        Raises
        ------
        ItemError
            If a field is missing or malformed.
        """
        for single in single_records(record):
            names = tuple(single)
            plan = self._plans.get(names)
            if plan is None:
                plan = self._plans[names] = plan_of(names)
            yield _draft(plan, single)

    def see(self, draft: Draft, place: str) -> None:
        """Let an answer decide how answers are written.

        Raises
        ------
        ItemError
            If it fits no reading that the answers before it leave.
        """
        if draft.given is not None:
            self._convention(draft.plan).see(draft.given, place)
        elif draft.item.answer is not None:
            self._n_marked += 1

    def settle(self) -> None:
        """Raise ItemError if the answers may be read in two ways that differ."""
        for convention in self._conventions.values():
            convention.settle()

    def item(self, draft: Draft, source: str | None = None) -> Item:
        """Return the item with its answer; all answers must have been seen."""
        # Nobody else holds the draft's item, and both are right by construction.
        if draft.given is not None:
            answer = self._convention(draft.plan).read(draft.given)
            object.__setattr__(draft.item, "answer", answer)
        object.__setattr__(draft.item, "source", source)
        return draft.item

    def summary(self) -> Summary:
        """Return how the records were read."""
        plans = self._plans.values()
        conventions = [each for each in self._conventions.values() if each.n_answers]
        return Summary(
            tuple(dict.fromkeys(plan.layout.name for plan in plans)),
            tuple(dict.fromkeys(convention.settle() for convention in conventions)),
            tuple(dict.fromkeys(listed([plan.names[n]]) for plan in plans for n in plan.context)),
            tuple(dict.fromkeys(listed([name]) for plan in plans for name in plan.unused)),
            sum(convention.n_answers for convention in conventions) + self._n_marked,
        )

    def _convention(self, plan: Plan) -> Convention:
        key = (plan.layout.name, *plan.conventions)
        found = self._conventions.get(key)
        if found is None:
            allowed = plan.conventions
            if any(plan.names[name] in self._class_labels for name in plan.answer[:1]):
                allowed = ("index",)
            if self._answers is not None:
                allowed = (self._answers,)
            found = self._conventions[key] = Convention(allowed, plan.layout.preferred)
        return found


class _Values:
    """The values of a record by the folded names of its fields, as plain Python ones."""

    def __init__(self, record: Mapping[Any, Any], names: Mapping[str, Any]) -> None:
        self.names = names
        self._record = record

    def __getitem__(self, name: str) -> Any:
        return plain(self._record[self.names[name]])

    def get(self, name: str | None) -> Any:
        """Return the value, or None if there is no such field."""
        return self[name] if name is not None and name in self.names else None


def _draft(plan: Plan, record: Mapping[Any, Any]) -> Draft:
    layout = plan.layout
    values = _Values(record, plan.names)
    options = layout.form.read(values, plan.choices)
    lettered = without_letters(options)
    context = _joined([_text("context", values[name]) for name in plan.context])
    question: Any = options.question
    if question is None:
        question = _asked(values, values.get(plan.question), context)
    if layout.questions is not None and isinstance(question, str):
        question = layout.questions.get(question.strip().casefold(), question)
    metadata = {name: record[name] for name in plan.unused}
    if options.seed is not None:
        metadata["shuffle_seed"] = options.seed
    item = Item(
        question=question,
        choices=lettered.choices,  # type: ignore[arg-type]  # the item makes a tuple of them
        answer=options.right,
        id=_name(values.get(plan.id)),
        context=context,
        metadata=metadata,
        contexts=options.contexts,  # type: ignore[arg-type]
    )
    if options.is_marked:
        return Draft(item, None, plan)
    answers = (values[name] for name in plan.answer)
    given = next((answer for answer in answers if not is_missing(answer)), None)
    if lettered is not options:
        given = without_letter(given, lettered)
    return Draft(item, Given(given, item.choices, lettered.labels), plan)


def _asked(values: _Values, question: Any, context: str | None) -> Any:
    if not is_missing(question):
        return number_text(question) or question
    if question is None and context is None:
        names = listed(values.names.values())
        raise ItemError(
            f"question is missing; got the fields {names}; call the one that holds it question"
        )
    return question or ""


def _text(name: str, value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value) or None
    text = number_text(value) or value
    if not isinstance(text, str):
        raise ItemError(f"{name} must be a string, got {type_name(value)}")
    return text


def _joined(texts: list[str | None]) -> str | None:
    if len(texts) == 1:
        return texts[0]
    return " ".join(text.strip() for text in texts if text) or None


def _name(value: Any) -> str | None:
    """Return what a field says as an id; lists and objects are none."""
    if is_missing(value) or isinstance(value, list | Mapping):
        return None
    return text_of(value)
