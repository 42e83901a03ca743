"""LoRA heads for a classifier from a model folder: trained with ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.head import Lora
from ..engine.manifest import LORA_GRADIENT, WEIGHTS
from ..engine.sessions import available_threads
from ..errors import LikraError
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from .lora_examples import Example
from .lora_learner import GraphLearner, open_for_training
from .lora_loop import train
from .lora_rate import RateFinder
from .lora_runs import Training, accuracy_of, examples_for, fit_runs, scratch_folder
from .lora_task import task_of
from .recipe import LoraRecipe
from .settings import FitSettings
from .training_set import FittedHeads, HeldOutItems

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["GraphTrainer", "check_covered", "fit_lora_heads", "why_not_covered"]


def fit_lora_heads(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    y: NDArray[np.int64],
    held_out: HeldOutItems | None,
    settings: FitSettings,
) -> FittedHeads:
    """Train LoRA heads, and score items that they have not seen.

    Parameters
    ----------
    scorer : ChoiceScorer
        The model without heads. Its folder has the graph with the gradients.
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    held_out : HeldOutItems or None
        See :func:`likra_lite.heads.lora_runs.fit_runs`.
    settings : FitSettings

    Returns
    -------
    FittedHeads

    Raises
    ------
    LikraError
        If the folder has no such graph, or the recipe asks for what it does not cover.
    """
    recipe = settings.recipe or LoraRecipe(seed=settings.seed)
    check_covered(scorer.model, recipe)
    task = task_of(scorer, items, y, recipe, settings)
    folder = scratch_folder(settings.train_dir)
    finder = RateFinder(recipe.learning_rate, folder, settings.verbose)
    trainer = GraphTrainer(scorer.model, recipe)

    def learn(head: str, run: Training, advance: Callable[[int], None]) -> Lora:
        examples, looked_at = examples_for(scorer, task, head, run)
        look = None if looked_at is None else _accuracy(scorer, looked_at, head)
        return trainer.train(examples, run.folder / head, look, advance, finder)

    return fit_runs(scorer, task, settings, held_out, folder, learn, trainer.close)


def check_covered(model: Engine, recipe: LoraRecipe) -> None:
    """Raise LikraError if a model folder cannot be trained, or not by this recipe."""
    reason = why_not_covered(model, recipe)
    if reason is not None:
        raise LikraError(reason)


def why_not_covered(model: Engine, recipe: LoraRecipe) -> str | None:
    """Return why a model folder cannot be trained by a recipe, and what to do; None if it can."""
    folder = model.folder
    if LORA_GRADIENT not in model.manifest.files:
        return (
            f"{folder} has no {LORA_GRADIENT}, which LoRA heads are trained with; export the model "
            'again, or give the checkpoint itself as the model (extra "train")'
        )
    unknown = {
        "objective": recipe.objective != "likelihood",
        "dropout": recipe.dropout > 0,
        "precision": recipe.precision == "bfloat16",
    }
    for name, asked in unknown.items():
        if asked:
            return (
                f"{name} {getattr(recipe, name)} needs PyTorch: give the checkpoint itself as the "
                'model, and install the extra: pip install "likra-lite[train]"'
            )
    return None


class GraphTrainer:
    """Trains heads with the graph of a model folder, which is opened when the first one needs it.

    Parameters
    ----------
    model : Engine
    recipe : LoraRecipe
    """

    def __init__(self, model: Engine, recipe: LoraRecipe) -> None:
        self.model, self.recipe = model, recipe
        self._threads = model.n_threads or available_threads()
        self._session: InferenceSession | None = None

    def train(
        self,
        examples: Sequence[Example],
        folder: Path,
        evaluate: Callable[[Lora], float] | None = None,
        advance: Callable[[int], object] | None = None,
        finder: RateFinder | None = None,
    ) -> Lora:
        """Train one head, or go on with it.

        Parameters
        ----------
        examples : sequence of Example
        folder : Path
            Where state and checkpoints are kept, see :func:`likra_lite.heads.lora_loop.train`.
        evaluate : callable, optional
            From the head as it is to its accuracy on held-out items.
        advance : callable, optional
            Called with the number of examples done.
        finder : RateFinder, optional
            Of the learning rate; one of this training's own by default.

        Returns
        -------
        Lora
        """
        from threadpoolctl import threadpool_limits

        model, recipe = self.model, self.recipe
        if self._session is None:
            self._session = open_for_training(model.folder, model.manifest, recipe, self._threads)
        base = str(model.manifest.base_model["id"])
        learner = GraphLearner(self._session, recipe, base, self._threads)
        look = None if evaluate is None else lambda: evaluate(learner.lora())
        identity = model.manifest.files[WEIGHTS]["sha256"]
        with threadpool_limits(1, "blas"):  # NumPy's threads would fight ONNX Runtime's
            rate = (finder or RateFinder(recipe.learning_rate, folder)).find(learner, examples)
            train(learner, examples, folder, identity, rate, look, advance)
        return learner.lora()

    def close(self) -> None:
        """Free the graph's memory, as before items are scored."""
        self._session = None


def _accuracy(scorer: ChoiceScorer, held_out: HeldOutItems, head: str) -> Callable[[Lora], float]:
    """Return a function that measures the accuracy of the head as training goes."""
    model = scorer.model
    trees, _ = model.encoder.trees(scorer.pairs(held_out.items))

    def measure(lora: Lora) -> float:
        features, tokens = model.read_and_score(trees, [lora, None])
        values, base = np.add.reduceat(tokens, features.offsets[:-1], axis=1)
        return accuracy_of(head, held_out, values, base)

    return measure
