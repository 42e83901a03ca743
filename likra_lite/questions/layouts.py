"""The layouts of records: one table, an entry for each published layout and plain form.

An entry says which fields tell a layout from the others, which of them are question, context,
answer and id, where the choices stand (its form, see :mod:`likra_lite.questions.forms`), and how
its answers are written where the benchmark lays that down. The first entry that fits the names of
a record's fields, in any case, reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ItemError
from .fields import ANSWER, CONTEXT, ID, QUESTION, folded_names, listed, numbered
from .forms import (
    BY_LABEL,
    Columns,
    Form,
    InsideQuestion,
    Listed,
    RightAndWrong,
    Scored,
    YesOrNo,
)
from .gaps import Continuation, Gap, Pronoun
from .values import fold

__all__ = ["LAYOUTS", "Layout", "Plan", "plan_of"]


@dataclass(frozen=True)
class Layout:
    """A layout of records.

    Attributes
    ----------
    name : str
    form : Form
        Where the choices stand.
    needs : tuple of str
        Folded names of fields without which it is another layout.
    question, context, answer, id : tuple of str
        Folded names; the first that the record has counts.
    joined : str, optional
        What the numbered fields begin with that, joined by spaces, are the context.
    answers : tuple of str, optional
        How answers may be written. [default: as the form says]
    preferred : str, optional
        The one of them that holds where all rows fit several.
    questions : mapping, optional
        What is asked, by the text of the field that names it.
    """

    name: str
    form: Form
    needs: tuple[str, ...] = ()
    question: tuple[str, ...] = QUESTION
    context: tuple[str, ...] = CONTEXT
    answer: tuple[str, ...] = ANSWER
    id: tuple[str, ...] = ID
    joined: str | None = None
    answers: tuple[str, ...] | None = None
    preferred: str | None = None
    questions: Mapping[str, str] | None = None


FROM_0 = ("index",)
FROM_1 = ("index-from-1",)
CAUSE_OR_EFFECT = {
    "cause": "What was the cause of this?",
    "effect": "What happened as a result?",
}

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "BLiMP", RightAndWrong("sentencegood", "sentencebad", sentences=True), question=(),
        context=(), id=("pairid",),
    ),
    Layout("Winograd schemas (WSC273)", Pronoun(), question=(), context=(), answer=("label",)),
    Layout(
        "WinoGrande", Gap(), ("sentence",), question=(), context=(), answer=("answer", "label"),
        answers=FROM_1,
    ),
    Layout(
        "LLM-foundry schema", Continuation("contextoptions", "continuation"), question=(),
        context=(), answer=("gold", "label"),
    ),
    Layout(
        "COPA", Columns(("choice1", "choice2")), ("premise", "question"), context=("premise",),
        answer=("label",), answers=FROM_0, questions=CAUSE_OR_EFFECT,
    ),
    Layout(
        "COPA (XML)", Columns(("a1", "a2")), ("p", "asksfor"), question=("asksfor",),
        context=("p",), answer=("mostplausiblealternative",), answers=FROM_1,
        questions=CAUSE_OR_EFFECT,
    ),
    Layout(
        "Story Cloze", Columns(("sentencequiz1", "sentencequiz2")), ("inputsentence1",),
        question=(), joined="inputsentence", answer=("answerrightending",), answers=FROM_1,
    ),
    Layout(
        "Story Cloze (CSV)",
        Columns(("randomfifthsentencequiz1", "randomfifthsentencequiz2")), ("inputsentence1",),
        question=(), joined="inputsentence", answer=("answerrightending",), answers=FROM_1,
    ),
    Layout(
        "PIQA", Columns(("sol1", "sol2")), ("goal",), question=("goal",), answer=("label",),
        answers=FROM_0,
    ),
    Layout(
        "Social IQa", Columns(("answera", "answerb", "answerc")), ("context", "question"),
        answer=("label", "correct", "answer"), answers=("letter", *FROM_1),
    ),
    Layout(
        "Cosmos QA", Columns(("answer0", "answer1", "answer2", "answer3")),
        ("context", "question"), answer=("label",), answers=FROM_0,
    ),
    Layout(
        "HellaSwag", Listed(("endings",)), ("ctx",), question=(), context=("ctx",),
        answer=("label",), answers=FROM_0, id=("sourceid", "ind"),
    ),
    Layout(
        "SWAG", Columns(("ending0", "ending1", "ending2", "ending3")), ("startphrase",),
        question=(), context=("startphrase",), answer=("label",), answers=FROM_0,
    ),
    Layout(
        "Belebele", Columns(("mcanswer1", "mcanswer2", "mcanswer3", "mcanswer4")),
        ("florespassage",), answer=("correctanswernum",), answers=FROM_1, id=(),
    ),
    Layout("BIG-bench task", Scored("targetscores"), question=("input",)),
    Layout(
        "BIG-bench on the hub", Scored("multiplechoicetargets", "multiplechoicescores"),
        question=("inputs",),
    ),
    Layout("TruthfulQA, one right answer", Scored("mc1targets")),
    Layout("TruthfulQA", RightAndWrong("bestanswer", "incorrectanswers", separator=";")),
    Layout("SciQ", RightAndWrong("correctanswer", "distractor")),
    Layout("right and wrong answers (GPQA)", RightAndWrong("correctanswer", "incorrectanswer")),
    Layout(
        "right and wrong answers (Open Trivia)",
        RightAndWrong("correctanswer", "incorrectanswers"),
    ),
    Layout("right and wrong answers", RightAndWrong("correct", "incorrect")),
    Layout("a right answer and wrong ones", RightAndWrong("correctanswer", "wrong")),
    Layout("a right answer and wrong answers", RightAndWrong("correctanswer", "wronganswer")),
    Layout("preferences", RightAndWrong("chosen", "rejected"), question=("prompt", *QUESTION)),
    Layout(
        "MedMCQA", Columns(("opa", "opb", "opc", "opd")), answer=("cop",),
        answers=("index", "index-from-1"), preferred="index-from-1",
    ),
    Layout("CaseHOLD", Columns(), ("citingprompt",), question=("citingprompt",), answers=FROM_0),
    Layout("ReClor", Listed(("answers",)), ("label", "idstring"), answers=FROM_0),
    Layout("LLM-foundry", Listed(), ("query", "gold"), answers=FROM_0),
    Layout("MMLU-Pro", Listed(("options",)), ("answerindex", "question"), id=("questionid",)),
    Layout("AQuA", Listed(("options",)), ("rationale",), answer=("correct",), answers=("letter",)),
    Layout("AGIEval", Listed(("options",)), ("passage", "label"), answer=("label",)),
    Layout(
        "QuALITY", Listed(("options",)), ("goldlabel",), answer=("goldlabel",), answers=FROM_1,
    ),
    Layout(
        "RACE", Listed(("options",)), ("article",), answer=("answer", "answers", "label"),
        answers=("letter",),
    ),
    Layout("LogiQA", Listed(("options",)), ("text", "question"), answers=("letter", *FROM_0)),
    Layout(
        "answer key (ARC, CommonsenseQA, OpenBookQA, QASC)", Listed(), ("answerkey",),
        answers=BY_LABEL, preferred="label",
    ),
    Layout("a list of choices", Listed()),
    Layout("a field for each choice", Columns()),
    Layout("BoolQ", YesOrNo(), ("question", "passage")),
    Layout("choices inside the question, or true and false", InsideQuestion()),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How a layout reads records with certain fields.

    Attributes
    ----------
    layout : Layout
    names : mapping
        From folded names to names.
    choices : tuple of str
        Folded names, like the other fields.
    question, id : str or None
    context : tuple of str
    answer : tuple of str
        The first counts, and where it is missing the next.
    conventions : tuple of str
        How answers may be written.
    unused : tuple of str
        Names of the fields that mean nothing here, as the file has them.
    """

    layout: Layout
    names: Mapping[str, Any]
    choices: tuple[str, ...]
    question: str | None
    context: tuple[str, ...]
    answer: tuple[str, ...]
    id: str | None
    conventions: tuple[str, ...]
    unused: tuple[Any, ...]


