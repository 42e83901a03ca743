"""A fitted classifier in a model folder: heads, settings, held-out scores. No pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..engine.cache import default_cache
from ..engine.folder import atomic_folder, link_or_copy, write_manifest
from ..engine.head import head_of_tensors
from ..engine.onnx import LanguageModel
from ..errors import ModelFolderError
from ..prompts import Prompt, as_prompt
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
from .training_set import FittedHeads

__all__ = [
    "Fitted",
    "Saved",
    "is_fitted_folder",
    "read_fitted",
    "read_held_out",
    "read_saved",
    "save_heads",
]

SETTINGS = "classifier.json"
VERSION = 2  # of these settings; 1 had no fitted weights and no version
HEADS = "heads"
HELD_OUT = "held_out.safetensors"
NEGATIVES = "negatives.safetensors"


def is_fitted_folder(folder: Path) -> bool:
    """Return whether a model folder holds a fitted classifier."""
    return (folder / SETTINGS).is_file()


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
        "parameters": saved.parameters,
        "prompt": fitted.scorer.prompt.settings(),
        "heads": list(fitted.scorer.fitted),
        "penalty": fitted.penalty,
        "n_items": fitted.n_items,
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
    with atomic_folder(folder) as scratch:
        for name in model.manifest.model_files:
            link_or_copy(model.folder / name, scratch / name)
        for name, head in fitted.scorer.fitted.items():
            _write(scratch / HEADS / f"{name}.safetensors", head.tensors())
        _write(scratch / HELD_OUT, {**table.to_arrays(), "y": fitted.y})
        _write(
            scratch / NEGATIVES,
            {"item": drawn.item, "source": drawn.source, "choice": drawn.choice},
        )
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


def _write(path: Path, tensors: dict[str, Any]) -> None:
    from safetensors.numpy import save

    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))


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
    with _readable(folder):
        text = (folder / SETTINGS).read_text(encoding="utf-8")
        settings = json.loads(text, parse_constant=_refuse_constant)
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
            name: head_of_tensors(_read_finite(folder / HEADS / f"{name}.safetensors"))
            for name in settings["heads"]
        }
        scorer = ChoiceScorer(model, as_prompt(settings["prompt"]), heads, default_cache())
        return Fitted(scorer, decision, rule, settings)


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
    with _readable(folder):
        held_out = _read_finite(folder / HELD_OUT)
        return LogLikelihoods.of_arrays(held_out), held_out["y"]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _read_finite(path: Path) -> dict[str, Any]:
    tensors = _read(path)
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} in {path.name} holds numbers that are none")
    return tensors


def _read(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(path)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn whatever a malformed file raises into one error."""
    try:
        yield
    except ModelFolderError:
        raise
    except Exception as error:
        raise ModelFolderError(
            f"{folder} holds a classifier that cannot be read ({type(error).__name__}: {error}); "
            "fit it again"
        ) from error


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
    with _readable(folder):
        parameters = settings["parameters"] | {"n_threads": n_threads}
        for name in parameters:
            check_one_of("parameter", name, known)
        if parameters.get("recipe") is not None:
            parameters["recipe"] = LoraRecipe(**parameters["recipe"])
        if isinstance(parameters.get("prompt"), dict):
            parameters["prompt"] = as_prompt(parameters["prompt"])
        table, y = read_held_out(folder)
        negatives = Negatives(**_read(folder / NEGATIVES))
        fitted = FittedHeads(scorer, negatives, table, y, settings["n_items"], settings["penalty"])
        return Saved(fitted, decision, rule, parameters, settings["n_classes"])
