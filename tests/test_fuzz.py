"""The fuzzer itself: a few cases of each kind, and that it can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parent.parent / "benchmarks" / "fuzz"


def test_a_few_files():
    counts = ["--files", "4", "--folders", "0", "--caches", "0", "--objects", "0", "--kills", "0"]
    command = [sys.executable, str(FUZZ), "--seed", "3", *counts]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    header, row, last = process.stdout.splitlines()
    assert header.split(" | ")[:3] == ["what", "runs", "refused"]
    assert row.split(" | ")[:2] == ["item files", "4"]
    assert last.startswith("seed 3, ")


@pytest.mark.parametrize(
    ("status", "err", "problems"),
    [
        (0, "", []),
        (0, "likra-lite: warning: a choice is listed twice\n", []),
        (0, "likra-lite: error: something went wrong\n", ["unclear"]),
        (1, "likra-lite: error: items.csv:3: the row has no answer\n", []),
        (1, "", ["unclear"]),
        (1, "likra-lite: error: oh\n", ["unclear"]),
        (1, "likra-lite: error: unexpected KeyError: 'x'; report it\n", ["unclear"]),
        (1, "likra-lite: error: one thing failed\nlikra-lite: error: one more\n", ["unclear"]),
        (1, "likra-lite: error: the text \x1b[31m is odd\n", ["unclear"]),
        (1, "Traceback (most recent call last):\nValueError\n", ["traceback"]),
        (2, "Usage: likra-lite score\n\nError: No such option: --x\n", []),
        (3, "likra-lite: 2 of 20 items were not scored\n", []),
        (-11, "", ["hang or crash"]),
    ],
)  # fmt: skip
def test_verdicts(status, err, problems, monkeypatch):
    monkeypatch.syspath_prepend(str(FUZZ))
    runs = pytest.importorskip("runs")
    assert runs.verdict(runs.Outcome(status, "", err, 0.0)) == problems


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.syspath_prepend(str(FUZZ))
    return pytest.importorskip("soak")


BUSY = "likra-lite: error: scores.csv is being written by another process"


def ran(soak, command, result, status=0, err=""):
    from runs import Outcome

    return soak.Ran("a kind", command, 0, Outcome(status, result[1], err, 0.0), result)


@pytest.mark.parametrize(
    ("out", "result", "err", "problem"),
    [
        ("out", (0, "right 3 of 4", "", {"a": "1"}), "", None),
        ("out", (0, "right 2 of 4", "", {"a": "1"}), "", "printed"),
        ("out", (0, "right 3 of 4", "warning", {"a": "1"}), "", "printed"),
        ("out", (0, "right 3 of 4", "", {"a": "2"}), "", "wrote other ['a']"),
        ("out", (0, "right 3 of 4", "", {"a": "1", "b": "2"}), "", "wrote other ['b']"),
        ("out", (1, "", "", {}), BUSY, "refused"),
        ("../../shared/x", (0, "right 3 of 4", "", {"a": "2"}), "", None),
        ("../../shared/x", (0, "right 3 of 4", "", {"a": "3"}), "", "wrote other ['a']"),
        ("../../shared/x", (1, "", "", {}), BUSY, None),
        ("../../shared/x", (1, "", "", {}), "likra-lite: error: cannot write x", "refused"),
    ],
)  # fmt: skip
def test_what_the_soak_calls_a_difference(out, result, err, problem, soak):
    command = soak.Command("a kind", ("fit", "--out", out), out)
    alone = (0, "right 3 of 4", "", {"a": "1"})
    expected = soak.Expected({command: [alone, alone]}, {out: [alone[3], {"a": "2"}]}, {})
    judged = soak.Soak(None, [])
    judged.tallies = {"a kind": soak.Tally("a kind")}
    judged.ran = [ran(soak, command, result, result[0], err)]
    judged.judge(expected)
    found = judged.tallies["a kind"].problems.get("difference", [])
    assert len(found) == (problem is not None)
    assert all(str(problem) in case for case in found)
