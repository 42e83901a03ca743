"""The checkpoint that LoRA heads are trained on, exported once with a graph that takes them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel

from ..engine.manifest import MANIFEST
from ..engine.onnx import LanguageModel
from ..errors import LikraError
from ..export.traced.targets import Targets
from ..export.traced.trace import export_checkpoint
from ..heads import lora_runs
from ..system.atomic import atomic_text

__all__ = ["check_is_checkpoint", "open_adapted", "scratch_folder"]


def check_is_checkpoint(model: str | os.PathLike[str]) -> None:
    """Raise LikraError if `model` is a model folder."""
    if (Path(model) / MANIFEST).is_file():
        raise LikraError(
            f"{model} is a model folder; PEFT adapters need the checkpoint: give its id or folder"
        )


def scratch_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder given, or a temporary one that goes when Python ends.

    Raises
    ------
    LikraError
        If none is given to several processes.
    """
    if given is None and PartialState().num_processes > 1:
        raise LikraError("several processes need a folder in common; give train_dir")
    return lora_runs.scratch_folder(given)


def open_adapted(
    checkpoint: str,
    revision: str | None,
    folder: Path,
    settings: dict[str, Any],
    adapt: Callable[[PreTrainedModel], Targets],
    n_threads: int | None,
    verbose: bool,
) -> LanguageModel:
    """Export a checkpoint with a graph for LoRA heads to ``folder/model``, unless it is there.

    `settings` say what the graph adapts; they and the checkpoint must be those of before.
    """
    local = Path(checkpoint)
    files = sorted(local.glob("*.safetensors")) if local.is_dir() else []
    facts = {
        "checkpoint": str(local.resolve()) if local.is_dir() else checkpoint,
        "revision": revision,
        "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        **settings,
    }
    facts = json.loads(json.dumps(facts))
    path, note = folder / "model", folder / "model.json"
    with PartialState().main_process_first():
        if not note.is_file():
            export_checkpoint(checkpoint, path, revision, verbose, adapt)
            with atomic_text(note) as stream:
                json.dump(facts, stream, indent=2)
    stored = json.loads(note.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if stored.get(name) != value:
            raise LikraError(
                f"{folder} holds a model with {name} {stored.get(name)}, and now it is {value}; "
                "choose another folder, or delete this one"
            )
    return LanguageModel(path, n_threads)
