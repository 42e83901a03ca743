"""The factors of a LoRA head before training, and their optimiser, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .peft_folder import DOWN, UP
from .recipe import LoraRecipe

__all__ = ["Adam", "initial_factors"]

FloatArray = NDArray[np.float32]


def initial_factors(
    shapes: Mapping[str, tuple[int, int]], recipe: LoraRecipe
) -> dict[str, FloatArray]:
    """Return factors that change nothing yet, the same wherever they are trained.

    Parameters
    ----------
    shapes : mapping of str to (n_in, n_out)
        Of the adapted matrices.
    recipe : LoraRecipe
        Rank and seed.

    Returns
    -------
    dict of str to ndarray
        ``{module}.lora_A.weight`` of shape (rank, n_in), uniform as in PyTorch's linear layers,
        and ``{module}.lora_B.weight`` of shape (n_out, rank), zero.
    """
    rng = np.random.default_rng(recipe.seed)
    factors = {}
    for module in sorted(shapes):
        n_in, n_out = shapes[module]
        bound = n_in**-0.5
        down = rng.uniform(-bound, bound, (recipe.rank, n_in))
        factors[f"{module}.{DOWN}"] = down.astype(np.float32)
        factors[f"{module}.{UP}"] = np.zeros((n_out, recipe.rank), np.float32)
    return factors


class Adam:
    """Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019).

    Parameters
    ----------
    values : ndarray of shape (n,)
        Changed in place by :meth:`step`.
    weight_decay : float

    Attributes
    ----------
    first, second : ndarray of shape (n,)
        Moving averages of the gradient and of its square.
    count : int
        Steps so far.
    """

    DECAY = (0.9, 0.999)  # of the moving averages
    EPSILON = 1e-8

    def __init__(self, values: FloatArray, weight_decay: float) -> None:
        self.values, self.weight_decay = values, weight_decay
        self.first, self.second = np.zeros_like(values), np.zeros_like(values)
        self.count = 0

    def step(self, gradient: FloatArray, learning_rate: float) -> None:
        """Make a step against the gradient."""
        self.count += 1
        kept, kept_square = self.DECAY
        self.first += (1 - kept) * (gradient - self.first)
        self.second *= kept_square
        self.second += (1 - kept_square) * gradient * gradient
        root = np.sqrt(self.second) / np.float32((1 - kept_square**self.count) ** 0.5)
        self.values *= np.float32(1 - learning_rate * self.weight_decay)
        scale = np.float32(learning_rate / (1 - kept**self.count))
        self.values -= scale * self.first / (root + np.float32(self.EPSILON))
