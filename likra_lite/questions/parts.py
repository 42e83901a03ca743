"""Items in parts: a folder of files, or all files whose names fit a pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from ..errors import ItemError, LikraError
from .formats import KNOWN
from .streams import STANDARD_INPUT

__all__ = ["parts_of", "targets_of"]

GZIP = ".gz"


def parts_of(path: str | os.PathLike[str]) -> list[Path] | None:
    """Return the files that are the parts of a folder or of a pattern; None if it is a file.

    Parameters
    ----------
    path : path
        A folder is searched with all folders in it. Names that begin with a dot or an underscore
        are not items, as elsewhere in data lakes.

    Raises
    ------
    ItemError
        If there are none.
    """
    text = os.fspath(path)
    if os.path.isdir(text):
        found = [each for each in Path(text).rglob("*") if not _is_hidden(each.relative_to(text))]
    elif text != STANDARD_INPUT and has_magic(text) and not os.path.lexists(text):
        found = [Path(each) for each in glob(text, recursive=True)]
    else:
        return None
    parts = sorted(each for each in found if _ending(each) in KNOWN and each.is_file())
    if not parts:
        raise ItemError(f"{text}: has no files of items, which end in {', '.join(KNOWN)}")
    return parts


def targets_of(
    parts: Sequence[Path], folder: Path, form: str | None, forms: Sequence[str]
) -> list[Path]:
    """Return the file that belongs to each part, in a folder of the same shape.

    Parameters
    ----------
    parts : sequence of Path
    folder : Path
    form : str or None
        Ending of the files; that of the part, if it is one of `forms`, or else the first of them.
    forms : sequence of str

    Raises
    ------
    LikraError
        If two parts would have the same file, or a part is one.
    """
    root = Path(os.path.commonpath([part.parent for part in parts]))
    taken = {part.resolve(): part for part in parts}
    targets = []
    for part in parts:
        name = part.relative_to(root)
        name = name.with_suffix("") if name.suffix.lower() == GZIP else name
        own = name.suffix.lower().removeprefix(".")
        target = folder / name.with_suffix(f".{form or (own if own in forms else forms[0])}")
        other = taken.setdefault(target.resolve(), part)
        if other is not part or target.resolve() == part.resolve():
            raise LikraError(f"{target}: {part} and {other} meet there; choose another folder")
        targets.append(target)
    return targets


def _is_hidden(path: Path) -> bool:
    return any(name.startswith((".", "_")) for name in path.parts)


def _ending(path: Path) -> str:
    path = path.with_suffix("") if path.suffix.lower() == GZIP else path
    return path.suffix.lower()
