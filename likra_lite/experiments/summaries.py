"""Rows of results as means over seeds, and as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import LikraError
from ..system.atomic import atomic_text
from .tidy import Row

__all__ = ["summarize_rows", "write_csv"]

# What differs between the seeds of one setting.
_MEASURED = (
    "seed", "alpha", "accuracy", "standard_error",
    "plus_right", "plus_wrong", "minus_right", "minus_wrong",
)  # fmt: skip


def summarize_rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return means over seeds of :func:`observations`.

    Returns
    -------
    list of dict
        A row for every setting, with the keys of the settings, ``alpha`` (mean), ``n_seeds``,
        ``accuracy`` (mean), ``deviation`` (standard deviation between seeds, None for one)
        and ``standard_error`` (root mean square over seeds: of testing once).
    """
    grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    settings: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        setting = {name: value for name, value in row.items() if name not in _MEASURED}
        given = None if row["alpha_auto"] else row["alpha"]
        key = (*setting.values(), given)
        grouped.setdefault(key, []).append(row)
        settings[key] = setting
    found = []
    for key, group in grouped.items():
        shares = [row["accuracy"] for row in group]
        alphas = [row["alpha"] for row in group if row["alpha"] is not None]
        errors = [row["standard_error"] for row in group]
        found.append(
            {
                **settings[key],
                "alpha": float(np.mean(alphas)) if alphas else None,
                "n_seeds": len(group),
                "accuracy": float(np.mean(shares)),
                "deviation": float(np.std(shares, ddof=1)) if len(shares) > 1 else None,
                "standard_error": float(np.sqrt(np.mean(np.square(errors)))),
            }
        )
    return found


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a CSV file, whole or not at all; None becomes an empty cell.

    Raises
    ------
    LikraError
        If there are no rows, or the file cannot be written.
    """
    if not rows:
        raise LikraError(f"there are no results to write to {path}")
    with atomic_text(path) as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
