"""A cache on disk, of log-likelihoods and of the hidden states that heads are fitted on.

One SQLite file holds arrays by the hash of everything that they depend on, so that nothing
in it ever becomes wrong: a changed model, head, prompt or item has another key. Every array has
a checksum; a damaged one counts as missing. Several processes may use it at once. Where it
cannot be used, work goes on without it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import CacheWarning, LikraError

__all__ = ["Cache", "cache_key", "default_cache"]

VARIABLE = "LIKRA_LITE_CACHE"  # a folder, or "off"
FILE = "cache.sqlite"
MAX_BYTES = 2 * 2**30  # of values; what was not used for longest goes first
SLACK = 0.9  # share of MAX_BYTES that is kept then
PATIENCE = 30.0  # seconds to wait for another process that writes
KEYS_PER_QUERY = 500  # SQLite limits the parameters of a query
CHECKSUM = 8  # bytes before every value
REFRESH = 24 * 3600.0  # seconds after which reading an entry counts as new use

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, used REAL NOT NULL
)
"""

Result = TypeVar("Result")


def cache_key(*parts: bytes | str) -> bytes:
    """Return a hash of some parts, in order; no two sequences of parts share one."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()


def default_cache() -> Cache | None:
    """Return the user's cache, or None if it is switched off.

    The environment variable ``LIKRA_LITE_CACHE`` names another folder, or is ``off``.
    """
    given = os.environ.get(VARIABLE, "")
    if _is_off():
        return None
    if given:
        return Cache(Path(given))
    from platformdirs import user_cache_path

    return Cache(user_cache_path("likra-lite", appauthor=False))


def _is_off() -> bool:
    return os.environ.get(VARIABLE, "").lower() == "off"


@dataclass(frozen=True)
class Cache:
    """Arrays of bytes by key, in a folder.

    The object holds no connection: it pickles, and threads and forked processes may share it.
    Where the cache is switched off, a pickled one comes back as None.

    Parameters
    ----------
    folder : Path
        Made when something is stored.
    max_bytes : int
        Size of the values, above which the least recently used ones are dropped.
    """

    folder: Path
    max_bytes: int = MAX_BYTES

    def __reduce__(self) -> Any:
        return _unpickled, (self.folder, self.max_bytes)

    @property
    def path(self) -> Path:
        """The database file."""
        return self.folder / FILE

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that are there, and are what was stored.

        Warns
        -----
        CacheWarning
            If there are others.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted or not self.path.is_file():
            return {}

        def work(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            stale: list[tuple[float, bytes]] = []
            now = time.time()
            for start in range(0, len(wanted), KEYS_PER_QUERY):
                some = wanted[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value, used FROM entries WHERE key IN ({marks})"
                for key, value, used in connection.execute(query, some):
                    found[key] = value
                    if not isinstance(used, float) or now - used > REFRESH:
                        stale.append((now, key))
            if stale:
                connection.executemany("UPDATE entries SET used = ? WHERE key = ?", stale)
            return found

        nothing: dict[bytes, bytes] = {}
        stored = self._attempt(work, nothing)
        values = {
            key: content[CHECKSUM:]
            for key, content in stored.items()
            if isinstance(content, bytes) and content == _sealed(key, content[CHECKSUM:])
        }
        if len(values) < len(stored):
            warnings.warn(
                f"the cache {self.path} holds damaged entries; they are computed again",
                CacheWarning,
                stacklevel=2,
            )
        return values

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store values, and drop old ones if they are too many."""
        if not entries:
            return
        now = time.time()
        rows = [(key, _sealed(key, value), now) for key, value in entries.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
            self._evict(connection)

        self._attempt(work, None)

    def _evict(self, connection: sqlite3.Connection) -> None:
        pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        excess = (pages - free) * size - self.max_bytes
        if excess <= 0:
            return
        excess += int(self.max_bytes * (1 - SLACK))
        oldest = []
        for key, length in connection.execute(
            "SELECT key, length(value) FROM entries ORDER BY used"
        ):
            oldest.append((key,))
            excess -= length
            if excess <= 0:
                break
        connection.executemany("DELETE FROM entries WHERE key = ?", oldest)

    def usage(self) -> tuple[int, int]:
        """Return the number of entries and the size of the file in bytes."""
        if not self.path.is_file():
            return 0, 0

        def work(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

        return self._attempt(work, 0), self.path.stat().st_size

    def clear(self) -> None:
        """Delete the file.

        Raises
        ------
        LikraError
            If it cannot be deleted.
        """
        try:
            for path in self.folder.glob(f"{FILE}*"):
                path.unlink()
        except OSError as error:
            raise LikraError(f"cannot clear {self.path}: {error.strerror}") from error

    def _attempt(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """Do some work in one transaction; where that fails, warn and return `otherwise`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
                connection.execute(SCHEMA)
                return work(connection)
        except (OSError, sqlite3.Error) as error:
            warnings.warn(
                f"the cache {self.path} cannot be used ({error}); going on without it. Clear it "
                f"with likra-lite cache --clear, or set {VARIABLE} to another folder or to off",
                CacheWarning,
                stacklevel=3,
            )
            return otherwise


def _unpickled(folder: Path, max_bytes: int) -> Cache | None:
    return None if _is_off() else Cache(folder, max_bytes)


def _sealed(key: bytes, value: bytes) -> bytes:
    """Return a value behind its checksum, which no other key's value has."""
    return hashlib.blake2b(value, digest_size=CHECKSUM, key=key).digest() + value
