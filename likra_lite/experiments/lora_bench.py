"""LoRA heads on growing subsets of the same items: a long training leaves the short ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.head import Lora
from ..engine.pairs import Pair
from ..heads.fit_graph import GraphTrainer
from ..heads.lora_examples import Example
from ..heads.lora_loop import CHECKPOINTS, steps_of
from ..heads.lora_rate import RateFinder
from ..heads.negatives import Negatives, kind_of
from ..heads.peft_folder import read_peft_folder
from ..heads.recipe import LoraRecipe
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from .bench import Bench, order_of
from .held_out import HeldOut
from .points import Point

__all__ = ["LoraBench"]


class LoraBench(Bench):
    """Fits of LoRA heads, which go on where they stopped.

    Where the learning rate is constant and every example is seen once, the head as it was after
    n examples is the head that n examples give: a training is run for the largest subset, and
    its checkpoints are the heads of the smaller ones.

    Parameters
    ----------
    scorer, items, held_out
        See :class:`Bench`.
    recipe : LoraRecipe
        Its seed is replaced by that of the point.
    folder : Path
        Where trainings are kept.
    advance : callable, optional
        Called with the number of items read.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        held_out: Mapping[str, HeldOut],
        recipe: LoraRecipe,
        folder: Path,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__(scorer, items, held_out)
        self.recipe = recipe
        self.folder = folder
        self._advance = advance
        self._rate = RateFinder(recipe.learning_rate, folder)

    @cached_property
    def training_table(self) -> LogLikelihoods:
        """The training items under the base model."""
        return self.scorer.table(self.items, ["base"], self._advance)

    def fit(self, point: Point) -> ChoiceScorer:
        """Return the language model with both heads fitted at a point."""
        plain = Point(point.control, point.n_items, point.seed)
        trainer = GraphTrainer(self.scorer.model, replace(self.recipe, seed=point.seed))
        heads = {
            "positive": self._head("positive", plain, trainer),
            "negative": self._head("negative", point, trainer),
        }
        return replace(self.scorer, fitted=heads)

    def score_training(self, fitted: ChoiceScorer, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return some training items' log-likelihoods under the base model and fitted heads."""
        chosen = [self.items[index] for index in items.tolist()]
        scored = fitted.table(chosen, list(fitted.fitted))
        base = self.training_table.take(items)
        return replace(base, heads={**base.heads, **scored.heads})

    def _head(self, name: str, point: Point, trainer: GraphTrainer) -> Lora:
        """Return a head, from a checkpoint of a longer training if there is one."""
        pairs = self._pairs(name, point)
        series = self.folder / f"{name}-{replace(point, n_items=1).key}"
        if self._is_nested(point):
            for checkpoint in series.glob(f"*/{CHECKPOINTS}/{len(pairs):06d}"):
                return read_peft_folder(checkpoint)[0]
        trees, _ = self.scorer.model.encoder.trees(pairs)
        # Training takes examples in an order of its own; it is to be that of the pairs.
        order = [
            index
            for step in steps_of(len(trees), replace(trainer.recipe, epochs=1))
            for index in step
        ]
        examples = [Example(trees[place]) for place in np.argsort(order).tolist()]
        return trainer.train(examples, series / str(point.n_items), finder=self._rate)

    def _is_nested(self, point: Point) -> bool:
        """Return whether more examples only come after those of a point."""
        recipe = self.recipe
        once = recipe.epochs == 1 and recipe.schedule == "constant"
        return once and kind_of(point.negatives).nested

    def _pairs(self, name: str, point: Point) -> list[Pair]:
        """Return what a head is trained on, in the order in which the seed takes items."""
        order = order_of(len(self.items), point.seed)
        right = Negatives(order, order, self.y[order])
        answers = right if name == "positive" else self.draw(point)
        rank = np.argsort(order)
        answers = answers.take(np.argsort(rank[answers.item], kind="stable"))
        return answers.take(rank[answers.item] < point.n_items).pairs(
            self.items, self.scorer.prompt
        )
