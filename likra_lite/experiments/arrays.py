"""Files of log-likelihoods: a table as named arrays, and these in a file with its point."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_bytes
from ..errors import LikraError
from ..scoring.table import LogLikelihoods
from .points import Point

__all__ = ["Arrays", "columns_of", "read_arrays", "read_point", "table_of", "write_arrays"]

COLUMN = "log_likelihood."

Arrays = Mapping[str, NDArray[Any]]


def columns_of(table: LogLikelihoods, y: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return a table and its right choices, of shape (n_items,), as named arrays."""
    return {
        "offsets": table.offsets,
        "n_tokens": table.n_tokens,
        "n_chars": table.n_chars,
        "n_bytes": table.n_bytes,
        "y": y,
        **{COLUMN + head: column for head, column in table.heads.items()},
    }


def table_of(arrays: Arrays) -> LogLikelihoods:
    """Return the table among named arrays."""
    return LogLikelihoods(
        offsets=arrays["offsets"],
        heads={
            name.removeprefix(COLUMN): column
            for name, column in arrays.items()
            if name.startswith(COLUMN)
        },
        n_tokens=arrays["n_tokens"],
        n_chars=arrays["n_chars"],
        n_bytes=arrays["n_bytes"],
    )


def write_arrays(path: Path, arrays: Arrays, point: Point | None = None) -> None:
    """Write named arrays, of one fit or of all, whole or not at all."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    metadata = None if point is None else {"point": point.to_json()}
    write_bytes(path, save(tensors, metadata))


def _damaged(path: Path, error: Exception) -> LikraError:
    return LikraError(f"{path} cannot be read ({error}); delete it and measure again")


def read_arrays(path: Path) -> Arrays:
    """Read named arrays; a file that has not changed is read once.

    Raises
    ------
    LikraError
        If the file is damaged.
    """
    stat = path.stat()
    return _read_version(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_version(path: Path, size: int, modified: int) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


@lru_cache(maxsize=65536)
def read_point(path: Path) -> Point:
    """Read what a file of log-likelihoods was fitted on, without the log-likelihoods.

    Raises
    ------
    LikraError
        If the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return Point(**json.loads(tensors.metadata()["point"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
