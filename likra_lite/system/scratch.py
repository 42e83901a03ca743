"""Files and folders that live as long as the process that made them.

Each is locked (``flock``) by its maker. The lock ends with the process, however it ends, so that
whoever makes the next one in the same folder can tell what a dead process has left, and removes
it. Names are random and made with ``O_EXCL``: nothing that exists is opened or followed, and
equal process numbers, as in containers, do not meet.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing of others is removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["ScratchFile", "scratch_folder", "temporary_folder"]

PREFIX = "likra-lite-"
BESIDE = re.compile(rf"\..*\.{PREFIX}[0-9a-f]{{16}}", re.DOTALL)
IN_TEMPORARY = re.compile(rf"{PREFIX}[0-9a-f]{{16}}")
NAME_LENGTH = 180  # bytes of a target's name that the name of its scratch repeats


class ScratchFile:
    """A new file beside another one, open for writing.

    Parameters
    ----------
    target : Path
        What it may become.

    Attributes
    ----------
    path : Path
    descriptor : int
        Open until :meth:`close`.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, target: Path) -> None:
        _remove_abandoned(target.parent, BESIDE)
        while True:
            self.path = target.with_name(_beside(target))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            self.descriptor = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o666)
            if _lock(self.descriptor, self.path):
                return
            os.close(self.descriptor)

    def become(self, target: Path) -> None:
        """Take a place, and that of a file that is there; to be called last."""
        if fcntl is None:  # Windows renames no open file
            self._close()
        self.path.replace(target)

    def close(self) -> None:
        """Unlock the file, and remove it if it has not become anything."""
        self._close()
        with suppress(OSError):
            self.path.unlink()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, which is removed at the end if it is still there.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with _locked_folder(target.parent, _beside(target), BESIDE) as folder:
        yield folder


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder where temporary files go (``TMPDIR``), which is removed at the end."""
    name = PREFIX + secrets.token_hex(8)
    with _locked_folder(Path(tempfile.gettempdir()), name, IN_TEMPORARY, 0o700) as folder:
        yield folder


@contextmanager
def _locked_folder(
    parent: Path, name: str, pattern: re.Pattern[str], mode: int = 0o777
) -> Iterator[Path]:
    _remove_abandoned(parent, pattern)
    path = parent / name
    descriptor = _made_and_locked(path, mode)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _made_and_locked(path: Path, mode: int) -> int | None:
    """Make a folder and lock it; return what the lock ends with."""
    while True:
        path.mkdir(mode)
        if fcntl is None:
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # taken for abandoned before it was locked
            continue
        if _lock(descriptor, path):
            return descriptor
        os.close(descriptor)


def _beside(target: Path) -> str:
    """Return a hidden name that tells whose scratch it is."""
    shown = os.fsdecode(os.fsencode(target.name)[:NAME_LENGTH])
    return f".{shown}.{PREFIX}{secrets.token_hex(8)}"


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file or folder; return whether it is still at `path`."""
    if fcntl is None:
        return True
    with suppress(OSError):  # where the file system knows no locks, nobody removes anything
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: Path, pattern: re.Pattern[str]) -> None:
    """Remove what processes of this user left in a folder when they were killed."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(path: Path) -> None:
    status = path.lstat()
    is_folder = stat.S_ISDIR(status.st_mode)
    if status.st_uid != os.geteuid() or not (is_folder or stat.S_ISREG(status.st_mode)):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
