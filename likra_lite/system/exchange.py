"""Exchanging the names of two files or folders at once."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

__all__ = ["exchange"]

AT_FDCWD = -100  # relative paths are relative to the working directory
SWAP = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


def exchange(one: Path, other: Path) -> bool:
    """Let two paths, both of which exist, change places; return whether that was possible.

    Nothing is changed where it was not: Linux and macOS can do it, on most file systems.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            status = library.renamex_np(first, second, SWAP)
        else:
            status = library.renameat2(AT_FDCWD, first, AT_FDCWD, second, SWAP)
    except (AttributeError, OSError, TypeError):
        return False
    return bool(status == 0)
