"""What stands in a safetensors file, where the library itself knows too few number formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOATS", "as_float32", "read_header"]

HEADER_LENGTH = 8  # bytes

# How NumPy reads the formats of floating-point numbers; bfloat16 is the upper half of a float32.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Return where the tensors of a file begin, and what it says of each.

    Raises
    ------
    OSError, ValueError, MemoryError, OverflowError
        If it cannot be read, or is none.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(HEADER_LENGTH), "little")
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return HEADER_LENGTH + length, header


def as_float32(values: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """Return values that were read as :data:`FLOATS` has it, without a copy where that can be."""
    if kind == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)
