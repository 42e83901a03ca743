"""Micro-stories of a small made-up world, as multiple-choice items and as running text.

The tables of ``world.toml`` say who lives there, what happens to them and what fits. Two
things make it a place where wrong answers teach:

- the narrators of the running text tell of people who err about as often as not, and remark
  on it ("... by mistake"); so a language model trained on the text comes to know, once it has
  read an answer, whether it was a mistake;
- in the items an answer's length and wording vary for no reason, so that the likelihood of
  the whole answer hides what the model knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Set

from ..errors import LikraError
from ..questions.item import Item
from ..validation import check_integer
from .narrator import CONDUCT, Narrator, Story

__all__ = ["ROLES", "make_stories", "narrate", "sentences_of"]

# What a choice of an item is to its story. `tempting` and `mentioned` are near-misses: a usual
# mistake in the situation, and one that the story has mentioned besides.
ROLES = ("right", "tempting", "mentioned", "unrelated")

# Shares of the running text: a whole story asked about, told to its end, or only its cue and
# what was done; and how often the question is lost, as in text that was cut into pieces.
CUE_ONLY = 2 / 3
ASKED = 0.5
CUT = 0.1

MAX_REJECTED = 10_000  # stories or endings in a row, before giving up

_SENTENCE = re.compile(r"(?<=[.?]) ")
NONE: frozenset[str] = frozenset()


def sentences_of(items: Collection[Item]) -> frozenset[str]:
    """Return every sentence of some items' stories and choices, without what they ask."""
    texts = [text for item in items for text in (item.question, *item.choices)]
    sentences = {sentence for text in texts for sentence in _SENTENCE.split(text)}
    return frozenset(sentence for sentence in sentences if not sentence.endswith("?"))


def make_stories(
    n_items: int = 100, *, random_state: int = 0, avoid: Set[str] = NONE
) -> list[Item]:
    """Make multiple-choice items of the small world, the same ones for the same arguments.

    Each item is a story of three or four sentences and a question, with four choices: what
    fits; a near-miss that tempts in this situation; another that the story mentions; and
    something that has nothing to do with it. The four are of the four classes of answers to
    this kind of question, each of which is right in one situation; length and wording vary
    alike. So the choices by themselves do not tell which is right.

    Parameters
    ----------
    n_items : int, default=100
    random_state : int, default=0
    avoid : set of str
        Sentences that no item may contain, such as those of a training set.

    Returns
    -------
    list of Item
        With ``kind``, ``situation`` and ``roles`` (one for each choice: ``right``,
        ``tempting``, ``mentioned`` or ``unrelated``) as metadata.

    Raises
    ------
    LikraError
        If an argument is out of range, or `avoid` leaves nothing to tell.
    """
    check_integer("n_items", n_items, 1)
    narrator = Narrator(random_state)
    items: list[Item] = []
    rejected = 0
    while len(items) < n_items:
        story = narrator.story()
        if not avoid.isdisjoint(story.sentences):
            rejected = _count(rejected)
            continue
        items.append(_item(narrator, story, avoid))
        rejected = 0
    return items


def _count(rejected: int) -> int:
    """Count what had to be thrown away, and give up in a world that has nothing new to tell."""
    if rejected == MAX_REJECTED:
        raise LikraError("too many sentences to avoid: the small world has no others to tell")
    return rejected + 1


def _item(narrator: Narrator, story: Story, avoid: Set[str]) -> Item:
    question = f"{story} {narrator.question(story)}"
    endings: list[str] = []
    for role in ROLES:
        text = ""
        rejected = 0
        while not text or text in avoid or text in endings:
            text = narrator.ending(story, narrator.deed(story, role))
            rejected = _count(rejected)
        endings.append(text)
    order = narrator.rng.permutation(len(ROLES)).tolist()
    return Item(
        question=question,
        choices=tuple(endings[place] for place in order),
        answer=order.index(0),
        metadata={
            "kind": story.kind,
            "situation": story.situation,
            "roles": tuple(ROLES[place] for place in order),
        },
    )


def narrate(n_texts: int, *, random_state: int = 0, avoid: Set[str] = NONE) -> Iterator[str]:
    """Tell of the small world, to train a language model on.

    People do what fits half of the time, and narrators remark on most mistakes. Some texts
    are questions with an answer, in the form of the default prompt.

    Parameters
    ----------
    n_texts : int
    random_state : int, default=0
    avoid : set of str
        Sentences that no story may contain. What people do is not compared: short endings
        such as "She got dressed." are bound to recur.

    Yields
    ------
    str
    """
    narrator = Narrator(random_state)
    told = rejected = 0
    while told < n_texts:
        story = narrator.story()
        cue_only = narrator.chance(CUE_ONLY)
        text = story.cue if cue_only else str(story)
        if not avoid.isdisjoint((story.cue,) if cue_only else story.sentences):
            rejected = _count(rejected)
            continue
        rejected = 0
        conduct = dict(CONDUCT)
        if cue_only:
            conduct["right"] += conduct.pop("mentioned")
        role = list(conduct)[narrator.draw(list(conduct.values()))]
        ending = narrator.ending(story, narrator.deed(story, role), narrator.remark(role))
        asked, cut = narrator.chance(ASKED), not cue_only and narrator.chance(CUT)
        if asked:
            start = "" if cut else f"\n\nQuestion: {text} {narrator.question(story)}"
            yield f"{start}\nAnswer: {ending}"
        else:
            yield ending if cut else f"{text} {ending}"
        told += 1
