"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ..errors import LikraError
from .scratch import ScratchFile

__all__ = ["atomic_bytes", "atomic_text", "check_file_target", "partial_path", "write_bytes"]


def check_file_target(path: str | os.PathLike[str]) -> None:
    """Raise LikraError if no file can be written at `path`; to be called before long work."""
    target = Path(path)
    if target.is_dir():
        raise LikraError(f"{path} is a folder; choose a file")
    parent = target.resolve().parent
    if not parent.is_dir():
        raise LikraError(f"cannot write {path}: its folder does not exist")
    # A regular file is replaced by one that is written beside it; a pipe is written to.
    special = target.exists() and not target.is_file()
    if not os.access(target if special else parent, os.W_OK):
        raise LikraError(f"cannot write {path}: Permission denied")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all; see :func:`atomic_text` for links and errors."""
    with atomic_bytes(path) as stream:
        stream.write(content)


@contextmanager
def atomic_bytes(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary stream that becomes the file `path`, as :func:`atomic_text` does."""
    with _atomic(path, "wb") as stream:
        yield stream


@contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Yield a text stream that becomes the file `path` if all goes well.

    An interrupt (Ctrl-C) keeps what was written so far as :func:`partial_path`; after an
    error nothing is left. A symbolic link is followed, and what is no regular file (a pipe,
    a device) is written to as it is.

    Raises
    ------
    LikraError
        If the file cannot be written.
    """
    with _atomic(path, "w", encoding="utf-8") as stream:
        yield stream


@contextmanager
def _atomic(path: str | os.PathLike[str], mode: str, **how: Any) -> Iterator[Any]:
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            with target.open(mode, **how) as stream:
                yield stream
            return
        with closing(ScratchFile(target)) as scratch:
            try:
                with open(scratch.descriptor, mode, closefd=False, **how) as stream:
                    yield stream
                scratch.become(target)
            except KeyboardInterrupt:
                scratch.become(partial_path(target))
                raise
    except OSError as error:
        raise LikraError(f"cannot write {path}: {error.strerror or error}") from error


def partial_path(path: str | os.PathLike[str]) -> Path:
    """Return where an interrupted :func:`atomic_text` leaves what was written."""
    target = Path(path).resolve()
    return target.with_name(f"{target.name}.partial")
