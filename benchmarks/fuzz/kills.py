"""Kills at random moments: what stands is whole, and the next run leaves nothing but its result."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from checkpoint import write_checkpoint
from runs import PATIENCE, Outcome, Tally

from likra_lite.datasets.demo import bundled_model

MARK = "LIKRA_FUZZ"  # an environment variable, by which processes of a run are told
GRACE = 3.0  # seconds in which the workers of a killed process must end

COMMANDS: dict[str, list[str]] = {
    "fit": ["fit", "demo", "--limit", "200", "--adapter", "output", "--out", "OUT"],
    "score": ["score", "demo", "--out", "OUT"],
    "export": ["export", "CHECKPOINT", "--out", "OUT"],
    "int8": ["export", "CHECKPOINT", "--precision", "int8", "--out", "OUT"],
    "quantize": ["quantize", str(bundled_model()), "--out", "OUT"],
    "curve": [
        "curve", "demo", "--test", "handwritten", "--limit", "64", "--sizes", "8,32",
        "--draws", "2", "--jobs", "2", "--out", "OUT",
    ],
}  # fmt: skip


class Kills:
    """One command, in a place of its own.

    Parameters
    ----------
    name : str
    folder : Path
    checkpoint : Path
    """

    def __init__(self, name: str, folder: Path, checkpoint: Path) -> None:
        self.place, self.name = folder / name, name
        self.out = self.place / "work" / "out"
        places = {"OUT": str(self.out), "CHECKPOINT": str(checkpoint)}
        words = [places.get(word, word) for word in COMMANDS[name]]
        self.command = [sys.executable, "-m", "likra_lite", *words]
        self.clean()
        start = time.perf_counter()
        outcome = self.run()
        self.seconds = time.perf_counter() - start
        assert outcome.status == 0, outcome.err
        self.expected = self.snapshot()
        (self.place / "expected").parent.mkdir(exist_ok=True)
        shutil.move(self.out, self.place / "expected")

    def clean(self) -> None:
        """Begin anew."""
        for name in ("work", "tmp", "cache", "home"):
            shutil.rmtree(self.place / name, ignore_errors=True)
            (self.place / name).mkdir(parents=True)

    def environment(self, cache: bool = False) -> dict[str, str]:
        """Return the environment of a run."""
        return {
            **os.environ,
            MARK: str(self.place),
            "TMPDIR": str(self.place / "tmp"),
            "HOME": str(self.place / "home"),
            "LIKRA_LITE_CACHE": str(self.place / "cache") if cache else "off",
        }

    def start(self, cache: bool) -> subprocess.Popen[str]:
        """Start the command."""
        streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        streams |= {"cwd": self.place, "env": self.environment(cache)}
        return subprocess.Popen(self.command, text=True, **streams)

    def run(self, cache: bool = False) -> Outcome:
        """Run the command to its end."""
        with self.start(cache) as process:
            _, err = process.communicate(timeout=PATIENCE)
        return Outcome(process.returncode, "", err, 0.0)

    def snapshot(self) -> dict[str, str]:
        """Return a checksum of every file of the result, but for what tells when it was made."""
        paths = [self.out] if self.out.is_file() else sorted(self.out.rglob("*"))
        return {
            str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.is_file() and path.name != "experiment.json"
        }

    def leftovers(self, pid: int) -> list[str]:
        """Return files and processes that are there and should not be."""
        found = [path for path in (self.place / "work").iterdir() if path != self.out]
        found += [path for path in self.out.rglob(".*") if self.out.is_dir()]
        found += [*(self.place / "tmp").iterdir(), *(self.place / "home").iterdir()]
        found += [path for path in Path("/dev/shm").glob("*") if f"-{pid}-" in path.name]
        found += [path for path in Path("/dev/shm").glob("*") if f"_{pid}_" in path.name]
        return [*map(str, found), *(f"process {number}" for number in self.processes())]

    def processes(self) -> list[int]:
        """Return the processes of this place that run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.place}\0".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def kill(self, tally: Tally, random: Random) -> None:
        """Run and kill, look at what stands, run again, and look at what is left."""
        self.clean()
        replaces, cache = random.random() < 0.5, random.random() < 0.5
        expected = self.place / "expected"
        if replaces:
            copy = shutil.copy if expected.is_file() else shutil.copytree
            copy(expected, self.out)
        moment = random.uniform(0.2, 1.0) * self.seconds
        case = f"{self.name} after {moment:.2f} s{', replacing' * replaces}{', cached' * cache}"
        process = self.start(cache)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + GRACE
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        for number in self.processes():
            tally.fault("leftover", f"{case}: process {number}")
            os.kill(number, signal.SIGKILL)
        if self.name != "curve" and self.out.exists() and self.snapshot() != self.expected:
            tally.fault("difference", f"{case}: what stands after the kill")
        if tally.add(case, self.run(cache)):
            found = self.snapshot()
            if not cache and found != self.expected:
                changed = [
                    name for name, value in self.expected.items() if found.get(name) != value
                ]
                tally.fault("difference", f"{case}: {changed or sorted(found)}")
            elif found.keys() != self.expected.keys():
                tally.fault("difference", f"{case}: other files")
        else:
            tally.fault("difference", f"{case}: the next run was refused")
        for path in self.leftovers(process.pid):
            tally.fault("leftover", f"{case}: {path}")


def fuzz_kills(count: int, random: Random, folder: Path) -> Tally:
    """Kill so many runs."""
    tally = Tally("kills")
    checkpoint = write_checkpoint(folder / "checkpoint")
    places = [Kills(name, folder, checkpoint) for name in COMMANDS]
    for number in range(count):
        places[number % len(places)].kill(tally, random)
    return tally
