"""The README's code runs, and what it says of files, modes and commands is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from likra_lite.cli.main import group

from likra_lite.scoring.decision import MODES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.fixture
def place(tmp_path, model_folder, llama_checkpoint, monkeypatch):
    """A folder like the reader's, with a model and the example questions."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(model_folder, tmp_path / "my-model")
    shutil.copytree(llama_checkpoint, tmp_path / "my-checkpoint")  # in place of the hub's
    for name in ("train.jsonl", "test.jsonl"):
        shutil.copy(ROOT / "examples" / "questions.jsonl", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")
def test_python_blocks_run_one_after_the_other(place, capsys):
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert "best_params_" in README
    assert "alpha" in capsys.readouterr().out
    assert (place / "my-classifier" / "likra.json").is_file()


def test_shell_commands_run(place):
    commands = [
        line.replace("HuggingFaceTB/SmolLM2-135M", "my-checkpoint").split()
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("likra-lite ")
    ]
    names = "demo export fit evaluate score curve compare inspect fit score quantize cache"
    assert [command[1] for command in commands] == names.split()
    for command in commands:
        subprocess.run(
            [sys.executable, "-c", "from likra_lite.cli.main import main; main()", *command[1:]],
            check=True,
            capture_output=True,
            cwd=place,
        )
    assert len((place / "scores.jsonl").read_text().splitlines()) == 48


def test_every_command_and_mode_is_in_the_readme():
    for name in group.commands:
        assert f"likra-lite {name}" in README
    for mode in (*MODES, "auto"):
        assert f"| `{mode}`" in README


def test_the_test_command_is_what_ci_runs():
    script = (ROOT / ".ci" / "run").read_text()
    setup = blocks("sh")[0].strip().splitlines()
    assert len(setup) == 2
    assert setup[0] in script
    assert setup[1].replace("pip install", "pip install -q") in script
    assert blocks("sh")[1].strip() == ".venv/bin/likra-lite demo"
    assert blocks("sh")[2].strip() in script


def test_the_version_is_in_the_changelog():
    from likra_lite import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
