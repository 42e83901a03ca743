"""Data frames of items to data frames of scores, for engines that map over partitions."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .datasets.demo import bundled_model
from .engine.manifest import MANIFEST
from .errors import ItemError
from .heads.opened import Opened, open_folder
from .questions.inputs import as_items
from .scoring.rows import row_types, rows_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["score_frame"]

DTYPES = {str: "string", int: "Int64", bool: "boolean"}  # which know missing values


def score_frame(
    frame: DataFrame,
    model: str | os.PathLike[str] | None = None,
    *,
    answers: str | None = None,
    n_threads: int = 1,
    cache: bool = False,
) -> DataFrame:
    """Score the items of a data frame, in one process.

    What Dask's ``map_partitions``, Ray Data's ``map_batches`` and Spark's ``mapInPandas`` take. The
    model is opened once per process, and its weights stay there between calls; threads share it.

    Parameters
    ----------
    frame : DataFrame
        Of pandas, with an item in each row, in any of the layouts that files may have. An empty
        one gives an empty one of the same types, which is what Dask wants to know.
    model : path, optional
        Model folder that the process sees, with heads or without; the bundled one by default.
    answers : {"letter", "text", "index", "index-from-1", "label"}, optional
        How answers are written, as far as there are any. [default: what fits all of the frame]
        Give it for data in parts, as one part may leave open what another one settles.
    n_threads : int, default=1
        Threads of one forward pass: these engines run a task on each core.
    cache : bool, default=False
        Keep log-likelihoods on this machine's disk, and take them from there.

    Returns
    -------
    DataFrame
        With the index of `frame` and what ``likra-lite score`` writes: ``id`` (that of the
        index where an item has none), ``prediction``, ``letter``, ``text``, ``right``, ``error``,
        and lists of numbers, ``scores``, ``probabilities`` and ``log_likelihoods.HEAD`` for each
        head. Items that the model cannot read have an error and no prediction.

    Raises
    ------
    ItemError
        If an item is malformed, or a row holds several.
    ModelFolderError
        If there is no such model folder.
    """
    import pandas as pd

    opened = _opened(bundled_model() if model is None else Path(model), n_threads, cache)
    scorer, decision, _, _ = opened
    rows: list[dict[str, Any]] = []
    if len(frame):
        items = as_items(frame, answers)
        if len(items) != len(frame):
            raise ItemError(
                f"{len(frame)} rows hold {len(items)} items; give each a row of its own"
            )
        for chunk in scorer.stream(items, decision.heads, strict=False):
            rows += rows_of(chunk, len(rows), decision, {})
        for row, item, label in zip(rows, items, frame.index, strict=True):
            row["id"] = str(label) if item.id is None else item.id
    columns: dict[str, Series[Any]] = {}
    for name, kind in row_types(decision, {}).items():
        inner = kind if isinstance(kind, dict) else {"": kind}
        for head, of in inner.items():
            values = [_value(row, name, head) for row in rows]
            dtype = "object" if isinstance(of, list) else DTYPES[of]
            columns[f"{name}.{head}" if head else name] = pd.Series(values, frame.index, dtype)
    return pd.DataFrame(columns, frame.index)


def _value(row: dict[str, Any], name: str, head: str) -> Any:
    found = row.get(name)
    return found if found is None or not head else found[head]


def _opened(folder: Path, n_threads: int, cache: bool) -> Opened:
    manifest = folder / MANIFEST
    changed = manifest.stat().st_mtime_ns if manifest.is_file() else 0
    return _open(folder.resolve(), changed, n_threads, cache)


@lru_cache(maxsize=4)
def _open(folder: Path, changed: int, n_threads: int, cache: bool) -> Opened:
    """Open a folder again only if it has changed."""
    return open_folder(folder, n_threads, cache)
