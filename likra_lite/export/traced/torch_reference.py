"""PyTorch's own scores, with which a traced export is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ...engine.head import Lora
from ...errors import ExportError, first_line
from ..parity import Case, draw_cases

__all__ = ["merged", "torch_scores"]


def torch_scores(model: PreTrainedModel, max_length: int) -> tuple[list[Case], NDArray[np.float64]]:
    """Score random token sequences with PyTorch, one continuation at a time.

    Parameters
    ----------
    model : PreTrainedModel
        In float32 with eager attention.
    max_length : int
        Tokens in the model's window.

    Returns
    -------
    cases : list of (context, continuations)
    expected : ndarray of shape (n_continuations,)
        Log-likelihoods in nats.

    Raises
    ------
    ExportError
        If PyTorch itself cannot run the model.
    """
    window = getattr(model.config, "sliding_window", None) or getattr(
        model.config, "window_size", None
    )
    cases = draw_cases(model.config.vocab_size, max_length, window)
    expected = []
    with torch.no_grad():
        for context, continuations in cases:
            for tokens in continuations:
                read = torch.tensor([context + tokens[:-1]])
                try:
                    logits = model(read, use_cache=False).logits[0]
                except Exception as error:
                    raise ExportError(
                        f"PyTorch cannot run {type(model).__name__}: {first_line(error)}"
                    ) from error
                log_probs = logits[len(context) - 1 :].double().log_softmax(-1)
                chosen = log_probs.gather(1, torch.tensor(tokens)[:, None])
                expected.append(float(chosen.sum()))
    return cases, np.array(expected)


@contextmanager
def merged(model: PreTrainedModel, adapter: Lora) -> Iterator[None]:
    """Add an adapter to the weights of `model`, for a time."""
    kept = {}
    for name, (a, b) in adapter.factors.items():
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        kept[name] = weight.data.clone()
        change = torch.from_numpy(a @ b)
        weight.data += change if isinstance(model.get_submodule(name), Conv1D) else change.T
    try:
        yield
    finally:
        for name, data in kept.items():
            model.get_submodule(name).weight.data = data
