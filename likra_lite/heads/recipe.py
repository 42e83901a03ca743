"""How LoRA heads are trained: the recipe, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import LikraError
from ..validation import check_integer, check_number, check_one_of, check_share, shown

__all__ = ["OBJECTIVES", "PRECISIONS", "SCHEDULES", "LoraRecipe"]

OBJECTIVES = ("likelihood", "unlikelihood", "choices", "dpo")
SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class LoraRecipe:
    """Settings of LoRA training.

    The defaults are those of Hamdan & Yuret (2025) but for the learning rate and its schedule.

    Parameters
    ----------
    rank : int, default=8
        Of the low-rank matrices (Hu et al. 2021).
    lora_alpha : float, default=8.0
        They are scaled by ``lora_alpha / rank``. Not the weight of the negative head.
    dropout : float, default=0.0
        On the input of the low-rank matrices.
    target_modules : sequence of str or None, default=None
        Last parts of the paths of the matrices to adapt, such as ``up_proj``; those of the MLPs
        if None.
    top_layers : int or None, default=None
        Adapt only so many layers, the last ones, so that heads share the others when scoring.
    learning_rate : float or None, default=None
        Of Adam (Kingma & Ba 2015). If None, it is found in a few trial steps, see
        :mod:`likra_lite.heads.lora_rate`. The paper takes 1e-4 for models of 7 billion parameters
        and 1e-3 for one of 3 billion.
    schedule : {"constant", "linear", "cosine"}, default="linear"
        How the learning rate goes on after `warmup`; the latter two end at zero. The paper's is
        constant.
    warmup : int, default=0
        Steps in which the learning rate rises from zero.
    weight_decay : float, default=0.0
        Decoupled from the gradient (Loshchilov & Hutter 2019).
    batch_size : int, default=8
        Examples per step, over all processes.
    epochs : int, default=1
    objective : {"likelihood", "unlikelihood", "choices", "dpo"}, default="likelihood"
        ``likelihood`` trains one head on right answers and one on wrong ones. The others are
        rivals that train a single head on both: likelihood of right tokens and unlikelihood
        of wrong ones (Welleck et al. 2020); cross-entropy of a softmax over the choices'
        log-likelihoods; direct preference optimisation through TRL (Rafailov et al. 2023;
        extra ``baselines``).
    dpo_beta : float, default=0.1
        Strength with which ``dpo`` holds on to the base model.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the frozen weights and of products; the trained factors are float32. ``auto`` is
        bfloat16 on a GPU that has it, else float32.
    gradient_checkpointing : bool, default=False
        Compute activations again in the backward pass: slower, with less memory.
    max_tokens : int, default=4096
        Tokens in one forward and backward pass of one process.
    patience : int or None, default=None
        Look at held-out accuracy after 8, 16, 32, ... examples and stop once it has not risen for
        so many looks in a row; the best head is kept.
    seed : int, default=0
        Of the factors, the order of examples, and dropout.

    Raises
    ------
    LikraError
        If a setting is out of range.
    """

    rank: int = 8
    lora_alpha: float = 8.0
    dropout: float = 0.0
    target_modules: Sequence[str] | None = None
    top_layers: int | None = None
    learning_rate: float | None = None
    schedule: str = "linear"
    warmup: int = 0
    weight_decay: float = 0.0
    batch_size: int = 8
    epochs: int = 1
    objective: str = "likelihood"
    dpo_beta: float = 0.1
    precision: str = "auto"
    gradient_checkpointing: bool = False
    max_tokens: int = 4096
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "batch_size", "epochs", "max_tokens"):
            check_integer(name, getattr(self, name), 1)
        for name in ("warmup", "seed"):
            check_integer(name, getattr(self, name), 0)
        for name in ("top_layers", "patience"):
            check_integer(name, getattr(self, name), 1, optional=True)
        for name in ("lora_alpha", "dpo_beta"):
            check_number(name, getattr(self, name), positive=True)
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, positive=True)
        check_number("weight_decay", self.weight_decay)
        check_share("dropout", self.dropout)
        check_one_of("schedule", self.schedule, SCHEDULES)
        check_one_of("objective", self.objective, OBJECTIVES)
        check_one_of("precision", self.precision, PRECISIONS)
        if self.target_modules is not None:
            names = self.target_modules
            if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
                names = ()
            if not names:
                raise LikraError(
                    f"got target_modules={shown(self.target_modules)}; expected a list of names"
                )
            object.__setattr__(self, "target_modules", tuple(self.target_modules))
