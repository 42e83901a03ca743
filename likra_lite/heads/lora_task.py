"""The texts that LoRA heads are trained on: right answers, and the wrong ones drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.pairs import Pair
from ..errors import LikraError
from ..prompts import Prompt
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .negatives import Negatives, kind_of
from .recipe import LoraRecipe
from .settings import FitSettings
from .training_set import NO_NEGATIVES, draw_for

__all__ = ["LoraTask", "task_of"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoraTask:
    """The items, answers and wrong answers that heads are trained on.

    Attributes
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    prompt : Prompt
    heads : sequence of str
        Which of ``positive`` and ``negative``.
    negatives : Negatives
        The wrong answers that were drawn.
    recipe : LoraRecipe
    """

    items: Sequence[Item]
    y: IntArray
    prompt: Prompt
    heads: Sequence[str]
    negatives: Negatives
    recipe: LoraRecipe

    def pairs(self, head: str, keep: NDArray[np.bool_]) -> list[Pair]:
        """Return contexts with the answers to train on, the right one first if there are several.

        `keep`, of shape (n_items,), says which items may be used.
        """
        items, prompt = self.items, self.prompt
        drawn = self.negatives.take(keep[self.negatives.item] & keep[self.negatives.source])
        wrong: dict[int, list[Pair]] = {}
        for index, pair in zip(drawn.item.tolist(), drawn.pairs(items, prompt), strict=True):
            wrong.setdefault(index, []).append(pair)
        right: dict[int, Pair] = {}
        for index in np.flatnonzero(keep).tolist():
            choice = int(self.y[index])
            text = prompt.continuations(items[index].choices)[choice]
            right[index] = (prompt.context(items[index], choice), [text])
        answers: list[Pair]
        if self.recipe.objective != "likelihood":
            self._check_one_context()
            answers = [
                (context, [text, *(other for _, (other,) in wrong[index])])
                for index, (context, (text,)) in right.items()
                if index in wrong
            ]
        elif head == "positive":
            answers = list(right.values())
        else:
            answers = [pair for index in right for pair in wrong.get(index, [])]
        if not answers:
            raise LikraError(
                f"no answer is left to train the {head} head on, of {len(right)} items; use more "
                "items, or fewer folds"
            )
        return answers

    def _check_one_context(self) -> None:
        for index, item in enumerate(self.items):
            if len(set(item.contexts or ())) > 1:
                raise LikraError(
                    f"objective {self.recipe.objective!r} compares answers to one text, but the "
                    f"choices of {item.source or f'item {index}'} complete different ones; use "
                    "objective 'likelihood'"
                )


def task_of(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: IntArray,
    recipe: LoraRecipe,
    settings: FitSettings,
) -> LoraTask:
    """Draw the wrong answers that the settings ask for.

    Raises
    ------
    LikraError
        If the objective trains one head and a mode reads two.
    UnscorableItemError
        If the model cannot read an item.
    """
    scorer.check(items)
    rival = recipe.objective != "likelihood"
    heads = settings.fitted_heads
    if rival and "negative" in heads:
        raise LikraError(
            f"objective {recipe.objective!r} trains a single head; use mode 'sft', not one with a "
            "negative head"
        )
    drawn = NO_NEGATIVES
    if rival or "negative" in heads:
        base = scorer.table(items, ["base"]) if kind_of(settings.negatives).needs_scores else None
        drawn = draw_for(settings, items, y, base)
    return LoraTask(items, y, scorer.prompt, heads, drawn, recipe)
