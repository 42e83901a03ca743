"""Workers end with the process that they work for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from likra_lite.experiments import Experiment
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.system.workers import end_with

BUSY = """
import os, time
from joblib import Parallel, delayed

def task(parent):
    from likra_lite.system.workers import end_with
    end_with(parent)
    print(os.getpid(), flush=True)
    time.sleep(60)

Parallel(2)(delayed(task)(os.getpid()) for _ in range(2))
"""


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_of_a_killed_process_end():
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(is_running, workers))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 5
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert not any(map(is_running, workers))


def test_nothing_is_watched_in_the_process_itself(monkeypatch):
    monkeypatch.setattr("threading.Thread.start", lambda self: 1 / 0)
    end_with(os.getpid())
    end_with(1 << 30)


def test_a_results_folder_that_a_kill_left_without_its_first_file(tmp_path, model, items):
    scorer = ChoiceScorer(model, as_prompt("question"))
    experiment = Experiment(scorer, items[:8], {"test": items[8:12]}, "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".experiment.json.likra-lite-0123456789abcdef").write_text("{")
    assert experiment.create(tmp_path / "out", "a command").name == "a"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "experiment.json", "points", "tests", "training",
    ]  # fmt: skip
