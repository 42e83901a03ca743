"""Names of fields: what they are called, and which of them hold a choice each."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import ItemError, printable
from .values import fold, shown

__all__ = [
    "ANSWER",
    "CHOICES",
    "CONTEXT",
    "ID",
    "QUESTION",
    "choice_columns",
    "folded_names",
    "listed",
    "numbered",
]

# Folded names, see values.fold: where a record has several, the first counts.
QUESTION = (
    "question", "questionstem", "stem", "questiontext", "query", "prompt", "problem", "input",
    "inputs", "goal", "qtext", "instruction", "text", "sentence", "q",
)  # fmt: skip
CONTEXT = (
    "context", "passage", "article", "support", "ctx", "story", "paragraph", "florespassage",
    "background", "scenario", "dialogue", "dialog", "document", "premise", "startphrase", "text",
)  # fmt: skip
CHOICES = (
    "choices", "options", "endings", "answerchoices", "answeroptions", "candidates",
    "alternatives", "completions", "choice", "answers",
)  # fmt: skip
ANSWER = (
    "answerkey", "answer", "label", "gold", "correct", "correctanswer", "rightanswer",
    "answeridx", "answerindex", "correctindex", "correctidx", "goldindex", "goldlabel",
    "correctoption", "correctchoice", "correctanswernum", "correctanswerid", "answerletter",
    "answertext", "target", "targets", "key", "solution", "ra",
)  # fmt: skip
ID = (
    "id", "qid", "questionid", "exampleid", "sampleid", "storyid", "inputstoryid", "idstring",
    "guid", "uid", "pairid", "idx", "ind", "index", "nr", "no", "number",
)  # fmt: skip

_COLUMN = re.compile(
    r"(choice|option|opt|op|alternative|candidate|response|answer|ans|ending|sol|hyp|hypothesis"
    r"|holding|mcanswer|sentencequiz|randomfifthsentencequiz|)(\d{1,3}|[a-z])"
)
_NUMBER = re.compile(r"\d+")


def folded_names(names: Collection[Any]) -> dict[str, Any]:
    """Return the names by their folded form; of two that are folded alike, the first."""
    folded: dict[str, Any] = {}
    for name in names:
        folded.setdefault(fold(name), name)
    return folded


def numbered(folded: Collection[str], prefix: str) -> tuple[str, ...]:
    """Return the names that are a prefix and, perhaps, a number, in the order of the numbers."""
    found = {name: name[len(prefix) :] for name in folded if name.startswith(prefix)}
    places = {name: int(rest or 0) for name, rest in found.items() if rest.isdigit() or not rest}
    return tuple(sorted(places, key=places.__getitem__))


def choice_columns(names: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return the folded names of the columns that hold a choice each, and what the first is.

    Parameters
    ----------
    names : mapping
        From folded names to names.

    Returns
    -------
    columns : tuple of str
        In order: ``choice_0, choice_1``, ``option1, option2``, ``A, B``, ``answer_a, answer_b``.
        Empty if there are none.
    first : str
        ``"0"``, ``"1"`` or ``"a"``.

    Raises
    ------
    ItemError
        If there is a gap between them.
    """
    groups: dict[tuple[str, bool, bool], dict[int, str]] = {}
    for name, original in names.items():
        match = _COLUMN.fullmatch(name)
        if match is None:
            continue
        is_number = match[2].isdigit()
        # A column n beside A, B and C is something else.
        is_capital = not match[1] and isinstance(original, str) and original.strip().isupper()
        place = int(match[2]) if is_number else ord(match[2]) - ord("a")
        group = groups.setdefault((match[1], is_number, is_capital), {})
        other = group.setdefault(place, name)
        if other != name:
            one, two = listed([names[other]], 40), listed([original], 40)
            raise ItemError(f"the columns {one} and {two} are the same choice")
    gaps = []
    # Words before bare letters, letters before numbers.
    for _, is_number, columns in sorted(
        ((not key[0], key[1], group) for key, group in groups.items()), key=lambda each: each[:2]
    ):
        places = sorted(columns)
        if len(places) < 2 or places[0] > is_number:
            continue
        gap = next((i for i, place in enumerate(places) if place != places[0] + i), None)
        if gap is None:
            first = str(places[0]) if is_number else "a"
            return tuple(columns[place] for place in places), first
        gaps.append([names[columns[places[i]]] for i in (gap - 1, gap)])
    if gaps:
        one, two = (listed([name], 40) for name in gaps[0])
        raise ItemError(f"the columns {one} and {two} leave a gap")
    return (), ""


def listed(names: Collection[object], limit: int = 120) -> str:
    """Return names for a message, as many as fit."""
    texts = [name if isinstance(name, str) else shown(name) for name in names]
    return printable(", ".join(texts) or "none", limit)