def plan_of(names: Collection[Any]) -> Plan:
    """Return how to read records that have these fields.

    Raises
    ------
    ItemError
        If no layout has such fields; the message says whether question or choices are missing.
    """
    folded = folded_names(names)
    for layout in LAYOUTS:
        plan = _plan(layout, folded)
        if plan is not None:
            _check_names(plan, names)
            return plan
    missing = "choices are" if set(QUESTION) & folded.keys() else "question is"
    raise ItemError(f"{missing} missing; got the fields {listed(names)}")


def _plan(layout: Layout, folded: Mapping[str, Any]) -> Plan | None:
    if not set(layout.needs) <= folded.keys():
        return None
    choices = layout.form.fields(folded)
    if not choices:
        return None
    question = _first(layout.question, folded)
    free = [name for name in folded if name not in choices and name != question]
    passage = _first(layout.context, free)
    context = numbered(free, layout.joined) if layout.joined else (passage,) if passage else ()
    if layout.question and question is None and not context:
        return None
    answer = tuple(name for name in layout.answer if name in free and name not in context)
    used = {*choices, question, *context, *answer[:1]}
    named = _first(layout.id, [name for name in free if name not in used])
    used.add(named)
    return Plan(
        layout=layout,
        names=folded,
        choices=choices,
        question=question,
        context=context,
        answer=answer,
        id=named,
        conventions=layout.answers or layout.form.conventions(folded),
        unused=tuple(folded[name] for name in folded if name not in used),
    )


def _first(wanted: Collection[str], there: Collection[str]) -> str | None:
    return next((name for name in wanted if name in there), None)


def _check_names(plan: Plan, names: Collection[Any]) -> None:
    """Refuse two fields whose names differ by case alone, unless neither is used."""
    used = {plan.names[name] for name in plan.names} - set(plan.unused)
    for name in names:
        other = plan.names[fold(name)]
        if other != name and other in used:
            raise ItemError(f"the fields {listed([other, name])} have the same name")
