"""Places where commands run as processes of their own, and what they leave there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MARK = "LIKRA_FUZZ"  # an environment variable, by which processes of a place are told
TIMED = "experiment.json"  # tells when it was made


class Place:
    """A folder with all that a command may write to.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, cache: bool) -> dict[str, str]:
        """Return the environment of a run."""
        return {
            **os.environ,
            MARK: str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
            "LIKRA_LITE_CACHE": str(self.folder / "cache") if cache else "off",
        }

    def make(self, *names: str) -> None:
        """Make the folders of a place."""
        for name in ("tmp", "home", "cache", *names):
            (self.folder / name).mkdir(parents=True)

    def processes(self) -> list[int]:
        """Return the processes of this place that run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.folder}\0".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def leftovers(self, pids: set[int]) -> list[str]:
        """Return what is left of some processes where temporary files go, and what still runs."""
        found = [*(self.folder / "tmp").iterdir(), *(self.folder / "home").iterdir()]
        marks = [mark for pid in pids for mark in (f"-{pid}-", f"_{pid}_")]
        found += [p for p in Path("/dev/shm").glob("*") if any(m in p.name for m in marks)]
        return [*map(str, found), *(f"process {number}" for number in self.processes())]


def snapshot(out: Path) -> dict[str, str]:
    """Return a checksum of every file of a result, but for what tells when it was made."""
    paths = [out] if out.is_file() else sorted(out.rglob("*"))
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and path.name != TIMED
    }
