"""The data that heads are fitted on: hidden states of continuations, the vocabulary projection."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .ragged import span_indices

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Features", "OutputProjection"]

FloatArray = NDArray[np.float32]

MEMORY_BYTES = 256 * 2**20  # of hidden states; more of them go to a temporary file
ROWS_AT_A_TIME = 16384


@dataclass(frozen=True)
class Features:
    """The final hidden states of some token trees, with the tokens to predict from them.

    Attributes
    ----------
    hidden : ndarray of shape (R, H)
        Final hidden states, float32.
    rows : ndarray of shape (M,)
        For every continuation token, the row of `hidden` that predicts it.
    targets : ndarray of shape (M,)
        Those tokens.
    lengths : ndarray of shape (n_continuations,)
        Tokens in each continuation; continuations stand in the order of the trees.
    """

    hidden: FloatArray
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each continuation's tokens begin, of shape (n_continuations + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def take(self, continuations: NDArray[np.int64]) -> Features:
        """Return the features of some continuations only, in the order given."""
        lengths = self.lengths[continuations]
        tokens = span_indices(self.offsets[continuations], lengths)
        used, rows = np.unique(self.rows[tokens], return_inverse=True)
        hidden = _Rows()
        for start in range(0, max(1, len(used)), ROWS_AT_A_TIME):
            hidden.append(self.hidden[used[start : start + ROWS_AT_A_TIME]])
        return Features(hidden.array(), rows, self.targets[tokens], lengths)

    def chunks(self, size: int) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
        """Go through the hidden states, `size` at a time.

        Yields
        ------
        part : slice
            Of `hidden`.
        tokens : ndarray
            The continuation tokens that these predict, as indices into `targets`.
        rows : ndarray
            The row of the part that predicts each.
        """
        order = np.argsort(self.rows, kind="stable")
        rows = self.rows[order]
        for start in range(0, len(self.hidden), size):
            first, last = np.searchsorted(rows, [start, start + size])
            yield slice(start, start + size), order[first:last], rows[first:last] - start

    @staticmethod
    def concatenate(parts: Iterable[Features]) -> Features:
        """Join features; `parts` may be a generator of more than the memory holds."""
        hidden = _Rows()
        rows, targets, lengths = [], [], []
        for part in parts:
            rows.append(part.rows + hidden.count)
            targets.append(part.targets)
            lengths.append(part.lengths)
            hidden.append(part.hidden)
        return Features(
            hidden.array(),
            np.concatenate(rows),
            np.concatenate(targets),
            np.concatenate(lengths),
        )


class _Rows:
    """Rows that grow: in memory, and in a temporary file once they are too many for it."""

    def __init__(self) -> None:
        self.parts: list[FloatArray] = []
        self.file: IO[bytes] | None = None
        self.count = 0
        self.bytes_in_memory = 0
        self.width = 0

    def append(self, rows: FloatArray) -> None:
        self.count += len(rows)
        self.parts.append(rows)
        self.bytes_in_memory += rows.nbytes
        if self.bytes_in_memory > MEMORY_BYTES:
            self._spill()

    def _spill(self) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  # closed in array()
        for part in self.parts:
            self.file.write(np.ascontiguousarray(part).data)
        self.width = self.parts[0].shape[1]
        self.parts, self.bytes_in_memory = [], 0

    def array(self) -> FloatArray:
        """Return all rows; from a file, they are read when they are used."""
        if self.file is None:
            return np.concatenate(self.parts) if len(self.parts) != 1 else self.parts[0]
        if self.parts:
            self._spill()
        with self.file as file:  # the mapping stays, and with it the file
            file.flush()
            return np.memmap(file, np.float32, mode="r", shape=(self.count, self.width))


@dataclass(frozen=True)
class OutputProjection:
    """The vocabulary projection, for fitting heads.

    Attributes
    ----------
    weight : ndarray of shape (V, H)
        The output embedding.
    logit_scale : float
        Factor on the logits.
    gradient : InferenceSession
        Of ``gradient.onnx``: the loss and its gradient.
    """

    weight: FloatArray
    logit_scale: float
    gradient: InferenceSession
