"""Files of a fitted folder: tensors, with the checksum of the model that they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..engine.folder import unchanged
from ..engine.manifest import Manifest
from ..errors import ModelFolderError
from ..validation import check_one_of
from .settings import FITTED_HEADS

__all__ = [
    "HASHES",
    "HELD_OUT",
    "NEGATIVES",
    "SETTINGS",
    "TRAINING",
    "VERSION",
    "check_identity",
    "head_file",
    "read_json",
    "read_tensors",
    "readable",
    "write_tensors",
]

SETTINGS = "classifier.json"
# Of these settings; 1 had no fitted weights and no version, 2 did not tell the model.
VERSION = 3
HASHES = "hashes"
HELD_OUT = "held_out.safetensors"
NEGATIVES = "negatives.safetensors"
TRAINING = "training.safetensors"  # hashes of the items; not in folders of earlier versions
MODEL = "model"  # in the metadata: the fingerprint of the model


def head_file(name: str) -> str:
    """Return where a head is stored, if there may be a head of this name."""
    check_one_of("head", name, FITTED_HEADS)
    return f"heads/{name}.safetensors"


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], model: str) -> None:
    """Write arrays that belong to the model of this fingerprint."""
    from safetensors.numpy import save

    path.parent.mkdir(exist_ok=True)
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    path.write_bytes(save(arrays, {MODEL: model}))


def read_tensors(folder: Path, manifest: Manifest, name: str) -> dict[str, NDArray[Any]]:
    """Read a file of :func:`write_tensors`.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    name : str
        Of the file, in the folder.

    Raises
    ------
    ModelFolderError
        If the manifest does not list the file, or it belongs to another model.
    ValueError
        If a number is none.
    """
    from safetensors import safe_open

    path = folder / name
    with unchanged(folder, manifest, name), safe_open(path, framework="np") as stored:
        check_identity(path, manifest, (stored.metadata() or {}).get(MODEL))
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    for key, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{key} in {path.name} holds numbers that are none")
    return tensors


def read_json(folder: Path, manifest: Manifest, name: str) -> dict[str, Any]:
    """Read settings.

    Raises
    ------
    ModelFolderError
        If the manifest does not list the file.
    ValueError
        If it is no JSON object, or a number in it is none.
    """
    path = folder / name
    with unchanged(folder, manifest, name):
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    if not isinstance(content, dict):
        raise ValueError(f"{name} holds no settings")
    return content


def check_identity(path: Path, manifest: Manifest, model: str | None) -> None:
    """Raise ModelFolderError if what was fitted on one model lies in the folder of another.

    None, in folders of earlier versions, tells nothing.
    """
    if model not in (None, manifest.fingerprint):
        raise ModelFolderError(
            f"{path} was fitted on another model than the one in its folder; fit again"
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


@contextmanager
def readable(folder: Path) -> Iterator[None]:
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
