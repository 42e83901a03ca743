"""The check that ends every export: the folder's scores against PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..engine.head import Lora
from ..engine.onnx import LanguageModel
from ..engine.trees import TokenTree
from ..errors import ExportError, first_line

__all__ = ["TOLERANCE", "check_parity", "merged", "random_adapter", "reference_scores"]

TOLERANCE = 1e-3  # nats per continuation
LONGEST = 1024  # tokens; long enough for the sliding windows of small models

Case = tuple[list[int], list[list[int]]]


def _cases(vocabulary: int, max_length: int, window: int | None) -> list[Case]:
    """Draw contexts and continuations: short ones, shared beginnings, and one long context."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[int]:
        return rng.integers(0, vocabulary, count).tolist()

    short = min(24, max_length // 2)
    start = draw(2)
    long = min(max_length - 8, LONGEST, 2 * (window or short))
    return [
        (draw(short), [draw(1), draw(5), draw(3)]),
        (draw(1), [[*start, *draw(2)], [*start, *draw(3)], start]),
        (draw(max(short, long)), [draw(4), draw(6)]),
    ]


def reference_scores(
    model: PreTrainedModel, max_length: int
) -> tuple[list[Case], NDArray[np.float64]]:
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
    cases = _cases(model.config.vocab_size, max_length, window)
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


def random_adapter(modules: Mapping[str, tuple[int, int]]) -> Lora:
    """Draw an adapter that changes every score."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0.0, 0.3 * shape[0] ** -0.5, shape).astype(np.float32)

    return Lora({name: (draw(n_in, 4), draw(4, n)) for name, (n_in, n) in modules.items()})


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


def check_parity(
    model: LanguageModel,
    cases: list[Case],
    expected: NDArray[np.float64],
    architecture: str,
    adapter: Lora | None = None,
) -> float:
    """Compare a model folder with PyTorch's scores.

    Parameters
    ----------
    model : LanguageModel
    cases : list of (context, continuations)
    expected : ndarray of shape (n_continuations,)
    architecture : str
        For the message.
    adapter : Lora, optional
        With which PyTorch scored.

    Returns
    -------
    float
        The largest difference, in nats.

    Raises
    ------
    ExportError
        If it exceeds :data:`TOLERANCE`.
    """
    trees = [TokenTree(context, continuations) for context, continuations in cases]
    try:
        if adapter is None:
            scores = model.log_likelihoods(model.features(trees), [None])[0]
        else:  # between two others, to see heads kept apart
            features, tokens = model.read_and_score(trees, [None, adapter, None])
            scores = np.add.reduceat(tokens[1], features.offsets[:-1])
    except Exception as error:
        raise ExportError(
            f"{architecture} was exported but cannot be run by ONNX Runtime: {first_line(error)}"
        ) from error
    difference = float(np.max(np.abs(scores - expected)))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{architecture} cannot be exported: the graphs differ from PyTorch by "
            f"{difference:.3g} nats, more than {TOLERANCE:g}"
        )
    return difference
