"""A fitted classifier in a model folder: heads, settings, held-out scores. No pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.cache import default_cache
from ..engine.folder import atomic_folder, link_or_copy, write_manifest
from ..engine.head import LoraAdapter
from ..engine.onnx import LanguageModel
from ..errors import LikraError, ModelFolderError
from ..prompts import Prompt
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from ..validation import check_one_of
from .negatives import Negatives
from .recipe import LoraRecipe

if TYPE_CHECKING:
    from ..estimator import LikraClassifier

__all__ = [
    "Fitted",
    "is_fitted_folder",
    "load_classifier",
    "read_fitted",
    "read_held_out",
    "save_classifier",
]

SETTINGS = "classifier.json"
HEADS = "heads"
HELD_OUT = "held_out.safetensors"
NEGATIVES = "negatives.safetensors"


def is_fitted_folder(folder: Path) -> bool:
    """Return whether a model folder holds a fitted classifier."""
    return (folder / SETTINGS).is_file()


def save_classifier(classifier: LikraClassifier, folder: Path) -> None:
    """Do the work of :meth:`likra_lite.LikraClassifier.save`."""
    scorer = classifier.scorer_
    settings = {
        "parameters": {
            name: value for name, value in classifier.get_params().items() if name != "model"
        },
        "prompt": scorer.prompt.template,
        "heads": list(scorer.fitted_heads),
        "penalty": classifier.penalty_,
        "n_items": classifier.n_items_,
        "n_classes": len(classifier.classes_),
        "decision": asdict(classifier.decision_),
    }
    for name in scorer.model.manifest.model_files:
        if not (scorer.model.folder / name).is_file():
            raise ModelFolderError(
                f"{scorer.model.folder / name} is gone; fit again with the model where it is now"
            )
    table, drawn = classifier.held_out_, classifier.negatives_
    with atomic_folder(folder) as scratch:
        for name in scorer.model.manifest.model_files:
            link_or_copy(scorer.model.folder / name, scratch / name)
        for head, delta in scorer.deltas.items():
            _write(scratch / HEADS / f"{head}.safetensors", {"delta": delta})
        for head, adapter in scorer.adapters.items():
            _write(scratch / HEADS / f"{head}.safetensors", adapter.tensors())
        _write(
            scratch / HELD_OUT,
            {
                "offsets": table.offsets,
                "n_tokens": table.n_tokens,
                "n_chars": table.n_chars,
                "n_bytes": table.n_bytes,
                "y": classifier.held_out_y_,
                **{f"log_likelihood.{head}": column for head, column in table.heads.items()},
            },
        )
        _write(
            scratch / NEGATIVES,
            {"item": drawn.item, "source": drawn.source, "choice": drawn.choice},
        )
        (scratch / SETTINGS).write_text(
            json.dumps(settings, indent=2, default=_plain) + "\n", encoding="utf-8"
        )
        written = write_manifest(scratch, scorer.model.manifest)
        if written.fingerprint != scorer.model.manifest.fingerprint:
            raise ModelFolderError(
                f"{scorer.model.folder} has been replaced by another model since the heads were "
                "fitted; fit again"
            )


def _plain(value: Any) -> Any:
    """Turn a NumPy number, a recipe or a path among the parameters into plain JSON."""
    if isinstance(value, LoraRecipe):
        return asdict(value)
    return value.item() if isinstance(value, np.generic) else str(value)


def _write(path: Path, tensors: dict[str, Any]) -> None:
    from safetensors.numpy import save

    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))


class Fitted(NamedTuple):
    """What scores, of a folder with heads.

    Attributes
    ----------
    scorer : ChoiceScorer
    decision : Decision
    settings : dict
    """

    scorer: ChoiceScorer
    decision: Decision
    settings: dict[str, Any]


def read_fitted(folder: Path, n_threads: int | None) -> Fitted:
    """Read what scores, without the estimator and what it was fitted on.

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
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        heads = {head: _read(folder / HEADS / f"{head}.safetensors") for head in settings["heads"]}
        scorer = ChoiceScorer(
            model,
            Prompt(settings["prompt"]),
            {head: tensors["delta"] for head, tensors in heads.items() if "delta" in tensors},
            default_cache(),
            {
                head: LoraAdapter.of_tensors(tensors)
                for head, tensors in heads.items()
                if "delta" not in tensors
            },
        )
        return Fitted(scorer, Decision(**settings["decision"]), settings)


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
        held_out = _read(folder / HELD_OUT)
        y = held_out.pop("y")
        heads = {
            name.removeprefix("log_likelihood."): held_out.pop(name)
            for name in sorted(held_out)
            if name.startswith("log_likelihood.")
        }
        return LogLikelihoods(heads=heads, **held_out), y


def _read(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(path)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn whatever a malformed file raises into one error."""
    try:
        yield
    except LikraError:
        raise
    except Exception as error:
        raise ModelFolderError(
            f"{folder} holds a classifier that cannot be read ({type(error).__name__}: {error}); "
            "fit it again"
        ) from error


def load_classifier(
    cls: type[LikraClassifier], folder: Path, n_threads: int | None
) -> LikraClassifier:
    """Do the work of :meth:`likra_lite.LikraClassifier.load`."""
    scorer, decision, settings = read_fitted(folder, n_threads)
    with _readable(folder):
        parameters = settings["parameters"] | {"n_threads": n_threads}
        for name in parameters:
            check_one_of("parameter", name, cls().get_params())
        if parameters.get("recipe") is not None:
            parameters["recipe"] = LoraRecipe(**parameters["recipe"])
        classifier = cls(model=folder.resolve(), **parameters)
        classifier.scorer_ = scorer if classifier.cache else replace(scorer, cache=None)
        classifier.held_out_, classifier.held_out_y_ = read_held_out(folder)
        classifier.negatives_ = Negatives(**_read(folder / NEGATIVES))
        classifier.penalty_ = settings["penalty"]
        classifier.n_items_ = settings["n_items"]
        classifier.classes_ = np.arange(settings["n_classes"])
        key = (classifier.mode, classifier.alpha, classifier.normalization)
        classifier._decided = (key, decision)
        return classifier
