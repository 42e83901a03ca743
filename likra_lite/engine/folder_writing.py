"""Writing model folders: whole or not at all, and never over what is not a model folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import LikraError
from ..system.exchange import exchange
from ..system.scratch import scratch_folder
from .manifest import MANIFEST

__all__ = ["atomic_folder", "check_folder_target", "copy_file"]

ASIDE = ".{name}.likra-lite-replaced"  # where a folder waits while another takes its place


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, by sharing its blocks where the file system does that (Btrfs, XFS, ...).

    A hard link would take no room anywhere, but whoever then wrote into one of the two folders
    would change both.
    """
    with source.open("rb") as old, target.open("xb") as new:
        copy = getattr(os, "copy_file_range", None)
        left = os.fstat(old.fileno()).st_size
        with suppress(OSError):  # between some file systems it does not work
            while copy is not None and left > 0:
                done = copy(old.fileno(), new.fileno(), left)
                if done == 0:
                    break
                left -= done
        if left > 0:
            old.seek(0)
            new.seek(0)
            shutil.copyfileobj(old, new, 2**20)


def check_folder_target(path: str | os.PathLike[str]) -> None:
    """Raise LikraError if `path` holds anything that is not a model folder's.

    To be called before long work whose result goes there.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise LikraError(f"{target} exists and is not a model folder; choose another --out")
    there = next((parent for parent in target.resolve().parents if parent.exists()), target)
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "Permission denied" if there.is_dir() else f"{there} is a file"
        raise LikraError(f"cannot write {path}: {reason}")
    if not target.exists():
        return
    known, found = _known_and_found(target)
    if known is None and found:
        raise LikraError(f"{target} exists and is not a model folder; choose another --out")
    if known is not None and found - known:
        raise LikraError(
            f"{target} holds {min(found - known)}, which is no part of a model folder; move it, "
            "or choose another --out"
        )


def _known_and_found(target: Path) -> tuple[set[str] | None, set[str]]:
    """Return what a folder should hold, None if it is no model folder, and what it holds."""
    while True:
        content = _manifest_bytes(target)
        with suppress(FileNotFoundError):  # another process replaces the folder
            found = {entry.relative_to(target).as_posix() for entry in target.rglob("*")}
            if content == _manifest_bytes(target):
                break
    try:
        known = {MANIFEST, *json.loads(content.decode("utf-8"))["files"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, found
    return known | {parent.as_posix() for name in known for parent in Path(name).parents}, found


def _manifest_bytes(target: Path) -> bytes:
    try:
        return (target / MANIFEST).read_bytes()
    except OSError:
        return b""


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a scratch folder that becomes `path` if all goes well, and vanishes if not.

    Parameters
    ----------
    path : path
        A new folder, or a model folder to be replaced: at once, where the operating system and
        the file system can exchange two folders. Elsewhere there is a moment in which neither
        is at `path`.

    Yields
    ------
    Path
        The scratch folder, beside `path`.

    Raises
    ------
    LikraError
        If `path` exists and is no model folder, or cannot be written.
    """
    check_folder_target(path)
    target = Path(path).resolve()
    aside = target.with_name(ASIDE.format(name=target.name))
    try:
        _settle(target, aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target) as scratch:
            yield scratch
            _take_place(scratch, target, aside)
    except OSError as error:
        raise LikraError(f"cannot write {path}: {error.strerror or error}") from error


def _take_place(folder: Path, target: Path, aside: Path) -> None:
    if exchange(folder, target):
        return
    try:
        _replace(folder, target, aside)
    except OSError:  # another process has just put a folder there
        if not exchange(folder, target):
            raise


def _replace(folder: Path, target: Path, aside: Path) -> None:
    """Rename a folder, over another one if there is one."""
    if target.exists():
        target.rename(aside)
    try:
        folder.rename(target)
    finally:
        _settle(target, aside)


def _settle(target: Path, aside: Path) -> None:
    """Put a folder that waits aside back if nothing has taken its place, or else remove it."""
    if aside.exists():
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)
