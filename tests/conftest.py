"""Fixtures: models exported on the spot, items written by hand, real data where present."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from checkpoints import save_checkpoint

from likra_lite import Item, LanguageModel
from likra_lite.export import export_model
from likra_lite.export.exporters import TRACERS

# Optimum, where it is installed, traces a small decoder in one second and torch.export in 15;
# tests of torch.export name it.
TRACERS["dynamo"] = TRACERS.pop("dynamo")

os.environ["HF_HUB_OFFLINE"] = "1"  # no test touches the network
os.environ["LIKRA_LITE_CACHE"] = "off"  # every test computes; those of the cache switch it on

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real benchmarks."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real benchmarks are not here (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def tinystories_checkpoint() -> Path:
    """Checkpoint of a small real language model."""
    folder = SHARED / "models" / "tinystories-3m"
    if not folder.is_dir():
        pytest.skip("the real test model is not here (../shared/models/tinystories-3m)")
    return folder


@pytest.fixture(scope="session")
def tinystories(tinystories_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder of the small real language model."""
    folder = tmp_path_factory.mktemp("tinystories") / "model"
    export_model(tinystories_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def llama_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a random Llama with grouped key-value heads."""
    return save_checkpoint("llama", tmp_path_factory.mktemp("llama") / "checkpoint")


@pytest.fixture(scope="session")
def model_folder(llama_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder of the random Llama. Read only."""
    folder = tmp_path_factory.mktemp("model") / "llama"
    export_model(llama_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> LanguageModel:
    """The random Llama, opened."""
    return LanguageModel(model_folder)


@pytest.fixture(scope="session")
def items() -> list[Item]:
    """Forty-eight answered items with two to five choices, written for this project."""
    lines = (ROOT / "examples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Item(**json.loads(line)) for line in lines]
