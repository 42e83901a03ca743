"""The checkpoint that LoRA heads are trained on, exported once with a graph that takes them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection
from pathlib import Path

from accelerate import PartialState

from ..engine.manifest import MANIFEST
from ..engine.onnx import LanguageModel
from ..errors import ExportError, LikraError
from ..export.built.build import build_model_folder
from ..export.built.decoder_graph import lora_shapes
from ..export.built.hugging_face import read_checkpoint
from ..export.checkpoint.sources import find_checkpoint
from ..export.traced.targets import targets_of
from ..export.traced.trace import export_checkpoint
from ..heads import lora_runs
from ..system.atomic import atomic_text

__all__ = ["check_is_checkpoint", "open_adapted", "scratch_folder"]

_exporting = threading.Lock()
_exported: dict[str, Path] = {}  # temporary folders of this process, by what is in them


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
    train_dir: str | os.PathLike[str] | None,
    modules: Collection[str],
    n_threads: int | None,
    verbose: bool,
) -> LanguageModel:
    """Export a checkpoint to ``train_dir/model``, unless it is there.

    Without a folder, all fits of this process share a temporary one.

    Parameters
    ----------
    checkpoint : str
    revision : str or None
    train_dir : path or None
    modules : collection of str
        Paths of the matrices that LoRA heads change.
    n_threads : int or None
    verbose : bool

    Raises
    ------
    ExportError
        If the checkpoint cannot be exported, or has no such matrices.
    LikraError
        If the folder holds another checkpoint, or one that takes no such heads.
    """
    local = Path(checkpoint)
    files = sorted(local.glob("*.safetensors")) if local.is_dir() else []
    facts = {
        "checkpoint": str(local.resolve()) if local.is_dir() else checkpoint,
        "revision": revision,
        "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        "adapted": sorted(modules),
    }
    content = json.dumps(facts, indent=2)
    with _exporting:
        folder = scratch_folder(train_dir) if train_dir is not None else _exported.get(content)
        if folder is None:
            folder = _exported[content] = scratch_folder(None)
        path, note = folder / "model", folder / "model.json"
        with PartialState().main_process_first():
            if not note.is_file():
                _export(checkpoint, revision, path, modules, verbose)
                with atomic_text(note) as stream:
                    stream.write(content)
    stored = json.loads(note.read_text(encoding="utf-8"))
    for name, value in json.loads(content).items():
        if stored.get(name) != value:
            found = f"with {name} {stored.get(name)}, and now it is {value}"
            if name == "adapted":
                found = "for heads that change other matrices"
            raise LikraError(
                f"{folder} holds a model {found}; choose another folder, or delete this one"
            )
    return LanguageModel(path, n_threads)


def _export(
    checkpoint: str, revision: str | None, out: Path, modules: Collection[str], verbose: bool
) -> None:
    """Write a model folder that takes heads which change some matrices.

    Graphs of known families are built within seconds, with inputs for changes of all MLPs. Others
    are traced, which takes minutes; layers below the first that is changed then run but once,
    whatever the number of heads.
    """
    try:
        described = read_checkpoint(find_checkpoint(checkpoint, revision))
    except ExportError:
        pass
    else:
        if {*modules} == {*lora_shapes(described.spec, described.tensors)}:
            build_model_folder(described, out, verbose)
            return
    export_checkpoint(
        checkpoint, out, revision, verbose, lambda decoder: targets_of(decoder, sorted(modules))
    )
