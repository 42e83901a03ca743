"""The examples run from the first line to the last."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from likra_lite import LikraClassifier, read_items
from likra_lite.prompts import as_prompt
from likra_lite.scoring.selection import mean_loss

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = "examples/questions.jsonl"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")
def test_first_steps(place, capsys):
    runpy.run_path("examples/first_steps.py", run_name="__main__")
    printed = capsys.readouterr().out
    assert "test accuracy" in printed
    assert "hardest" in printed
    assert (place / "my-classifier" / "likra.json").is_file()


def test_gallery(place):
    arguments = ["--items", QUESTIONS, "--test", QUESTIONS, "--out", "pictures"]
    subprocess.run([sys.executable, "examples/gallery.py", *arguments], check=True)
    pictures = sorted(path.name for path in (place / "pictures").iterdir())
    assert pictures == ["alpha.png", "learning-curve.png", "likelihoods.png", "negatives.png"]


def test_the_demo_model_can_be_trained(place):
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [sys.executable, "examples/train_demo_model.py", "tiny", "--texts", "300"],
        check=True, env=environment, capture_output=True,
    )  # fmt: skip
    from likra_lite import LanguageModel

    manifest = LanguageModel(place / "tiny").manifest
    assert manifest.hidden_size == 128


def test_lora_curve(place, llama_checkpoint):
    """Twice: the second time nothing is trained or scored again."""
    arguments = [QUESTIONS, QUESTIONS, "--model", llama_checkpoint, "--out", "curve"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "examples/lora_curve.py", *arguments, "--learning-rate", "1e-2"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert "48 test items, alpha 0.9" in done.stdout
    rows = Path("curve/curve.csv").read_text().splitlines()
    assert rows[0] == "n_items,mode,normalization,accuracy,standard_error"
    assert len(rows) == 1 + 8


def study(model: Path) -> subprocess.CompletedProcess[str]:
    sets = ["--questions", "own", QUESTIONS, QUESTIONS, "--unrelated", QUESTIONS]
    numbers = ["--sizes", "8,16", "--compared", "12", "--seeds", "2", "--jobs", "1"]
    return subprocess.run(
        [sys.executable, "examples/study", "--model", model, "--out", "kept", *sets, *numbers],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")
def test_study(place, model_folder, tinystories):
    """Its tables say what a classifier says; it goes on where it stopped, on the same only."""
    assert study(model_folder).returncode == 0
    tables = {path.name: path.read_bytes() for path in (place / "kept").glob("*.csv")}
    assert sorted(tables) == ["accuracy.csv", "comparisons.csv", "likelihood.csv"]
    figures = sorted(path.stem for path in (place / "kept").glob("*.svg"))
    assert figures == ["likelihoods", "negatives", "own"]

    items = read_items(QUESTIONS)
    test, pool = items[:24], items[24:]
    drawn = [pool[i] for i in np.random.default_rng(1).permutation(24)[:16]]
    rows = pd.read_csv("kept/accuracy.csv").query("size == 16 and seed == 1")
    shares = dict(zip(rows["decision"], rows["accuracy"], strict=True))
    classifier = LikraClassifier(model_folder, adapter="lora", cache=False, alpha=0.9).fit(drawn)
    # So few items get no heads by default, but may get examples: the first five of the draw.
    behind = as_prompt("question").with_examples(drawn[:5])
    few = [LikraClassifier(model_folder, adapter="none", cache=False).fit(drawn[5:])]
    few += [LikraClassifier(model_folder, adapter="none", prompt=behind).fit(drawn[5:])]
    losses = [mean_loss(each.held_out_decision_, each.held_out_, each.held_out_y_) for each in few]
    few[0].fit(drawn)
    assert shares["auto"] == pytest.approx(few[int(np.argmin(losses))].score(test), abs=1e-4)
    shares["auto"] = shares["auto, both heads"]
    for mode in ("sft", "likra", "base-likra", "auto"):
        assert shares[mode] == pytest.approx(classifier.set_params(mode=mode).score(test), abs=1e-4)

    (place / "kept" / "own" / "none-other-12-1.npz").unlink()
    again = study(model_folder)
    assert again.returncode == 0
    assert re.findall("of [0-9]+: (.*)", again.stderr) == ["own/none-other-12-1"]
    assert tables == {path.name: path.read_bytes() for path in (place / "kept").glob("*.csv")}

    other = study(tinystories)
    assert other.returncode == 1
    assert other.stderr == "study: kept was begun with another model; choose another --out\n"
