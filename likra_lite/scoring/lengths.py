"""The lengths of a choice: what a score may be divided by, or lean on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTHS", "NORMALIZATIONS", "lengths_of"]

IntArray = NDArray[np.int64]

# From the text of a choice and its number of tokens.
LENGTHS: Mapping[str, Callable[[str, int], int]] = {
    "chars": lambda text, n_tokens: len(text),
    "bytes": lambda text, n_tokens: len(text.encode()),
    "tokens": lambda text, n_tokens: n_tokens,
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
            [length(text, int(n)) for text, n in zip(choices, n_tokens, strict=True)],
            dtype=np.int64,
        )
        for name, length in LENGTHS.items()
    }
