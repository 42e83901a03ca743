"""Index arithmetic of ragged arrays: values in a row, and offsets that cut them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["span_indices"]

IntArray = NDArray[np.int64]


def span_indices(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return the indices of several spans, one span after the other.

    Parameters
    ----------
    starts, lengths : ndarray of shape (n_spans,)
        Span i holds the indices ``starts[i]`` to ``starts[i] + lengths[i] - 1``.

    Returns
    -------
    ndarray of shape (lengths.sum(),)
    """
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
