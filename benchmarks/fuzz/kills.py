"""Kills at random moments: what stands is whole, and the next run leaves nothing but its result."""

from __future__ import annotations

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
from places import Place, snapshot
from runs import PATIENCE, Outcome, Tally

from likra_lite.datasets.demo import bundled_model

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
        self.around = Place(self.place)
        self.out = self.place / "work" / "out"
        places = {"OUT": str(self.out), "CHECKPOINT": str(checkpoint)}
        words = [places.get(word, word) for word in COMMANDS[name]]
        self.command = [sys.executable, "-m", "likra_lite", *words]
        self.clean()
        start = time.perf_counter()
        outcome = self.run()
        self.seconds = time.perf_counter() - start
        assert outcome.status == 0, outcome.err
        self.expected = snapshot(self.out)
        (self.place / "expected").parent.mkdir(exist_ok=True)
        shutil.move(self.out, self.place / "expected")

    def clean(self) -> None:
        """Begin anew."""
        for name in ("work", "tmp", "cache", "home"):
            shutil.rmtree(self.place / name, ignore_errors=True)
        self.around.make("work")

    def start(self, cache: bool) -> subprocess.Popen[str]:
        """Start the command."""
        streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        streams |= {"cwd": self.place, "env": self.around.environment(cache)}
        return subprocess.Popen(self.command, text=True, **streams)

    def run(self, cache: bool = False) -> Outcome:
        """Run the command to its end."""
        with self.start(cache) as process:
            _, err = process.communicate(timeout=PATIENCE)
        return Outcome(process.returncode, "", err, 0.0)

    def leftovers(self, pid: int) -> list[str]:
        """Return files and processes that are there and should not be."""
        found = [path for path in (self.place / "work").iterdir() if path != self.out]
        found += [path for path in self.out.rglob(".*") if self.out.is_dir()]
        return [*map(str, found), *self.around.leftovers({pid})]

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
        while self.around.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        for number in self.around.processes():
            tally.fault("leftover", f"{case}: process {number}")
            os.kill(number, signal.SIGKILL)
        if self.name != "curve" and self.out.exists() and snapshot(self.out) != self.expected:
            tally.fault("difference", f"{case}: what stands after the kill")
        if tally.add(case, self.run(cache)):
            found = snapshot(self.out)
            names = sorted({*found, *self.expected})
            changed = [name for name in names if found.get(name) != self.expected.get(name)]
            if changed:
                tally.fault("difference", f"{case}: {changed}")
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
