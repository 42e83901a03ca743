"""The examples run from the first line to the last."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
