"""What a fit is asked for, as plain data: a classifier's parameters without the classifier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..scoring.selection import DecisionRule
from .output import DEFAULT_PENALTY
from .recipe import LoraRecipe
from .training_set import FITTED_HEADS

__all__ = ["FitSettings"]


@dataclass(frozen=True)
class FitSettings:
    """How heads are fitted, and what they are fitted for.

    Parameters
    ----------
    rule : DecisionRule
        What the log-likelihoods are for: it tells which heads are needed.
    negatives : str, default="own"
        Kind of wrong answers, see :func:`likra_lite.heads.negatives.draw_negatives`.
    n_negatives : int, default=1
        Wrong answers per item.
    contamination : float, default=0.0
        Share of wrong answers replaced by right ones.
    penalty : float or "auto", default=100_000.0
        Of output matrices, see :func:`likra_lite.heads.output.fit_output_adapter`.
    recipe : LoraRecipe or None, default=None
        How LoRA heads are trained; the default recipe with this `seed` if None.
    train_dir : path or None, default=None
        Where LoRA training keeps its states; a temporary folder if None.
    prompt : str or None, default=None
        Template or its name; the model's own if None.
    cv : int or None, default=None
        Number of folds.
    seed : int, default=0
        Of the wrong answers and the folds.
    n_threads : int or None, default=None
        The physical cores available if None.
    cached : bool, default=True
        Whether what is computed is kept on disk.
    verbose : bool, default=False
        Whether progress is shown.
    """

    rule: DecisionRule = field(default_factory=DecisionRule)
    negatives: str = "own"
    n_negatives: int = 1
    contamination: float = 0.0
    penalty: float | str = DEFAULT_PENALTY
    recipe: LoraRecipe | None = None
    train_dir: str | os.PathLike[str] | None = None
    prompt: str | None = None
    cv: int | None = None
    seed: int = 0
    n_threads: int | None = None
    cached: bool = True
    verbose: bool = False

    @property
    def fitted_heads(self) -> Sequence[str]:
        """The heads that the rule reads and that are to be fitted."""
        return [head for head in FITTED_HEADS if head in self.rule.heads]

    @property
    def free_heads(self) -> Sequence[str]:
        """What the rule reads of the base model: always ``base``, and ``neutral`` if needed."""
        return ["base", "neutral"] if "neutral" in self.rule.heads else ["base"]

    @property
    def base_normalization(self) -> str:
        """How the base model's likelihoods are compared to find the hardest wrong answer."""
        return "none" if self.rule.normalization == "auto" else self.rule.normalization
