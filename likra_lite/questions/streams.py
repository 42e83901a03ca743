"""The bytes and lines of a file, or of standard input, as often as they are wanted."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from io import TextIOWrapper
from typing import IO, Any

from ..errors import ItemError, LikraError, printable
from ..validation import as_path

__all__ = ["STANDARD_INPUT", "LineError", "Source", "check_encoding", "encoding_of"]

STANDARD_INPUT = "-"
GZIP = b"\x1f\x8b"
SPOOLED = 2**24  # bytes of standard input that stay in memory
LONGEST_NAME = 100
BLOCK = 2**20

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What Windows-1252 has and a text may: no letter stands at these places.
_NO_LETTER = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF])


class LineError(ItemError):
    """What is wrong with a line, or a row, of a file, or with all of it."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line


class Source:
    """A file, compressed or not, a pipe, or standard input.

    What can be read only once is copied to a temporary file.

    Parameters
    ----------
    path : path
        ``-`` is standard input.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path("path", path)
        self.is_standard_input = str(path) == STANDARD_INPUT
        self._copy: IO[bytes] | None = None

    @cached_property
    def place(self) -> str:
        """The path for messages; of a long one, the end."""
        text = "standard input" if self.is_standard_input else printable(str(self.path))
        return text if len(text) <= LONGEST_NAME else "..." + text[3 - LONGEST_NAME :]

    @cached_property
    def name(self) -> str:
        """The name of the file alone, for messages."""
        if self.is_standard_input:
            return self.place
        return printable(self.path.name, LONGEST_NAME)

    @property
    def suffix(self) -> str:
        """The ending of the name in small letters, without that of a compression."""
        if self.is_standard_input:
            return ""
        path = self.path.with_suffix("") if self.path.suffix.lower() == ".gz" else self.path
        return path.suffix.lower()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the bytes, from the first one, decompressed.

        Raises
        ------
        ItemError
            If they cannot be read.
        """
        try:
            with self._raw() as raw:
                start = raw.read(len(GZIP))
                raw.seek(0)
                if start == GZIP:
                    with gzip.open(raw) as unpacked:
                        yield unpacked  # type: ignore[misc]  # a GzipFile reads bytes
                else:
                    yield raw
        except OSError as error:
            reason = error.strerror or str(error)
            raise ItemError(f"{self.place}: cannot be read: {printable(reason, 100)}") from None
        except EOFError:
            raise ItemError(f"{self.place}: cannot be read: the compressed file is cut") from None

    @contextmanager
    def _raw(self) -> Iterator[IO[bytes]]:
        if self._copy is None and not self.is_standard_input:
            with self.path.open("rb") as stream:
                if stream.seekable():
                    yield stream
                    return
                self._spool(stream)
        elif self._copy is None:
            self._spool(sys.stdin.buffer)
        copy = self._copy
        assert copy is not None
        copy.seek(0)
        yield copy

    def _spool(self, stream: IO[bytes]) -> None:
        copy = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115  # open as long as the source
        weakref.finalize(self, copy.close)
        shutil.copyfileobj(stream, copy)
        self._copy = copy

    def checksum(self) -> str:
        """Return a checksum of the bytes, decompressed."""
        digest = hashlib.sha256()
        with self.open() as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def head(self, size: int = 2**16) -> bytes:
        """Return the first bytes."""
        with self.open() as stream:
            return stream.read(size)

    def lines(self, encoding: str) -> Generator[tuple[int, str], None, None]:
        """Yield the lines, counted from 1, with their ends.

        Raises
        ------
        LineError
            If a byte is none of the encoding.
        """
        number = 0
        with self.open() as raw:
            # Bytes that are no UTF-8 become surrogates, so that their line is known.
            stream = TextIOWrapper(raw, encoding, errors="surrogateescape", newline="")
            try:
                for number, line in enumerate(stream, start=1):
                    if not line.isascii():
                        _check(line, number, encoding)
                    yield number, line
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                raise _not_encoded(number + 1, byte, encoding) from None
            finally:
                stream.detach()

    def text(self, encoding: str) -> str:
        """Return all lines at once."""
        return "".join(line for _, line in self.lines(encoding))


def _check(line: str, number: int, encoding: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise _not_encoded(number, ord(line[error.start]) - 0xDC00, encoding) from None


def _not_encoded(line: int, byte: int, encoding: str) -> LineError:
    name = encoding.upper().removesuffix("-SIG")
    return LineError(
        line, f"byte {byte:#04x} is not {name}; save the file as UTF-8, or pass --encoding"
    )


def check_encoding(encoding: str | None) -> None:
    """Raise LikraError unless `encoding` is None or one that Python knows."""
    try:
        known = encoding is None or bool(codecs.lookup(encoding))
    except (LookupError, TypeError, ValueError):
        known = False
    if not known:
        raise LikraError(f"got encoding={encoding!r}; expected one such as utf-8 or cp1252")


def encoding_of(source: Source, is_table: bool) -> str:
    """Return the encoding of a text file.

    A byte order mark tells it, or the zeros of UTF-16. Other files are UTF-8, but tables, which
    spreadsheets also write in Windows-1252: those with letters of it and nothing of UTF-8.
    """
    head = source.head()
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if head.count(0) > len(head) // 4:
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    return "cp1252" if is_table and _is_windows(source) else "utf-8"


def _is_windows(source: Source) -> bool:
    """Return whether most of what is not ASCII is a letter of Windows-1252, and not of UTF-8.

    A few pairs of letters in Windows-1252 happen to be a letter in UTF-8.
    """
    decoder: Any = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    n_utf_8 = n_windows = 0
    with source.open() as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            text = decoder.decode(block)
            strange = [] if text.isascii() else [c for c in text if not c.isascii()]
            escaped = [ord(c) - 0xDC00 for c in strange if "\udc80" <= c <= "\udcff"]
            if any(byte in _NO_LETTER for byte in escaped):
                return False
            n_utf_8 += len(strange) - len(escaped)
            n_windows += len(escaped)
    return n_windows > n_utf_8
