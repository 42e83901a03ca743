"""The lengths of a choice: what a score may be divided by, or lean on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTHS", "NORMALIZATIONS", "Length", "lengths_of", "mode_name"]

IntArray = NDArray[np.int64]


class Length(NamedTuple):
    """A length of a choice.

    Attributes
    ----------
    unit : str
        What people call one of it.
    of : callable
        From the text of a choice and its number of tokens to the length.
    """

    unit: str
    of: Callable[[str, int], int]


LENGTHS: Mapping[str, Length] = {
    "chars": Length("character", lambda text, n_tokens: len(text)),
    "bytes": Length("byte", lambda text, n_tokens: len(text.encode())),
    "tokens": Length("token", lambda text, n_tokens: n_tokens),
}

NORMALIZATIONS = ("none", *LENGTHS)


def lengths_of(choices: Sequence[str], n_tokens: Sequence[int] | IntArray) -> dict[str, IntArray]:
    """Return every length of some choices.

    Parameters
    ----------
    choices : sequence of str
    n_tokens : array-like of shape (n_choices,)
        How many tokens each has as it is scored.

    Returns
    -------
    dict of str to ndarray of shape (n_choices,)
    """
    return {
        name: np.array(
            [length.of(text, int(n)) for text, n in zip(choices, n_tokens, strict=True)],
            dtype=np.int64,
        )
        for name, length in LENGTHS.items()
    }


def mode_name(mode: str, normalization: str) -> str:
    """Return what people call a mode and its normalization: ``base per character``."""
    return mode if normalization == "none" else f"{mode} per {LENGTHS[normalization].unit}"
