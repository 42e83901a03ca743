"""What is told of long work: on a terminal, in a notebook, in a log, and not at all."""

from __future__ import annotations

import io
import json
import re
import sys
from types import SimpleNamespace

import pytest
from command_line import messages, run

from likra_lite import LikraClassifier, progress
from likra_lite.progress import LogLines, Pace, duration, progress_bar


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


def test_nothing_is_told_unasked(capsys):
    pace = Pace(100, "training", False)
    for _ in range(5):
        pace.advance(8)
    assert capsys.readouterr() == ("", "")


def test_durations():
    assert [duration(s) for s in (3.4, 99, 100, 5999, 9000)] == [
        "about 3 s", "about 99 s", "about 2 min", "about 100 min", "about 2 h",
    ]  # fmt: skip


def test_bars_appear_where_they_are_asked_for(monkeypatch):
    for show in (True, False):
        monkeypatch.setattr(progress.sys, "stderr", Terminal())
        with progress_bar(3, "reading", show) as bar:
            bar.delay = 0
            bar.update(3)
            bar.refresh()
            assert ("reading: 100%" in progress.sys.stderr.getvalue()) is show


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=object())])
def test_notebooks_are_told_from_logs(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with progress_bar(3, "reading") as bar:
        assert isinstance(bar, LogLines) is not hasattr(shell, "kernel")


def test_a_log_has_a_plain_line_a_minute(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress_bar(2000, "scoring") as known, progress_bar(None, "trying", unit="step") as open_:
        for second in range(10, 100, 5):
            clock[0] = float(second)
            known.update(50)
            if second == 25:
                open_.update(7)
        known.set_description("writing")
        clock[0] = 180.0
        known.update(900)
    assert capsys.readouterr().err.split("\n") == [
        "scoring: 150 of 2,000 items, about 3 min to go",  # 10 s for 100: 185 s
        "trying: 7 steps",
        "scoring: 750 of 2,000 items, about 2 min to go",  # 70 s for 700: 125 s
        "writing: 1,800 of 2,000 items, about 19 s to go",  # 170 s for 1,750
        "",
    ]
    with progress_bar(3, "reading", show=False) as bar:
        clock[0] = 9000.0
        bar.update(1)
    assert capsys.readouterr().err == ""


def test_no_standard_error(monkeypatch):
    """As under pythonw, or in a service."""
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar(3, "reading", show=True) as bar:
        bar.update(3)


def test_a_verbose_classifier_shows_its_bars_without_a_terminal(items, monkeypatch):
    shown = []
    bar = progress_bar

    def recorded(total, description, show, unit="item"):
        shown.append((description, show))
        return bar(total, description, show, unit)

    monkeypatch.setattr("likra_lite.heads.fit_none.progress_bar", recorded)
    monkeypatch.setattr("likra_lite.estimator.progress_bar", recorded)
    for verbose in (True, False):
        shown.clear()
        LikraClassifier(adapter="none", cv=2, verbose=verbose).fit(items[:16]).predict(items[:2])
        assert shown == [("scoring", verbose), ("scoring", verbose)]


def test_commands_show_none_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("tqdm.std.tqdm.refresh", lambda *_, **__: pytest.fail("a bar"))
    status, _, err = run("score", "handwritten", capsys=capsys)
    assert (status, messages(err)) == (0, "")


def test_a_fit_without_a_terminal_tells_what_it_does(items, capsys, tmp_path, monkeypatch):
    """In plain lines, with how long training takes; the library says nothing unasked."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "SELDOM", 0.0)
    lines = [
        json.dumps({"question": i.question, "choices": i.choices, "answer": i.answer})
        for i in items
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    arguments = ["--adapter", "lora", "--learning-rate", "1e-3", "--out", str(tmp_path / "heads")]
    status, out, err = run("fit", tmp_path / "items.jsonl", *arguments, capsys=capsys)
    assert status == 0, err
    assert re.search(r"^training positive: \d+ of \d+ examples", err, flags=re.M)
    assert re.search(r"^training on \d+ answers: about \d+ s to go$", err, flags=re.M)
    assert re.search(r"^scoring: .* to go$", err, flags=re.M)
    assert "\r" not in err
    assert "held-out accuracy on" in out
    LikraClassifier(adapter="none").fit(items[:20])
    assert capsys.readouterr() == ("", "")
