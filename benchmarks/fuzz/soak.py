"""Mixed commands in several processes for a long time, on one cache and one set of folders.

Processes run random commands beside each other. Every command also runs by itself, in a place of
its own with an empty cache, and once more over what it has left: what is printed and written must
be the same to the last byte. Where several write to one place at once, what stands there must be
whole and of one of them, and who cannot write must say so in one clear line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from places import Place, snapshot
from runs import Outcome, Tally
from soak_commands import SHARED, Command, prepare

PATIENCE = 900.0  # seconds, after which a command hangs; all share the cores
GRACE = 10.0  # seconds in which workers must end after the last command
REPEATED = 0.3  # share of commands that run again over what they have left
TIMES = re.compile(r"\b\d+\.\d s\b")  # what is different in every run
# What a slow command says of its progress, and one that goes on with what another has begun.
PASSING = re.compile(
    r"going on from .*|likra-lite: going on behind item .*"
    r"|[a-z][a-z0-9 ]*: (\d+ of \d+ \w+.*|about .* to go)"
)
# Who writes what another process is writing may be refused, for these reasons only.
REFUSALS = re.compile(
    r".* is being written by another process|.* was replaced by another process .*"
    r"|.* holds training with .*"
)
READERS = [Command("score of a shared model", ("score", "handwritten", "--model", f"{SHARED}/fit"))]
Result = tuple[int, str, str, dict[str, str]]  # status, stdout, stderr, checksums of files


@dataclass
class Expected:
    """What commands do when they are alone.

    Attributes
    ----------
    results : dict of Command to list of Result
        Of a run, and of the same run again.
    standing : dict of str to list
        What may stand in a shared place.
    seen : dict of Command to list of str
        What those that read a shared place may print.
    """

    results: dict[Command, list[Result]]
    standing: dict[str, list[dict[str, str]]]
    seen: dict[Command, list[str]]


class Runner:
    """Runs commands in one place, some of them at the same time."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pids: set[int] = set()
        place.make("work", "shared")

    def folder(self, name: str) -> Path:
        """Return a new folder to run commands in."""
        folder = self.place.folder / "work" / name
        folder.mkdir()
        return folder

    def run(self, command: Command, folder: Path) -> Outcome:
        """Run a command."""
        words = [sys.executable, "-m", "likra_lite", *command.words]
        environment = {**self.place.environment(cache=True), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        start = time.perf_counter()
        with subprocess.Popen(words, text=True, cwd=folder, env=environment, **pipes) as process:
            self.pids.add(process.pid)
            try:
                out, err = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
        return Outcome(process.returncode, out, err, time.perf_counter() - start)

    def result(self, command: Command, folder: Path) -> tuple[Outcome, Result]:
        """Run a command and return what is to be compared."""
        outcome = self.run(command, folder)
        files = {} if command.out is None else whole_snapshot(folder / command.out)
        return outcome, (outcome.status, *map(_timeless, (outcome.out, outcome.err)), files)


def whole_snapshot(out: Path) -> dict[str, str]:
    """Return the checksums of a result that other processes may replace at any moment."""
    while True:
        try:
            descriptor = os.open(out, os.O_RDONLY)
        except FileNotFoundError:
            return {}
        try:
            found = snapshot(Path(f"/proc/self/fd/{descriptor}"))
            if os.path.samestat(os.fstat(descriptor), os.stat(out)):
                return found
        except FileNotFoundError:  # replaced while it was read
            continue
        finally:
            os.close(descriptor)


def _timeless(text: str) -> str:
    lines = TIMES.sub("N s", text).splitlines(keepends=True)
    return "".join(line for line in lines if not PASSING.fullmatch(line.strip()))


def _alone(commands: list[Command], folder: Path) -> Expected:
    """Run every command by itself, with a cache of its own."""
    expected = Expected({}, {}, {})
    for command in commands:
        runner = Runner(Place(folder / "alone"))
        inside = runner.folder("0")
        runs = [runner.result(command, inside) for _ in range(2)]
        for outcome, _ in runs:
            assert outcome.status == 0, f"{command}: {outcome.err}"
        expected.results[command] = [result for _, result in runs]
        if command.is_shared:
            standing = expected.standing.setdefault(str(command.out), [])
            standing += [files for *_, files in expected.results[command]]
        for reader in READERS:
            if command.out is not None and command.out in reader.words:
                seen = runner.result(reader, inside)[1]
                expected.seen.setdefault(reader, []).append(seen[1])
        shutil.rmtree(folder / "alone")
    return expected


class Ran(NamedTuple):
    """A command that has run, for the first time or again over what it has left."""

    kind: str
    command: Command
    turn: int
    outcome: Outcome
    result: Result


class Soak:
    """Processes that run random commands until the time is over.

    Parameters
    ----------
    runner : Runner
    commands : list of Command
    """

    def __init__(self, runner: Runner, commands: list[Command]) -> None:
        self.runner = runner
        self.by_kind: dict[str, list[Command]] = {}
        for command in [*commands, *READERS]:
            kind = f"{command.kind}, one place" if command.is_shared else command.kind
            self.by_kind.setdefault(kind, []).append(command)
        self.tallies = {kind: Tally(f"soak: {kind}") for kind in self.by_kind}
        self.ran: list[Ran] = []

    def work(self, name: str, random: Random, until: float) -> None:
        """Run commands one after the other."""
        number = 0
        while time.monotonic() < until:
            kind = random.choice(sorted(self.by_kind))
            command = random.choice(self.by_kind[kind])
            folder = self.runner.folder(f"{name}-{number}")
            for turn in range(1 + (random.random() < REPEATED)):
                self.ran.append(Ran(kind, command, turn, *self.runner.result(command, folder)))
            allowed = {command.out, f"{command.out}.train"}
            for path in folder.iterdir():
                if path.name not in allowed:
                    self.tallies[kind].fault("leftover", f"{command}: {path}")
            shutil.rmtree(folder)
            number += 1

    def judge(self, expected: Expected) -> None:
        """Compare what has run with what commands do when they are alone."""
        for ran in self.ran:
            tally, command = self.tallies[ran.kind], ran.command
            if tally.add(str(command), ran.outcome):
                problem = _difference(ran, expected)
            else:
                may_refuse = command.is_shared or command in READERS
                problem = None if may_refuse and REFUSALS.search(ran.outcome.err) else "refused"
            if problem is not None:
                case = f"{command} (turn {ran.turn}): {problem} {ran.outcome.err[-600:]}"
                tally.fault("difference", case[:2000])

    def leftovers(self, expected: Expected) -> Tally:
        """Return what is left when all have ended."""
        tally = Tally("soak: at the end")
        deadline = time.monotonic() + GRACE
        while self.runner.place.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        for path in self.runner.place.leftovers(self.runner.pids):
            tally.fault("leftover", path)
        shared = self.runner.place.folder / "shared"
        places = {Path(out).name for out in expected.standing}
        for path in shared.iterdir():
            if path.name.removesuffix(".train") not in places:
                tally.fault("leftover", str(path))
        for out, standing in expected.standing.items():
            if whole_snapshot(shared / Path(out).name) not in [{}, *standing]:
                tally.fault("difference", f"{out} is of nobody")
        return tally


def _difference(ran: Ran, expected: Expected) -> str | None:
    """Return what a command did otherwise than alone."""
    command, result = ran.command, ran.result
    if command in READERS:
        return None if result[1] in expected.seen[command] else f"printed {result[1][:300]!r}"
    alone = expected.results[command][ran.turn]
    texts = [(a, b) for a, b in zip(alone[1:3], result[1:3], strict=True) if a != b]
    if command.is_shared and result[3] in expected.standing[str(command.out)]:
        return f"printed {texts}" if texts else None
    names = sorted({*alone[3], *result[3]})
    changed = [name for name in names if alone[3].get(name) != result[3].get(name)]
    return f"printed {texts}, wrote other {changed}" if texts or changed else None


def soak(minutes: float, processes: int, seed: int, folder: Path) -> list[Tally]:
    """Run random commands for so many minutes, and return the counts of each kind."""
    folder = folder.resolve()
    commands = prepare(folder)
    runner = Runner(Place(folder / "together"))
    shutil.copytree(folder / "fitted", runner.place.folder / "shared" / "fit")
    together = Soak(runner, commands)
    until = time.monotonic() + 60 * minutes
    with ThreadPoolExecutor(processes + 1) as pool:
        alone = pool.submit(_alone, commands, folder)
        for done in [
            pool.submit(together.work, str(number), Random(f"{seed} soak {number}"), until)
            for number in range(processes)
        ]:
            done.result()
        expected = alone.result()
    together.judge(expected)
    return [*together.tallies.values(), together.leftovers(expected)]
