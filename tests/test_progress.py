"""What is told of long work."""

from __future__ import annotations

import io

import pytest

from likra_lite import progress
from likra_lite.progress import Pace, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("show", "resumed"), [(True, 0), (True, 400), (False, 0)])
def test_pace(show, resumed, monkeypatch):
    """Two seconds an example: after 24, what is left of 1,000 takes twice as many seconds."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    pace = Pace(1000, "training", show)
    pace.advance(resumed)  # work that was done before takes no time now
    for _ in range(10):
        clock[0] += 16.0
        pace.advance(8)
    left = {0: "about 33 min", 400: "about 19 min"}[resumed]
    assert progress.sys.stderr.getvalue() == (f"training: {left} to go\n" if show else "")


def test_nothing_is_told_without_a_terminal(capsys):
    pace = Pace(100, "training", True)
    for _ in range(5):
        pace.advance(8)
    assert capsys.readouterr() == ("", "")


def test_durations():
    assert [duration(s) for s in (3.4, 99, 100, 5999, 9000)] == [
        "about 3 s", "about 99 s", "about 2 min", "about 100 min", "about 2 h",
    ]  # fmt: skip
