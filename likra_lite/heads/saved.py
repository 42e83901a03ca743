"""Reading a fitted classifier: heads, settings, held-out scores. No pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.cache import default_cache
from ..engine.folder import read_manifest
from ..engine.head import Head, OutputMatrix, head_of_tensors
from ..engine.manifest import MANIFEST, Manifest
from ..engine.onnx import LanguageModel
from ..errors import ModelFolderError
from ..prompts import as_prompt
from ..scoring.decision import Decision, LinearDecision
from ..scoring.fitted import FittedDecision
from ..scoring.lengths import NORMALIZATIONS
from ..scoring.modes import MODES
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import DecisionRule
from ..scoring.table import LogLikelihoods
from ..validation import check_number, check_one_of
from .negatives import Negatives
from .recipe import LoraRecipe
from .saved_files import (
    HASHES,
    HELD_OUT,
    NEGATIVES,
    SETTINGS,
    TRAINING,
    VERSION,
    check_identity,
    head_file,
    read_json,
    read_tensors,
    readable,
)
from .saving import Saved
from .training_set import FittedHeads
from .trials import Trial

__all__ = [
    "Fitted",
    "is_fitted_folder",
    "read_fitted",
    "read_held_out",
    "read_saved",
    "read_training_hashes",
]


def is_fitted_folder(folder: Path) -> bool:
    """Return whether a model folder holds a fitted classifier.

    Raises
    ------
    ModelFolderError
        If it is no model folder, or holds the files of a classifier that it does not list.
    """
    listed = SETTINGS in read_manifest(folder).files
    if not listed and (folder / SETTINGS).exists():
        raise ModelFolderError(
            f"{folder / SETTINGS} is not listed in {MANIFEST}: it does not belong to this model; "
            "move it away, or fit again"
        )
    return listed


class Fitted(NamedTuple):
    """The parts of a fitted folder that scoring needs.

    Attributes
    ----------
    scorer : ChoiceScorer
    decision : LinearDecision
    rule : DecisionRule
        How the decision was come to.
    settings : dict
    """

    scorer: ChoiceScorer
    decision: LinearDecision
    rule: DecisionRule
    settings: dict[str, Any]


def read_fitted(folder: Path, n_threads: int | None) -> Fitted:
    """Read what scoring needs, without the held-out table and the record of wrong answers.

    Raises
    ------
    ModelFolderError
        If the folder is damaged, of another version, or has no fitted heads.
    """
    model = LanguageModel(folder, n_threads)
    if not is_fitted_folder(folder):
        raise ModelFolderError(
            f"{folder} has no fitted heads; fit some with: "
            f"likra-lite fit ITEMS --model {folder} --out DIR"
        )
    with readable(folder):
        settings = read_json(folder, model.manifest, SETTINGS)
        check_identity(folder / SETTINGS, model.manifest, settings.get("model"))
        version = settings.get("version", 1)
        if version > VERSION:
            raise ModelFolderError(
                f"{folder} has a classifier of version {version} but this likra-lite reads up to "
                f"{VERSION}; upgrade likra-lite"
            )
        if version == 1:  # what was chosen then stays: a mode, its alpha and its normalization
            chosen = ("mode", "alpha", "normalization")
            settings["rule"] = {name: settings["decision"][name] for name in chosen}
            settings["parameters"] |= settings["rule"]
        rule = DecisionRule(**settings["rule"])
        decision = _decision_of(settings["decision"])
        heads = {
            name: _read_head(folder, model.manifest, head_file(name)) for name in settings["heads"]
        }
        scorer = ChoiceScorer(model, as_prompt(settings["prompt"]), heads, default_cache())
        return Fitted(scorer, decision, rule, settings)


def _read_head(folder: Path, manifest: Manifest, name: str) -> Head:
    head = head_of_tensors(read_tensors(folder, manifest, name))
    size = manifest.hidden_size
    if isinstance(head, OutputMatrix) and head.matrix.shape != (size, size):
        raise ValueError(f"{name} has shape {head.matrix.shape}, expected {(size, size)}")
    return head


def _decision_of(content: Mapping[str, Any]) -> LinearDecision:
    """Return a stored decision, and raise LikraError or TypeError if there is something else."""
    if "weights" in content:
        return FittedDecision(**content)
    decision = Decision(**content)
    check_one_of("mode", decision.mode, MODES)
    check_one_of("normalization", decision.normalization, NORMALIZATIONS)
    check_number("alpha", decision.alpha)
    check_number("temperature", decision.temperature, positive=True)
    return decision


def read_held_out(folder: Path) -> tuple[LogLikelihoods, NDArray[np.int64]]:
    """Read the held-out log-likelihoods of a folder with heads, and the right choices.

    Raises
    ------
    ModelFolderError
        If the folder has no fitted heads, or the file cannot be read.
    """
    if not is_fitted_folder(folder):
        raise ModelFolderError(
            f"{folder} has no fitted heads, hence no held-out items to calibrate on; fit some "
            f"with: likra-lite fit ITEMS --model {folder} --out DIR"
        )
    with readable(folder):
        held_out = read_tensors(folder, read_manifest(folder), HELD_OUT)
        return LogLikelihoods.of_arrays(held_out), held_out["y"]


def read_training_hashes(folder: Path) -> NDArray[np.uint64]:
    """Return the hashes of the items that the heads of a folder were fitted on, if it has any.

    They are those of :func:`likra_lite.questions.item.content_hashes`.

    Raises
    ------
    ModelFolderError
        If it is no model folder, or damaged.
    """
    manifest = read_manifest(folder)
    if TRAINING not in manifest.files:
        return np.zeros(0, np.uint64)
    with readable(folder):
        return read_tensors(folder, manifest, TRAINING)[HASHES]


def read_saved(folder: Path, n_threads: int | None, known: Iterable[str]) -> Saved:
    """Read a fitted classifier.

    Parameters
    ----------
    folder : Path
    n_threads : int or None
        Takes the place of the stored one.
    known : iterable of str
        Names of parameters that a classifier has.

    Returns
    -------
    Saved

    Raises
    ------
    ModelFolderError
        If the folder is damaged, of another version, or has no fitted heads.
    """
    scorer, decision, rule, settings = read_fitted(folder, n_threads)
    known = list(known)
    with readable(folder):
        parameters = settings["parameters"] | {"n_threads": n_threads}
        for name in parameters:
            check_one_of("parameter", name, known)
        if parameters.get("recipe") is not None:
            parameters["recipe"] = LoraRecipe(**parameters["recipe"])
        if isinstance(parameters.get("prompt"), dict):
            parameters["prompt"] = as_prompt(parameters["prompt"])
        table, y = read_held_out(folder)
        negatives = Negatives(**read_tensors(folder, scorer.model.manifest, NEGATIVES))
        trials = tuple(Trial(**trial) for trial in settings.get("trials", ()))
        fitted = FittedHeads(
            scorer,
            negatives,
            table,
            y,
            settings["n_items"],
            settings["penalty"],
            trials,
            read_training_hashes(folder),
            settings.get("n_examples", 0),
        )
        return Saved(fitted, decision, rule, parameters, settings["n_classes"])
