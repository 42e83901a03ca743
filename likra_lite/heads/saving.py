"""Writing a fitted classifier, with its model, to a folder. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.folder import write_manifest
from ..engine.folder_writing import atomic_folder, copy_file
from ..errors import ModelFolderError
from ..prompts import Prompt
from ..scoring.decision import LinearDecision
from ..scoring.selection import DecisionRule
from .recipe import LoraRecipe
from .saved_files import (
    HASHES,
    HELD_OUT,
    NEGATIVES,
    SETTINGS,
    TRAINING,
    VERSION,
    head_file,
    write_tensors,
)
from .training_set import FittedHeads

__all__ = ["Saved", "save_heads"]


class Saved(NamedTuple):
    """A fitted classifier, as it is stored.

    Attributes
    ----------
    fitted : FittedHeads
    decision : LinearDecision
        In force.
    rule : DecisionRule
        How it was come to.
    parameters : dict
        Of the classifier, without its model.
    n_classes : int
    """

    fitted: FittedHeads
    decision: LinearDecision
    rule: DecisionRule
    parameters: dict[str, Any]
    n_classes: int


def save_heads(folder: Path, saved: Saved) -> None:
    """Write a model with its heads, what they were fitted on and how they decide.

    Parameters
    ----------
    folder : Path
        A new folder, or a model folder to be replaced.
    saved : Saved

    Raises
    ------
    LikraError
        If the folder cannot be written. Nothing is left behind then.
    ModelFolderError
        If the model is no longer where it was opened.
    """
    fitted = saved.fitted
    model = fitted.scorer.model
    settings = {
        "version": VERSION,
        "model": model.manifest.fingerprint,
        "parameters": saved.parameters,
        "prompt": fitted.scorer.prompt.settings(),
        "heads": list(fitted.scorer.fitted),
        "penalty": fitted.penalty,
        "trials": [asdict(trial) for trial in fitted.trials],
        "n_items": fitted.n_items,
        "n_examples": fitted.n_examples,
        "n_classes": saved.n_classes,
        "decision": saved.decision.to_json(),
        "rule": asdict(saved.rule),
    }
    for name in model.manifest.model_files:
        if not (model.folder / name).is_file():
            raise ModelFolderError(
                f"{model.folder / name} is gone; fit again with the model where it is now"
            )
    table, drawn = fitted.table, fitted.negatives
    tensors: dict[str, Mapping[str, NDArray[Any]]] = {
        head_file(name): head.tensors() for name, head in fitted.scorer.fitted.items()
    }
    tensors[HELD_OUT] = {**table.to_arrays(), "y": fitted.y}
    tensors[NEGATIVES] = {"item": drawn.item, "source": drawn.source, "choice": drawn.choice}
    tensors[TRAINING] = {HASHES: np.sort(fitted.training)}
    with atomic_folder(folder) as scratch:
        for name in model.manifest.model_files:
            copy_file(model.folder / name, scratch / name)
        for name, arrays in tensors.items():
            write_tensors(scratch / name, arrays, model.manifest.fingerprint)
        (scratch / SETTINGS).write_text(
            json.dumps(settings, indent=2, default=_plain, allow_nan=False) + "\n", encoding="utf-8"
        )
        written = write_manifest(scratch, model.manifest)
        if written.fingerprint != model.manifest.fingerprint:
            raise ModelFolderError(
                f"{model.folder} has been replaced by another model since the heads were "
                "fitted; fit again"
            )


def _plain(value: Any) -> Any:
    """Turn a NumPy number, a prompt, a recipe or a path among the parameters into plain JSON."""
    if isinstance(value, Prompt):
        return value.settings()
    if isinstance(value, LoraRecipe):
        return asdict(value)
    return value.item() if isinstance(value, np.generic) else str(value)
