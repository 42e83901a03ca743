"""Running commands where they cannot harm the fuzzer, and judging what they say."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import re
import select
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds, after which a command hangs
STATUSES = (0, 1, 2, 3)
CLEAR = re.compile(
    r"likra-lite: error: (?!unexpected )\S.{9,}|Error: \S.{9,}|likra-lite: \d+ of .*"
)


@dataclass
class Outcome:
    """What a command did.

    Attributes
    ----------
    status : int
        Exit status; negative for the signal that ended it.
    err : str
    seconds : float
    """

    status: int
    out: str
    err: str
    seconds: float


@dataclass
class Tally:
    """Counts of what went wrong, with the cases."""

    name: str
    count: int = 0
    refused: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, case: str, outcome: Outcome) -> bool:
        """Count a command, and return whether it did its work."""
        self.count += 1
        self.refused += outcome.status != 0
        for problem in verdict(outcome):
            self.fault(problem, f"{case}: status {outcome.status}: {outcome.err[-600:]!r}")
        return outcome.status == 0

    def fault(self, problem: str, case: str) -> None:
        """Count a problem."""
        self.problems.setdefault(problem, []).append(case)

    def line(self) -> str:
        """Return a row of a table."""
        kinds = ("traceback", "unclear", "difference", "leftover", "hang or crash")
        counts = [len(self.problems.get(kind, [])) for kind in kinds]
        return " | ".join(map(str, [self.name, self.count, self.refused, *counts]))


HEADER = "what | runs | refused | tracebacks | unclear | differences | leftovers | hangs or crashes"


def verdict(outcome: Outcome) -> list[str]:
    """Return what is wrong with how a command ended."""
    if outcome.status not in STATUSES:
        return ["hang or crash"]
    if "Traceback (most recent call last)" in outcome.err:
        return ["traceback"]
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("likra-lite: error:", "Error:"))]
    if not all(line.isprintable() for line in lines):
        return ["unclear"]
    if outcome.status == 0:
        return ["unclear"] if errors else []
    right = len(errors) == 1 if outcome.status != 3 else not errors
    return [] if right and lines and CLEAR.fullmatch(lines[-1]) else ["unclear"]


def run(arguments: list[Any], **environment: str) -> Outcome:
    """Run a command in a child process that is forked off this one, which has all modules."""
    reader, writer = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.environ.update(environment)
        outcome = _in_this_process([str(argument) for argument in arguments])
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(outcome, stream)
        os._exit(0)
    os.close(writer)
    content = b""
    while select.select([reader], [], [], max(0.0, PATIENCE - time.perf_counter() + start))[0]:
        part = os.read(reader, 2**16)
        if not part:
            break
        content += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        return Outcome(os.waitstatus_to_exitcode(status), "", "", seconds)
    return Outcome(*pickle.loads(content), seconds)


def _in_this_process(arguments: list[str]) -> tuple[int, str, str]:
    from likra_lite.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    sys.stdout, sys.stderr = out, err
    status = 0
    with warnings.catch_warnings():
        try:
            main(arguments)
        except SystemExit as leave:
            status = int(leave.code or 0)
        except BaseException:
            traceback.print_exc()
            status = 1
    out.flush()
    err.flush()
    return status, *(s.buffer.getvalue().decode("utf-8", "replace") for s in (out, err))


def records(path: Path) -> list[dict[str, Any]]:
    """Read the records of ``score``.

    Raises
    ------
    ValueError
        If they are not what they should be: finite numbers, and a choice that there is.
    """
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line, parse_constant=_refuse)
        if record.get("error") is None:
            scores = record["scores"]
            if not 0 <= record["prediction"] < len(scores) or not all(map(math.isfinite, scores)):
                raise ValueError(f"a record that is none: {line[:200]}")
            if abs(sum(record["probabilities"]) - 1) > 1e-6:
                raise ValueError(f"probabilities that are none: {line[:200]}")
        found.append(record)
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def same(one: list[dict[str, Any]], other: list[dict[str, Any]], tolerance: float) -> bool:
    """Return whether records say the same, but for rounding."""
    if [r["prediction"] for r in one] != [r["prediction"] for r in other]:
        return False
    return all(
        len(a["scores"]) == len(b["scores"])
        and all(abs(x - y) <= tolerance for x, y in zip(a["scores"], b["scores"], strict=True))
        for a, b in zip(one, other, strict=True)
    )
