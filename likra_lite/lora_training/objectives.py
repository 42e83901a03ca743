"""Objectives of training: log-probabilities of answer tokens to a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..heads.lora_examples import Example

__all__ = ["LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """A sum over an example's tokens, and the number of units that it is divided by.

    Attributes
    ----------
    total : callable
        From an example's token log-probabilities, one tensor per continuation, and the right
        continuation's index.
    units : callable
        From an example. A step's loss is the sum of totals by the sum of units.
    """

    total: Callable[[Sequence[Tensor], int], Tensor]
    units: Callable[[Example], int]


def _likelihood(continuations: Sequence[Tensor], right: int) -> Tensor:
    return -continuations[right].sum()


def _unlikelihood(continuations: Sequence[Tensor], right: int) -> Tensor:
    """Welleck et al. 2020, "Neural text generation with unlikelihood training"."""
    total = -continuations[right].sum()
    for index, log_probs in enumerate(continuations):
        if index != right:
            certain = torch.clamp(log_probs, max=-1e-6)  # of probability 1: an infinite loss
            total = total - torch.log(-torch.expm1(certain)).sum()
    return total


def _choices(continuations: Sequence[Tensor], right: int) -> Tensor:
    """Cross-entropy of a softmax over the choices' log-likelihoods."""
    scores = torch.stack([log_probs.sum() for log_probs in continuations])
    return torch.logsumexp(scores, 0) - scores[right]


def _tokens(example: Example) -> int:
    return int(example.tree.lengths[example.right])


LOSSES = {
    "likelihood": Loss(_likelihood, _tokens),
    "unlikelihood": Loss(_unlikelihood, lambda example: int(example.tree.lengths.sum())),
    "choices": Loss(_choices, lambda example: 1),
}
