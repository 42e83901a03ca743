"""Adapters as PEFT stores them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.head import Lora
from ..errors import LikraError, ModelFolderError
from ..system.safetensors_file import FLOATS, as_float32
from .peft_config import PeftConfig
from .recipe import LoraRecipe

__all__ = ["DOWN", "PREFIX", "UP", "WEIGHTS", "factors_of", "read_peft_folder", "write_peft_folder"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
EMBEDDINGS = re.compile(r"(^|\.)(lm_head|embed_tokens|embed_out|embed_in|wte)\.")
DOWN, UP = "lora_A.weight", "lora_B.weight"
SIDES = {DOWN: 0, UP: 1}


def factors_of(tensors: Mapping[str, NDArray[np.float32]], scale: Callable[[str], float]) -> Lora:
    """Return PEFT's tensors as an adapter.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        ``{module}.lora_A.weight`` of shape (rank, n_in), ``lora_B`` of shape (n_out, rank).
    scale : callable
        From a module to LoRA's scale, which becomes part of the second factor.

    Raises
    ------
    ModelFolderError
        If there is anything else.
    """
    pairs: dict[str, list[NDArray[np.float32] | None]] = {}
    for name, tensor in tensors.items():
        side = next((side for side in SIDES if name.endswith(f".{side}")), None)
        if side is None or tensor.ndim != 2:
            raise ModelFolderError(
                f"got the tensor {name} of shape {tensor.shape}; only plain LoRA matrices "
                "(lora_A and lora_B) can be used"
            )
        module = name.removesuffix(f".{side}").removeprefix(PREFIX)
        pairs.setdefault(module, [None, None])[SIDES[side]] = tensor
    factors = {}
    for module, (down, up) in pairs.items():
        if down is None or up is None:
            raise ModelFolderError(f"{module} has lora_A or lora_B but not both")
        if down.shape[0] != up.shape[1]:
            raise ModelFolderError(
                f"{module} has lora_A of rank {down.shape[0]} but lora_B of rank {up.shape[1]}"
            )
        b = np.ascontiguousarray(up.T) * np.float32(scale(module))
        factors[module] = (np.ascontiguousarray(down.T), b)
    return Lora(factors)


def write_peft_folder(
    folder: Path, tensors: Mapping[str, NDArray[np.float32]], recipe: LoraRecipe, base: str
) -> None:
    """Write an adapter as PEFT does.

    Parameters
    ----------
    folder : Path
    tensors : mapping of str to ndarray
        ``{module}.lora_A.weight`` of shape (rank, n_in), ``lora_B`` of shape (n_out, rank).
    recipe : LoraRecipe
        Rank, scale and dropout.
    base : str
        What the model is called.

    Raises
    ------
    LikraError
        If the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    modules = sorted({name.removesuffix(f".{side}") for name in tensors for side in SIDES})
    modules = [module for module in modules if f"{module}.{DOWN}" in tensors]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": recipe.rank,
        "lora_alpha": recipe.lora_alpha,
        "lora_dropout": recipe.dropout,
        "bias": "none",
        "inference_mode": True,
        "target_modules": modules,
    }
    named = {PREFIX + name: np.ascontiguousarray(value) for name, value in tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(named, str(folder / WEIGHTS), {"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise LikraError(f"cannot write {folder}: {error}") from error


def read_peft_folder(folder: Path) -> tuple[Lora, dict[str, Any]]:
    """Read an adapter that PEFT saved, here or elsewhere.

    Returns
    -------
    adapter : Lora
    config : dict
        Its ``adapter_config.json``.

    Raises
    ------
    ModelFolderError
        If the folder holds none, or one of a kind that is more than low-rank matrices.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} does not exist; expected a folder that PEFT saved")
    if not (folder / CONFIG).is_file():
        inside = sorted(folder.glob(f"**/{CONFIG}"))
        hint = f", such as {inside[-1].parent}" if inside else ""
        raise ModelFolderError(f"{folder} has no {CONFIG}; expected a folder that PEFT saved{hint}")
    if not (folder / WEIGHTS).is_file():
        raise ModelFolderError(
            f"{folder} has no {WEIGHTS}; save the adapter with safe_serialization=True"
        )
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(
            f"{folder / CONFIG} cannot be read ({type(error).__name__}: {error})"
        ) from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{folder / CONFIG} holds no settings")
    config = PeftConfig(content, str(folder))
    from safetensors import deserialize  # which knows bfloat16, without PyTorch

    try:
        read: Any = deserialize
        tensors = {name: _numbers(entry) for name, entry in read((folder / WEIGHTS).read_bytes())}
    except Exception as error:
        raise ModelFolderError(f"{folder / WEIGHTS} cannot be read: {error}") from None
    _check_vocabulary(folder, tensors)
    adapter = factors_of(tensors, config.scale_of)
    for module, (down, _) in adapter.factors.items():
        if down.shape[1] != config.rank_of(module):
            raise ModelFolderError(
                f"{folder} has rank {config.rank_of(module)} for {module} in its settings but "
                f"matrices of rank {down.shape[1]}"
            )
    return adapter, content


def _numbers(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return a tensor of a safetensors file, in memory of its own."""
    values = np.frombuffer(entry["data"], FLOATS[entry["dtype"]])
    return as_float32(values, entry["dtype"]).reshape(entry["shape"]).copy()


def _check_vocabulary(folder: Path, tensors: Mapping[str, Any]) -> None:
    """Raise ModelFolderError if embeddings were saved too, as PEFT does when they have grown."""
    whole = [name for name in tensors if ".lora_" not in name and EMBEDDINGS.search(name)]
    if whole:
        raise ModelFolderError(
            f"{folder} holds {whole[0].removeprefix(PREFIX)}, as PEFT saves it when tokens were "
            "added; if there were none, save the adapter with save_embedding_layers=False, and "
            "else merge it into the model (merge_and_unload) and export that"
        )
