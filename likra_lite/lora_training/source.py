"""The checkpoint that LoRA heads are trained on, exported once with a graph that takes them."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel

from ..atomic import atomic_text
from ..engine.folder import MANIFEST, read_manifest
from ..engine.onnx import LanguageModel
from ..errors import LikraError
from ..export.targets import Targets
from ..export.traced import export_checkpoint

__all__ = ["check_is_checkpoint", "checkpoint_of", "open_adapted", "scratch_folder"]

ADVICE = "LoRA heads need the checkpoint itself: give its hub id or folder as the model"


def check_is_checkpoint(model: str | os.PathLike[str]) -> None:
    """Raise LikraError if `model` is a model folder."""
    if (Path(model) / MANIFEST).is_file():
        raise LikraError(f"{model} is a model folder; {ADVICE}")


def checkpoint_of(model: Any) -> tuple[str, str | None]:
    """Return the checkpoint that LoRA heads are trained on, and its revision.

    Raises
    ------
    LikraError
        If `model` is a model folder, and what it was exported from is not on the hub.
    """
    if model is None:
        raise LikraError(f"got no model; {ADVICE}")
    if not isinstance(model, str | os.PathLike | LanguageModel):
        raise LikraError(f"got a model of type {type(model).__name__}; {ADVICE}")
    folder = model.folder if isinstance(model, LanguageModel) else Path(model)
    if not (folder / MANIFEST).is_file():
        return str(model), None
    origin = read_manifest(folder).base_model
    if "/" not in str(origin["id"]):
        raise LikraError(f"{folder} was exported from {origin['id']}, a local folder; {ADVICE}")
    return str(origin["id"]), origin["revision"]


def scratch_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder given, or a temporary one that goes when Python ends.

    Raises
    ------
    LikraError
        If none is given to several processes.
    """
    if given is not None:
        return Path(given)
    if PartialState().num_processes > 1:
        raise LikraError("several processes need a folder in common; give train_dir")
    scratch = tempfile.mkdtemp(prefix="likra-lite-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Path(scratch)


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
