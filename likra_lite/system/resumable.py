"""Files that are written bit by bit, and go on where a killed process has stopped.

While ``scores.jsonl`` is written, ``scores.jsonl.partial`` holds what there is of it, and
``scores.jsonl.resume`` tells what it is of, and how far it is good: a line for each bit, with the
checksum of all before. At the end the one takes its name and the other goes.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from ..errors import LikraError
from .atomic import partial_path

try:
    import fcntl
except ImportError:  # Windows: two runs that write one file are not told from each other
    fcntl = None  # type: ignore[assignment]

__all__ = ["ResumableFile", "resume_path"]

BLOCK = 2**20


def resume_path(path: str | os.PathLike[str]) -> Path:
    """Return where a :class:`ResumableFile` notes how far it is."""
    target = Path(path).resolve()
    return target.with_name(f"{target.name}.resume")


class ResumableFile:
    """A file that takes up what an earlier run has left, if it is of the same making.

    It is a context: left without an error the file takes its name. After one, what was noted stays
    for the next run; nothing stays if nothing was.

    Parameters
    ----------
    path : path
        A symbolic link is followed.
    identity : str
        A checksum of all that the content depends on.

    Attributes
    ----------
    stream : IO[bytes]
        To write to.
    state : dict or None
        As the earlier run noted it behind what is taken up; None at the beginning.

    Raises
    ------
    LikraError
        If the file cannot be written, or another process is writing it.
    """

    def __init__(self, path: str | os.PathLike[str], identity: str) -> None:
        self.target = Path(path).resolve()
        self.identity = identity
        self.state: dict[str, Any] | None = None
        self._noted = False

    def __enter__(self) -> Self:
        try:
            self._notes = resume_path(self.target).open("a+b")
            self._lock()
            self._file = partial_path(self.target).open("a+b")
            size, checksum = self._take_up()
        except OSError as error:
            raise self._unwritable(error) from error
        self._checked = _Checked(self._file, size, checksum)
        self.stream: Any = self._checked
        return self

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._notes, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._notes.close()
            raise LikraError(f"{self.target} is being written by another process") from None
        except OSError:  # a file system without locks
            pass

    def _take_up(self) -> tuple[int, int]:
        """Cut both files behind the last good note; return size and checksum of what is left."""
        self._notes.seek(0)
        good = self._notes.tell()
        size = checksum = 0
        lines = iter(self._notes.readline, b"")
        header = _parsed(next(lines, b""))
        if header == {"identity": self.identity}:
            good = self._notes.tell()
            for line in lines:
                note = _parsed(line)
                if note is None or self._checksum(size, checksum, note["bytes"]) != note["crc32"]:
                    break
                size, checksum, self.state = note["bytes"], note["crc32"], note["state"]
                good += len(line)
                self._noted = True
        self._notes.truncate(good)
        self._notes.seek(good)
        if not good:
            self._append({"identity": self.identity})
        self._file.truncate(size)
        self._file.seek(size)
        return size, checksum

    def _checksum(self, start: int, checksum: int, stop: int) -> int | None:
        """Return the checksum of the first `stop` bytes, given that of the first `start`."""
        self._file.seek(start)
        while start < stop:
            block = self._file.read(min(BLOCK, stop - start))
            if not block:
                return None
            checksum = zlib.crc32(block, checksum)
            start += len(block)
        return checksum

    def note(self, state: dict[str, Any]) -> None:
        """Keep what was written so far, and what is to be known to go on behind it."""
        self._file.flush()
        self._append({"bytes": self._checked.size, "crc32": self._checked.checksum, "state": state})
        self._noted = True

    def _append(self, content: dict[str, Any]) -> None:
        self._notes.write(json.dumps(content).encode() + b"\n")
        self._notes.flush()

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> None:
        """Give the file its name, or keep what was noted."""
        failure = error
        try:
            self._file.close()
        except OSError as problem:
            failure = failure or problem
        if fcntl is None:  # Windows removes no open file
            self._notes.close()
        try:
            if failure is None:
                partial_path(self.target).replace(self.target)
            elif not self._noted:
                partial_path(self.target).unlink(missing_ok=True)
            if failure is None or not self._noted:
                resume_path(self.target).unlink(missing_ok=True)
        except OSError as problem:
            failure = failure or problem
        with suppress(OSError):
            self._notes.close()
        if isinstance(failure, OSError):
            raise self._unwritable(failure) from failure

    def _unwritable(self, error: OSError) -> LikraError:
        return LikraError(f"cannot write {self.target}: {error.strerror or error}")


class _Checked(io.RawIOBase):
    """Writes to a file, and keeps its size and checksum."""

    def __init__(self, file: IO[bytes], size: int, checksum: int) -> None:
        self.file, self.size, self.checksum = file, size, checksum

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Write bytes."""
        self.file.write(content)
        self.size += len(content)
        self.checksum = zlib.crc32(content, self.checksum)
        return len(content)


def _parsed(line: bytes) -> Any:
    """Return what a line says; None if it is cut or no JSON."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
