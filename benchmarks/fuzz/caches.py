"""Damaged caches: scores as without one."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from random import Random

from damage import damage_bytes
from runs import Tally, records, run, same

FILE = "cache.sqlite"
ROUNDING = 1e-4  # nats: what is read together may be summed in another order


def _damage(cache: Path, random: Random) -> str:
    path = cache / FILE
    kind = random.choice(
        ["bytes", "bytes", "values", "keys", "schema", "other", "journal", "folder"]
    )
    if kind == "bytes":
        path.write_bytes(damage_bytes(path.read_bytes(), random))
    elif kind == "other":
        path.write_bytes(random.choice([b"", b"no database", bytes(4096), b"SQLite format 3\x00"]))
    elif kind == "journal":
        name = random.choice(["-journal", "-wal", "-shm"])
        path.with_name(FILE + name).write_bytes(random.randbytes(5000))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        with sqlite3.connect(path) as connection:
            _damage_rows(connection, kind, random)
        connection.close()
    return kind


def _damage_rows(connection: sqlite3.Connection, kind: str, random: Random) -> None:
    rows = connection.execute("SELECT key, value FROM entries").fetchall()
    if kind == "values":
        for key, value in random.sample(rows, max(1, len(rows) // 3)):
            new = random.choice([damage_bytes(value, random), b"", b"\xff" * len(value), "text", 7])
            connection.execute("UPDATE entries SET value = ? WHERE key = ?", (new, key))
    elif kind == "keys":
        values = [value for _, value in rows]
        random.shuffle(values)
        pairs = [(value, key) for (key, _), value in zip(rows, values, strict=True)]
        connection.executemany("UPDATE entries SET value = ? WHERE key = ?", pairs)
    else:
        connection.execute("DROP TABLE entries")
        if random.random() < 0.5:
            connection.execute("CREATE TABLE entries (something INTEGER)")


def fuzz_caches(count: int, random: Random, folder: Path) -> Tally:
    """Damage so many copies of a cache, and score twice with each."""
    tally = Tally("caches")
    whole, cache, out = folder / "whole", folder / "cache", folder / "out.jsonl"
    score = ["score", "handwritten", "--out", out]
    assert run(score, LIKRA_LITE_CACHE=str(whole)).status == 0
    expected = records(out)
    for _ in range(count):
        shutil.copytree(whole, cache)
        how = _damage(cache, random)
        for turn in ("first", "second"):
            out.unlink(missing_ok=True)
            outcome = run(score, LIKRA_LITE_CACHE=str(cache))
            case = f"{how} ({turn})"
            if not tally.add(case, outcome):
                tally.fault("difference", f"{case}: {outcome.err}")
            elif not same(records(out), expected, ROUNDING):
                tally.fault("difference", case)
        shutil.rmtree(cache)
    return tally
