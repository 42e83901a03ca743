"""The ragged table of log-likelihoods: per item, choice and head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.ragged import span_indices
from ..errors import LikraError
from ..questions.item import Item
from ..validation import shown, type_name
from .lengths import LENGTHS, lengths_of

__all__ = ["LogLikelihoods", "choice_table"]

COLUMN = "log_likelihood."  # before the name of a head, among named arrays


@dataclass(frozen=True)
class LogLikelihoods:
    """Log-likelihoods and lengths of every choice of some items.

    Changing alpha, the mode or the normalisation is arithmetic on this table; no forward
    pass is needed. The classifier's methods take it in place of items.

    Attributes
    ----------
    offsets : ndarray of shape (n_items + 1,)
        Item i has the choices ``offsets[i]`` to ``offsets[i + 1] - 1``.
    heads : dict of str to ndarray of shape (n_choices,)
        Sum of log-probabilities in nats under each head: ``base``, ``positive``,
        ``negative``, and ``neutral``, the base model after the neutral context.
    lengths : dict of str to ndarray of shape (n_choices,)
        Of each choice in Python characters (``chars``), ``bytes`` of UTF-8, and ``tokens``; see
        :data:`likra_lite.scoring.lengths.LENGTHS`.
    """

    offsets: NDArray[np.int64]
    heads: Mapping[str, NDArray[np.float64]]
    lengths: Mapping[str, NDArray[np.int64]]

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets)
        if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or offsets[:1].tolist() != [0]:
            raise LikraError("the offsets of log-likelihoods are integers that begin with 0")
        if np.any(np.diff(offsets) < 1):
            raise LikraError("the offsets of log-likelihoods grow: every item has choices")
        for kind, columns in (("heads", self.heads), ("lengths", self.lengths)):
            if not isinstance(columns, Mapping):
                raise LikraError(f"got {kind} of type {type_name(columns)}; expected a dict")
            for name in LENGTHS if kind == "lengths" else ():
                if name not in columns:
                    raise LikraError(f"the lengths of log-likelihoods lack {name!r}")
            for name, column in columns.items():
                numbers = getattr(getattr(column, "dtype", None), "kind", "") in "iuf"
                if not numbers or np.shape(column) != (offsets[-1],):
                    raise LikraError(
                        f"got {shown(column)} for {shown(name)} in the {kind} of log-likelihoods; "
                        f"expected an array of {offsets[-1]} numbers, one for each choice"
                    )

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.offsets) - 1

    @property
    def n_choices(self) -> NDArray[np.int64]:
        """Number of choices of each item, of shape (n_items,)."""
        return np.diff(self.offsets)

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Length of each choice in tokens, of shape (n_choices,)."""
        return self.lengths["tokens"]

    @property
    def n_chars(self) -> NDArray[np.int64]:
        """Length of each choice in Python characters, of shape (n_choices,)."""
        return self.lengths["chars"]

    @property
    def n_bytes(self) -> NDArray[np.int64]:
        """Length of each choice in bytes of UTF-8, of shape (n_choices,)."""
        return self.lengths["bytes"]

    def head(self, name: str) -> NDArray[np.float64]:
        """Return one head's column.

        Raises
        ------
        LikraError
            If the table lacks it.
        """
        if name not in self.heads:
            raise LikraError(
                f"the log-likelihoods have no {name!r} head, only {', '.join(self.heads)}; "
                "fit a mode that uses it"
            )
        return self.heads[name]

    def split(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Cut a column of shape (n_choices,) into one array per item."""
        return np.split(values, self.offsets[1:-1])

    def take(self, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return the table of some items, in the order given."""
        counts = self.n_choices[items]
        rows = span_indices(self.offsets[items], counts)
        return LogLikelihoods(
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            heads={name: column[rows] for name, column in self.heads.items()},
            lengths={name: column[rows] for name, column in self.lengths.items()},
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the table as named arrays, to be written to a file."""
        return {
            "offsets": self.offsets,
            **{f"n_{name}": column for name, column in self.lengths.items()},
            **{COLUMN + head: column for head, column in self.heads.items()},
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LogLikelihoods:
        """Return the table among named arrays, see :meth:`to_arrays`; others are left out."""
        return cls(
            offsets=arrays["offsets"],
            heads={
                name.removeprefix(COLUMN): column
                for name, column in sorted(arrays.items())
                if name.startswith(COLUMN)
            },
            lengths={name: arrays[f"n_{name}"] for name in LENGTHS},
        )

    @staticmethod
    def concatenate(tables: Sequence[LogLikelihoods]) -> LogLikelihoods:
        """Join tables that have the same heads."""
        counts = np.concatenate([table.n_choices for table in tables])
        return LogLikelihoods(
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            heads={
                name: np.concatenate([table.heads[name] for table in tables])
                for name in tables[0].heads
            },
            lengths={
                name: np.concatenate([table.lengths[name] for table in tables])
                for name in tables[0].lengths
            },
        )


def choice_table(
    items: Sequence[Item], n_tokens: NDArray[np.int64], heads: Mapping[str, NDArray[np.float64]]
) -> LogLikelihoods:
    """Put the log-likelihoods of every choice of `items` into a table."""
    choices = [choice for item in items for choice in item.choices]
    return LogLikelihoods(
        offsets=np.concatenate([[0], np.cumsum([len(item.choices) for item in items])]),
        heads=dict(heads),
        lengths=lengths_of(choices, n_tokens),
    )
