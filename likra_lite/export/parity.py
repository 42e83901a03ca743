"""The check that ends every export: the folder's scores against a reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.folder import write_manifest
from ..engine.head import Lora
from ..engine.manifest import Manifest
from ..engine.onnx import LanguageModel
from ..engine.trees import TokenTree
from ..errors import ExportError, first_line

__all__ = ["Case", "draw_cases", "random_adapter", "write_checked"]

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


def write_checked(
    folder: Path,
    manifest: Manifest,
    cases: list[Case],
    expected: Sequence[tuple[Lora | None, NDArray[np.float64]]],
    reference: str,
) -> Manifest:
    """Write the manifest of a new model folder, with how far it is from another implementation.

    Parameters
    ----------
    folder : Path
        Complete but for the manifest.
    manifest : Manifest
    cases : list of (context, continuations)
    expected : sequence of (adapter or None, scores of shape (n_continuations,))
        What the reference found with adapters, and without.
    reference : str
        What that is, for the message.

    Returns
    -------
    Manifest
        With the largest difference, in nats.

    Raises
    ------
    ExportError
        If it exceeds :data:`TOLERANCE`.
    """
    write_manifest(folder, manifest)
    model = LanguageModel(folder)
    architecture = str(manifest.base_model["architecture"])
    differences = [
        _difference(model, cases, scores, adapter, architecture) for adapter, scores in expected
    ]
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{architecture} cannot be exported: the graphs differ from {reference} by "
            f"{largest:.3g} nats, more than {TOLERANCE:g}"
        )
    parity = {"max_difference_nats": largest, "tolerance_nats": TOLERANCE}
    return write_manifest(folder, replace(manifest, parity=parity))


def _difference(
    model: LanguageModel,
    cases: list[Case],
    expected: NDArray[np.float64],
    adapter: Lora | None,
    architecture: str,
) -> float:
    """Return how far scores are from those expected at most; NaN if one is none."""
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
    return float(np.max(np.abs(scores - expected)))
