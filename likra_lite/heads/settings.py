"""The settings of a fit, as one frozen object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..prompts import Prompt
from ..questions.item import Item
from ..scoring.selection import DecisionRule
from .recipe import LoraRecipe

__all__ = ["ADAPTERS", "FITTED_HEADS", "FitSettings"]

ADAPTERS = ("auto", "lora", "output", "none")  # kinds of heads; auto is the one that does best

FITTED_HEADS = ("positive", "negative")


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit of heads: all but the model and the items.

    Attributes
    ----------
    rule : DecisionRule
        How the heads' log-likelihoods come to a decision: it says which heads are needed.
    negatives : str
        Kind of wrong answers, see :func:`likra_lite.heads.negatives.draw_negatives`.
    n_negatives : int
        Wrong answers per item.
    contamination : float
        Share of wrong answers that are replaced by right ones.
    penalty : float or "auto"
        Of output matrices, see :func:`likra_lite.heads.output.fit_output_matrix`.
    recipe : LoraRecipe or None
        Of LoRA heads; the default recipe if None.
    prompt : str, Prompt or None
        See :func:`likra_lite.prompts.as_prompt`; the model's own if None.
    answer_delimiter : str or None
        Between prompt and answer; the prompt's own if None.
    examples : sequence of Item
        Answered, to stand before every question.
    try_examples : bool
        Whether a fit to few items may show some of them in this way.
    cv : int or None
        Number of folds; None for the default of each kind of head.
    seed : int
        Of the negatives, the folds and, unless the recipe has one, of training.
    train_dir : path or None
        Where training keeps its state; a temporary folder if None.
    n_threads : int or None
        All physical cores if None.
    cache : bool
        Whether log-likelihoods and hidden states are kept on disk.
    verbose : bool
        Whether progress is shown.
    """

    rule: DecisionRule
    negatives: str = "own"
    n_negatives: int = 1
    contamination: float = 0.0
    penalty: float | str = "auto"
    recipe: LoraRecipe | None = None
    prompt: str | Prompt | None = None
    answer_delimiter: str | None = None
    examples: Sequence[Item] = ()
    try_examples: bool = False
    cv: int | None = None
    seed: int = 0
    train_dir: str | os.PathLike[str] | None = None
    n_threads: int | None = None
    cache: bool = True
    verbose: bool = False

    @property
    def read_heads(self) -> frozenset[str]:
        """Every head that the decision may read, fitted or not."""
        return self.rule.read

    @property
    def fitted_heads(self) -> list[str]:
        """The heads to be fitted."""
        return [head for head in FITTED_HEADS if head in self.read_heads]

    @property
    def free_heads(self) -> list[str]:
        """The heads that need no fit: ``base`` always, and ``neutral`` if it is read."""
        return ["base", "neutral"] if "neutral" in self.read_heads else ["base"]

    @property
    def drawing_normalization(self) -> str:
        """How ``hardest`` and ``easiest`` compare likelihoods: as the decision does, if fixed."""
        return "none" if self.rule.normalization == "auto" else self.rule.normalization
