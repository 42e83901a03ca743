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
import tomllib
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..errors import LikraError
from ..questions.item import Item
from ..validation import check_integer

__all__ = ["ROLES", "make_stories", "narrate", "sentences_of"]

# What a choice of an item is to its story. `tempting` and `mentioned` are near-misses: a usual
# mistake in the situation, and one that the story has mentioned besides.
ROLES = ("right", "tempting", "mentioned", "unrelated")

# How often the people of the running text do what fits, what tempts, what the story has
# mentioned, or what has nothing to do with it; and how often a narrator remarks on a mistake.
CONDUCT = {"right": 0.5, "tempting": 0.27, "mentioned": 0.15, "unrelated": 0.08}
REMARKED = 0.85

TWO_CUES = 0.4
MODIFIED = 0.5
TAILED = 0.6
NAMED = 0.5  # by name rather than by pronoun

# Within a class of answers, the word of rank r is used with a weight of 1 / r ** SKEW.
SKEW = 0.7

# Shares of the running text: a whole story asked about, told to its end, or only its cue and
# what was done; and how often the question is lost, as in text that was cut into pieces.
CUE_ONLY = 2 / 3
ASKED = 0.5
CUT = 0.1

MAX_REJECTED = 10_000  # stories or endings in a row, before giving up

_SENTENCE = re.compile(r"(?<=[.?]) ")
NONE: frozenset[str] = frozenset()


@cache
def _world() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("world.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Story:
    """What happened, up to the point where somebody has to act.

    Attributes
    ----------
    kind, situation : str
        A kind of the world and one of its classes.
    name, pronoun : str
        Of the person it happens to.
    sentences : tuple of str
    cue : str
        The first of the sentences that tell the situation.
    mentioned : tuple of str
        A tempting answer that the story mentions: its class and its words.
    """

    kind: str
    situation: str
    name: str
    pronoun: str
    sentences: tuple[str, ...]
    cue: str
    mentioned: tuple[str, str]

    def __str__(self) -> str:
        return " ".join(self.sentences)


class Narrator:
    """Tells stories of the world, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        check_integer("random_state", seed, 0)
        if seed >= 2**32:
            raise LikraError(f"got random_state={seed}; expected an integer below 2**32")
        # The legacy generator: its stream is frozen, so that stories stay what they are.
        self.rng = np.random.RandomState(seed)
        self.world = _world()
        self.situations = [
            (kind, situation)
            for kind, table in self.world["kinds"].items()
            for situation in table["classes"]
        ]

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random_sample() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        """Draw one of the options, all alike."""
        return options[self.rng.randint(len(options))]

    def draw(self, weights: Sequence[float]) -> int:
        """Draw an index with the given weights."""
        bounds = np.cumsum(weights)
        return int(np.searchsorted(bounds, self.rng.random_sample() * bounds[-1]))

    def word(self, kind: str, situation: str) -> str:
        """Draw an answer of a class, common ones more often."""
        answers = self.world["kinds"][kind]["classes"][situation]["answers"]
        return str(answers[self.draw([1 / rank**SKEW for rank in range(1, len(answers) + 1)])])

    def fill(self, template: str, **values: str) -> str:
        """Fill a template; what is not given is drawn from the slots."""
        for slot, options in self.world["slots"].items():
            if f"{{{slot}}}" in template:
                values[slot] = self.pick(options)
        text = template.format(**values)
        return text[0].upper() + text[1:]

    def story(self) -> Story:
        """Tell a story."""
        kind, situation = self.pick(self.situations)
        table = self.world["kinds"][kind]
        pronoun = self.pick(("she", "he"))
        name = self.pick(self.world["people"][pronoun])
        person = {"name": name, "her": "her" if pronoun == "she" else "his"}

        opening = self.world["opening"]
        setting = {slot: self.pick(opening[slot]) for slot in ("when", "who", "where")}
        first = self.fill(self.pick(opening["templates"]), name=name, **setting)

        cues = table["classes"][situation]["cues"]
        order = self.rng.permutation(len(cues))[: 2 if self.chance(TWO_CUES) else 1]
        told = [self.fill(cues[index], **person) for index in order]

        other = self.pick(table["classes"][situation]["tempting"])
        thing = self.word(kind, other)
        article = "an" if thing[0] in "aeiou" else "a"
        mention = self.fill(self.pick(table["mentions"]), answer=thing, article=article, **person)
        body = list(told)
        body.insert(self.rng.randint(len(body) + 1), mention)
        return Story(kind, situation, name, pronoun, (first, *body), told[0], (other, thing))

    def question(self, story: Story) -> str:
        """Ask what happened next."""
        return self.fill(self.pick(self.world["kinds"][story.kind]["asks"]), name=story.name)

    def deed(self, story: Story, role: str) -> str:
        """Draw what the person does: an answer in the given role."""
        if role == "mentioned":
            return story.mentioned[1]
        classes = self.world["kinds"][story.kind]["classes"]
        tempting = classes[story.situation]["tempting"]
        situation = story.situation
        if role == "tempting":
            # Not the class that is mentioned: the choices of an item are of four classes.
            situation = self.pick([name for name in tempting if name != story.mentioned[0]])
        elif role == "unrelated":
            situation = self.pick([c for c in classes if c not in (situation, *tempting)])
        return self.word(story.kind, situation)

    def remark(self, role: str) -> str | None:
        """Draw what is said of a deed in the given role, if anything is."""
        if role == "right" or not self.chance(REMARKED):
            return None
        remarks = self.world["remarks"]
        return str(self.pick(remarks["absurd" if role == "unrelated" else "mistaken"]))

    def ending(self, story: Story, answer: str, remark: str | None = None) -> str:
        """Tell what the person of the story did, in words that vary for no reason."""
        table = self.world["kinds"][story.kind]
        modifier = ""
        if table["modifiers"] and self.chance(MODIFIED):
            modifier = self.pick(table["modifiers"]) + " "
        close = ""
        if remark is not None:
            close = remark
        elif self.chance(TAILED):
            tails = self.rng.permutation(len(table["tails"]))[: 1 + self.rng.randint(2)]
            close = "".join(f" {table['tails'][index]}" for index in tails)
        who = story.name if self.chance(NAMED) else story.pronoun
        phrase = table["answer"].format(modifier=modifier, answer=answer)
        return self.fill(f"{who} {self.pick(table['verbs'])} {phrase}{close}.")


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
