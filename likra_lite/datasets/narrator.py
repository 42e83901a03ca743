"""A narrator of the small made-up world, whose tables are in ``world.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..errors import LikraError
from ..validation import check_integer

__all__ = ["CONDUCT", "Narrator", "Story"]

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
