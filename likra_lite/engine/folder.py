"""Model folders on disk: files that are what their manifest says. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from ..errors import ModelFolderError
from .manifest import FORMAT_VERSION, MANIFEST, WEIGHTS, Manifest, parse_manifest, unreadable

__all__ = ["check_weights", "read_manifest", "unchanged", "write_manifest"]

LARGEST_MANIFEST = 2**24  # bytes; one that lists ten thousand files is a tenth of it


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of(path: Path) -> str:
    """Return a file's checksum, computed again only if the file is another or has changed."""
    status = path.stat()
    size, modified, inode = status.st_size, status.st_mtime_ns, status.st_ino
    return _cached_digest(str(path.resolve()), size, modified, inode)


@lru_cache(maxsize=256)
def _cached_digest(path: str, size: int, modified: int, inode: int) -> str:
    return _digest(Path(path))


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write ``likra.json`` with the checksums of everything else in `folder`.

    Parameters
    ----------
    folder : Path
        A complete model folder, but for the manifest.
    manifest : Manifest
        Its `files` are replaced.

    Returns
    -------
    Manifest
        With the checksums.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            name = path.relative_to(folder).as_posix()
            files[name] = {"sha256": _digest_of(path), "bytes": path.stat().st_size}
    content = {"format_version": FORMAT_VERSION, **asdict(manifest), "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Manifest(**{**asdict(manifest), "files": files})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read and check the manifest of a model folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Manifest

    Raises
    ------
    ModelFolderError
        If the folder is not a model folder, was written by another version, or a file is
        missing, lies outside, is no regular file, is of another size or differs from its
        checksum. The checksum of the weights file, which takes long, is left to
        :func:`check_weights`.
    """
    root = Path(folder)
    text: bytes | None = None
    while (now := _manifest_text(root)) != text:  # or else it has been replaced meanwhile
        text = now
        manifest = parse_manifest(root / MANIFEST, text)
        problem = _first_problem(root, manifest)
    if problem is not None:
        raise problem
    return manifest


def _first_problem(root: Path, manifest: Manifest) -> ModelFolderError | None:
    try:
        for name in manifest.files:
            _check_file(root, manifest, name, whole=name != WEIGHTS)
    except ModelFolderError as error:
        return error
    return None


def _manifest_text(root: Path) -> bytes:
    path = root / MANIFEST
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        named = len(root.parts) == 2 and not root.is_absolute() and not root.parent.exists()
        hint = (
            f"if it is a model on the hub, turn it into one: likra-lite export {root} --out DIR"
            if named
            else "make one with likra-lite export, or fit"
        )
        raise ModelFolderError(f"model folder {root} {kind}; {hint}")
    if not path.is_file():
        hint = (
            "it looks like a Hugging Face checkpoint, turn it into a model folder with: "
            f"likra-lite export {root} --out DIR"
            if (root / "config.json").is_file()
            else "expected a folder written by likra-lite export or fit"
        )
        raise ModelFolderError(f"{root} has no {MANIFEST}: {hint}")
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ModelFolderError(f"{path} is too large for a manifest; export the model again")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def check_weights(folder: Path, manifest: Manifest) -> None:
    """Raise ModelFolderError unless the weights file is what its checksum says."""
    _check_file(folder, manifest, WEIGHTS, whole=True)


@contextmanager
def unchanged(folder: Path, manifest: Manifest, *names: str) -> Iterator[None]:
    """Make sure that what is read of a folder meanwhile is what its manifest has promised.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        As it was read when the folder was opened.
    *names : str
        Files that are going to be read.

    Raises
    ------
    ModelFolderError
        If a file is not listed or not the one that was listed, before or afterwards.
    """
    _check_whole(folder, manifest, names)
    yield
    _check_whole(folder, manifest, names)


def _check_whole(folder: Path, manifest: Manifest, names: tuple[str, ...]) -> None:
    try:
        for name in names:
            _check_file(folder, manifest, name, whole=True)
    except ModelFolderError:
        if _is_replaced(folder, manifest):
            raise ModelFolderError(
                f"{folder} has been replaced by another model; open it again"
            ) from None
        raise


def _is_replaced(folder: Path, manifest: Manifest) -> bool:
    try:
        return read_manifest(folder).files != manifest.files
    except ModelFolderError:
        return False


def _check_file(folder: Path, manifest: Manifest, name: str, whole: bool) -> None:
    path, expected = folder / name, manifest.files.get(name)
    if expected is None:
        raise ModelFolderError(
            f"{folder / MANIFEST} does not list {name}: what it does not list is not used; write "
            "the folder again"
        )
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            problem = "is no regular file"
        elif status.st_size != expected["bytes"]:
            problem = f"has {status.st_size} bytes, expected {expected['bytes']}"
        elif whole and _digest_of(path) != expected["sha256"]:
            problem = "differs from its checksum"
        else:
            return
    except FileNotFoundError:
        problem = "is missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    raise ModelFolderError(f"{path} {problem}; the model folder is damaged, write it again")
