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
