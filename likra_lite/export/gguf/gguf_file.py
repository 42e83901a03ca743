"""GGUF files: metadata, and tensors as float32.

The header is parsed here, because a vocabulary of 50,000 tokens takes the ``gguf`` package
seconds and this module a fraction of one; the quantised numbers are left to the package.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError, first_line

__all__ = ["GgufFile", "StoredTensor"]

FloatArray = NDArray[np.float32]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
FLOAT32, STRING, ARRAY = 6, 8, 9
# Type number in the file to NumPy's little-endian one.
SCALARS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, and as what.

    Parameters
    ----------
    shape : tuple of int
        In NumPy's order: the file's, reversed.
    kind : int
        Number of the quantisation, as in ``gguf.GGMLQuantizationType``.
    offset : int
        Bytes from the beginning of the file.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass
class _Header:
    """A position in the file's bytes that moves on with every value read."""

    data: mmap.mmap
    position: int = 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def number(self, layout: str) -> int:
        return int(self.numbers(layout)[0])

    def string(self) -> str:
        length = self.number("Q")
        end = self.position + length
        if end > len(self.data):
            raise struct.error("a string beyond the end of the file")
        text = self.data[self.position : end]
        self.position = end
        return text.decode("utf-8", errors="replace")

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.data, dtype, count, self.position).copy()
        self.position += values.nbytes
        return values

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in SCALARS:
                return self.array(SCALARS[inner], count)
            return [self.value(inner) for _ in range(count)]
        if kind not in SCALARS:
            raise ValueError(f"a value of unknown type {kind}")
        number = self.array(SCALARS[kind], 1)[0]
        # Of a float32, the decimal number that was meant: 1e-05, not 9.999999747378752e-06.
        return float(str(number)) if kind == FLOAT32 else number.item()


@dataclass(frozen=True)
class GgufFile:
    """An open GGUF file. Tensors are read when they are asked for.

    Parameters
    ----------
    path : Path
    metadata : dict of str to object
        Numbers, strings, lists of strings and arrays of numbers.
    tensors : dict of str to StoredTensor
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]
    _data: mmap.mmap = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> GgufFile:
        """Read the header of a file.

        Raises
        ------
        ExportError
            If there is no such file, or it is no GGUF file, is cut short, one of several parts,
            or of a version or byte order that is not understood.
        """
        path = Path(path)
        try:
            with path.open("rb") as stream:
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # an empty file is a ValueError
            raise ExportError(f"cannot read {path}: {first_line(error)}") from error
        try:
            metadata, tensors = _read_header(data)
        except (struct.error, ValueError, OverflowError, MemoryError) as error:
            raise ExportError(f"{path} is no whole GGUF file: {first_line(error)}") from error
        parts = metadata.get("split.count", 1)
        if parts > 1:
            raise ExportError(
                f"{path} is one of {parts} parts of a model; join them first with "
                "llama.cpp's llama-gguf-split --merge"
            )
        return cls(path, metadata, tensors, data)

    def read(self, name: str) -> FloatArray:
        """Return a tensor as float32.

        Raises
        ------
        ExportError
            If its quantisation is unknown or the file ends before it does.
        """
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        try:
            kind = GGMLQuantizationType(tensor.kind)
        except ValueError as error:
            raise ExportError(
                f"{self.path}: {name} has quantisation {tensor.kind}, which is not known"
            ) from error
        block, block_bytes = GGML_QUANT_SIZES[kind]
        *outer, inner = tensor.shape
        row_bytes = inner // block * block_bytes
        count = int(np.prod(outer, dtype=np.int64)) * row_bytes
        if inner % block or tensor.offset + count > len(self._data):
            raise ExportError(f"{self.path} is no whole GGUF file: {name} is cut short")
        stored = np.frombuffer(self._data, np.uint8, count, tensor.offset)
        stored = stored.reshape(*outer, row_bytes)
        if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            return stored.view(f"<f{block_bytes}").astype(np.float32)
        try:
            return dequantize(stored, kind).astype(np.float32, copy=False)
        except NotImplementedError as error:
            raise ExportError(
                f"{self.path}: {name} has quantisation {kind.name}, which cannot be undone"
            ) from error


def _read_header(data: mmap.mmap) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Return metadata and tensors. Raises ValueError or struct.error if they make no sense."""
    if data[:4] != MAGIC:
        raise ValueError("it does not begin with the letters GGUF")
    header = _Header(data, len(MAGIC))
    version = header.number("I")
    if version not in VERSIONS:
        raise ValueError(
            "it is big-endian" if version > 0xFFFF else f"version {version} is not understood"
        )
    n_tensors, n_values = header.numbers("QQ")
    metadata = {}
    for _ in range(n_values):
        name = header.string()
        metadata[name] = header.value(header.number("I"))
    listed = []
    for _ in range(n_tensors):
        name = header.string()
        shape = header.numbers(f"{header.number('I')}Q")
        kind, offset = header.numbers("IQ")
        listed.append((name, tuple(reversed(shape)), kind, offset))
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    start = -(-header.position // alignment) * alignment
    tensors = {name: StoredTensor(shape, kind, start + at) for name, shape, kind, at in listed}
    return metadata, tensors
