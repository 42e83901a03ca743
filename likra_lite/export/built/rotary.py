"""Rotary embeddings from the settings of a configuration.

References
----------
Su et al. 2021, "RoFormer", arXiv 2104.09864. Scaled for longer texts: Chen et al. 2023
(linear), arXiv 2306.15595; Peng et al. 2023 (YaRN), arXiv 2309.00071; Ding et al. 2024
(LongRoPE), arXiv 2402.13753; Llama 3.1 (``llama3``), whose wavelengths are stretched by parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError
from .decoder_spec import Rotary

__all__ = ["RotarySettings", "make_rotary", "original_window"]

Frequencies = NDArray[np.float64]


@dataclass(frozen=True)
class RotarySettings:
    """The settings that the frequencies depend on.

    Parameters
    ----------
    size : int
        Dimensions of a head that are rotated.
    theta : float
        The base of the wavelengths.
    scaling : mapping
        ``rope_scaling`` of a configuration; empty for none.
    max_length : int
        ``max_position_embeddings``.
    original_max_length : int or None
        ``original_max_position_embeddings``, where the configuration has it beside the scaling.
    """

    size: int
    theta: float
    scaling: Mapping[str, Any]
    max_length: int
    original_max_length: int | None = None


Scaler = Callable[[Frequencies, RotarySettings, dict[str, Any]], tuple[Frequencies, float]]


def make_rotary(settings: RotarySettings) -> Rotary:
    """Return the rotary embedding.

    Raises
    ------
    ExportError
        If the scaling is of an unknown kind, or says something unknown.
    """
    kind = _kind(settings.scaling)
    # Each scaler takes what it understands, so that nothing is left unread.
    left = {
        key: value
        for key, value in settings.scaling.items()
        if value is not None
        and key not in ("rope_type", "type", "rope_theta", "partial_rotary_factor")
    }
    if kind not in SCALERS:
        raise ExportError(f"rotary embeddings of kind {kind!r} are not known")
    powers = np.arange(0, settings.size, 2) / settings.size
    try:
        frequencies, factor = SCALERS[kind](settings.theta**-powers, settings, left)
    except KeyError as error:
        raise ExportError(
            f"rotary embeddings of kind {kind!r} need {error}, which is missing"
        ) from None
    if left:
        raise ExportError(f"rotary embeddings of kind {kind!r} with {_listed(left)} are not known")
    single = np.asarray(frequencies, np.float32)  # what every implementation computes with
    return Rotary(tuple(single.tolist()), float(factor))


def original_window(scaling: Mapping[str, Any], original_max_length: int | None) -> int | None:
    """Return the window beyond which other frequencies would be needed, if there is one."""
    if SCALERS.get(_kind(scaling)) is not _longrope:
        return None
    return scaling.get("original_max_position_embeddings") or original_max_length


def _kind(scaling: Mapping[str, Any]) -> str:
    return scaling.get("rope_type") or scaling.get("type") or "default"


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in settings.items())


def _unscaled(
    frequencies: Frequencies, settings: RotarySettings, left: dict[str, Any]
) -> tuple[Frequencies, float]:
    left.pop("factor", None)  # of no effect without a kind
    left.pop("original_max_position_embeddings", None)
    return frequencies, 1.0


def _linear(
    frequencies: Frequencies, settings: RotarySettings, left: dict[str, Any]
) -> tuple[Frequencies, float]:
    left.pop("original_max_position_embeddings", None)
    return frequencies / left.pop("factor"), 1.0


def _llama3(
    frequencies: Frequencies, settings: RotarySettings, left: dict[str, Any]
) -> tuple[Frequencies, float]:
    """Divide slow frequencies by a factor, keep fast ones, and blend between them."""
    factor, slow, fast = (
        left.pop(name) for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    turns = left.pop("original_max_position_embeddings") * frequencies / (2 * math.pi)
    kept = np.clip((turns - slow) / (fast - slow), 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / factor), 1.0


def _yarn(
    frequencies: Frequencies, settings: RotarySettings, left: dict[str, Any]
) -> tuple[Frequencies, float]:
    factor = left.pop("factor")
    length = left.pop("original_max_position_embeddings", None) or settings.max_length
    fast, slow = left.pop("beta_fast", None) or 32, left.pop("beta_slow", None) or 1
    weights = [left.pop(name, None) for name in ("mscale", "mscale_all_dim")]
    attention = left.pop("attention_factor", None)

    def dimension(turns: float) -> float:
        """Return the pair of dimensions that turns so often in the original window."""
        ratio = math.log(length / (turns * 2 * math.pi)) / math.log(settings.theta)
        return settings.size * ratio / 2

    def sharpening(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    low, high = dimension(fast), dimension(slow)
    if left.pop("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, settings.size - 1)
    ramp = (np.arange(len(frequencies)) - low) / (high - low if high != low else 0.001)
    kept = 1 - np.clip(ramp, 0.0, 1.0)
    if attention is None:
        attention = sharpening(1.0)
        if weights[0] and weights[1]:
            attention = sharpening(weights[0]) / sharpening(weights[1])
    return frequencies * (kept + (1 - kept) / factor), attention


def _longrope(
    frequencies: Frequencies, settings: RotarySettings, left: dict[str, Any]
) -> tuple[Frequencies, float]:
    """Divide each frequency by its own factor; the window is the original one."""
    short = np.asarray(left.pop("short_factor"), np.float64)
    left.pop("long_factor", None)  # beyond the original window
    factor, attention = left.pop("factor", None), left.pop("attention_factor", None)
    original = left.pop("original_max_position_embeddings", None) or settings.original_max_length
    if original is None:
        original = settings.max_length
    else:
        factor = settings.max_length / original
    if attention is None:
        attention = 1.0
        if factor is not None and factor > 1:
            attention = math.sqrt(1 + math.log(factor) / math.log(original))
    if len(short) != len(frequencies):
        raise ExportError(
            f"short_factor has {len(short)} numbers, but {settings.size} dimensions are rotated"
        )
    return frequencies / short, attention


SCALERS: dict[str, Scaler] = {
    "default": _unscaled,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
    "su": _longrope,  # what it was called first
}
