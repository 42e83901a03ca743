"""Tensors of safetensors files, one file or several, read one at a time as float32."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError
from ...system.safetensors_file import FLOATS, as_float32, read_header

__all__ = ["SafetensorsFiles"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class _Entry:
    path: Path
    kind: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> NDArray[np.float32]:
        """Return the values, from the file itself where they need no change."""
        try:
            mapped = np.memmap(self.path, FLOATS[self.kind], "r", self.start, self.shape)
        except (OSError, ValueError) as error:
            raise ExportError(f"{self.path} cannot be read: {error}; download it again") from None
        return as_float32(np.asarray(mapped), self.kind)


class SafetensorsFiles(Mapping[str, tuple[int, ...]]):
    """The tensors of a checkpoint: names and shapes at once, values when they are read.

    Parameters
    ----------
    folder : Path
        With ``model.safetensors``, or with an index of several files.

    Raises
    ------
    ExportError
        If there are none, one is missing or damaged, or holds numbers that are not read.
    """

    def __init__(self, folder: Path) -> None:
        self.entries: dict[str, _Entry] = {}
        for path in _files(folder):
            self.entries |= _header(path)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self.entries[name].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor's values."""
        return self.entries[name].read()


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        try:
            names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        except (ValueError, KeyError, AttributeError) as error:
            raise ExportError(f"{folder / INDEX} cannot be read: {error}") from None
        return [folder / name for name in sorted(set(names))]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise ExportError(f"{folder} has no safetensors")


def _header(path: Path) -> dict[str, _Entry]:
    try:
        first, header = read_header(path)
    except FileNotFoundError:
        raise ExportError(f"{path} is missing, but the index names it") from None
    except (OSError, ValueError, MemoryError, OverflowError) as error:
        raise ExportError(f"{path} is no safetensors file: {error}") from None
    entries = {}
    for name, entry in header.items():
        if entry["dtype"] not in FLOATS:
            raise ExportError(
                f"{path.name} holds {name} as {entry['dtype']}; expected one of {', '.join(FLOATS)}"
            )
        start = first + entry["data_offsets"][0]
        entries[name] = _Entry(path, entry["dtype"], tuple(entry["shape"]), start)
    return entries
