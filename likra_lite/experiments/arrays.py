"""Files of named arrays, one for every fit, with the point that was fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..system.atomic import write_bytes
from .points import Point

__all__ = ["Arrays", "read_arrays", "read_point", "write_arrays"]

Arrays = Mapping[str, NDArray[Any]]


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
