"""The tensors of a GGUF file as a Hugging Face checkpoint has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from .architectures import GgufFamily
from .gguf_file import GgufFile

__all__ = ["GgufTensors"]

NO_WEIGHTS = re.compile(r"rope_(freqs|factors_short|factors_long)\.weight")
NEIGHBOURS = re.compile(r"blk\.\d+\.attn_[qk]\.(weight|bias)")


class GgufTensors(Mapping[str, tuple[int, ...]]):
    """Names of tensors, as Hugging Face has them, to their shapes.

    What is not known keeps the name that it has in the file.

    Parameters
    ----------
    file : GgufFile
    family : GgufFamily
    head_size : int
    """

    def __init__(self, file: GgufFile, family: GgufFamily, head_size: int) -> None:
        self.file, self.family, self.head_size = file, family, head_size
        self.names = {
            self._translate(name): name for name in file.tensors if not NO_WEIGHTS.fullmatch(name)
        }

    def _translate(self, name: str) -> str:
        place, _, kind = name.rpartition(".")
        layer = re.match(r"blk\.(\d+)\.", place)
        if layer is None:
            return f"{self.family.tensors.get(place, place)}.{kind}"
        general = f"blk.{{}}.{place[layer.end() :]}"
        known = self.family.tensors.get(general)
        return name if known is None else f"{known.format(layer[1])}.{kind}"

    def __getitem__(self, path: str) -> tuple[int, ...]:
        return self.file.tensors[self.names[path]].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, path: str) -> NDArray[np.float32]:
        """Return a tensor."""
        name = self.names[path]
        array = self.file.read(name)
        if self.family.norm_offset and name.endswith("norm.weight"):
            return array - np.float32(self.family.norm_offset)
        if self.family.neighbours and NEIGHBOURS.fullmatch(name):
            # Neighbours that turn against each other become the two halves of a head.
            pairs = array.reshape(-1, self.head_size // 2, 2, *array.shape[1:])
            return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(array.shape))
        return array
