"""The check that ends every export: the folder's scores against a reference's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..engine.head import Lora
from ..engine.onnx import LanguageModel
from ..engine.trees import TokenTree
from ..errors import ExportError, first_line

__all__ = ["TOLERANCE", "Case", "check_parity", "draw_cases", "random_adapter"]

TOLERANCE = 1e-3  # nats per continuation
LONGEST = 1024  # tokens; long enough for the sliding windows of small models

Case = tuple[list[int], list[list[int]]]


def draw_cases(
    vocabulary: int, max_length: int, window: int | None, longest: int = LONGEST
) -> list[Case]:
    """Draw contexts and continuations: short ones, shared beginnings, and one longer context.

    That one leaves a sliding `window` behind, if `longest` tokens are enough for that.
    """
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[int]:
        return rng.integers(0, vocabulary, count).tolist()

    short = min(12, max_length // 2)
    start = draw(2)
    long = 2 * window if window is not None and 2 * window <= longest else 2 * short
    return [
        (draw(short), [draw(1), draw(5), draw(3)]),
        (draw(1), [[*start, *draw(2)], [*start, *draw(3)], start]),
        (draw(max(short, min(max_length - 8, long))), [draw(6)]),
    ]


def random_adapter(modules: Mapping[str, tuple[int, int]]) -> Lora:
    """Draw an adapter that changes every score."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0.0, 0.3 * shape[0] ** -0.5, shape).astype(np.float32)

    return Lora({name: (draw(n_in, 4), draw(4, n)) for name, (n_in, n) in modules.items()})


def check_parity(
    model: LanguageModel,
    cases: list[Case],
    expected: NDArray[np.float64],
    architecture: str,
    reference: str,
    adapter: Lora | None = None,
) -> float:
    """Compare a model folder with scores that were found otherwise.

    Parameters
    ----------
    model : LanguageModel
    cases : list of (context, continuations)
    expected : ndarray of shape (n_continuations,)
    architecture, reference : str
        The model and what scored it, for the message.
    adapter : Lora, optional
        With which the reference scored.

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
            f"{architecture} cannot be exported: the graphs differ from {reference} by "
            f"{difference:.3g} nats, more than {TOLERANCE:g}"
        )
    return difference
