"""Adapters as PEFT stores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.head import Lora
from ..errors import ModelFolderError

__all__ = ["factors_of", "read_peft_folder"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
SIDES = {"lora_A.weight": 0, "lora_B.weight": 1}


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
        b = np.ascontiguousarray(up.T) * np.float32(scale(module))
        factors[module] = (np.ascontiguousarray(down.T), b)
    return Lora(factors)


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
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
        rank, alpha = config["r"], config["lora_alpha"]
        ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{folder / CONFIG} cannot be read ({type(error).__name__}: {error})"
        ) from None
    odd = [
        name
        for name, plain in (("use_dora", False), ("bias", "none"), ("modules_to_save", None))
        if config.get(name, plain) != plain
    ]
    if kind != "LORA" or odd:
        what = f"{odd[0]}={config[odd[0]]!r}" if odd else f"peft_type={kind!r}"
        raise ModelFolderError(f"{folder} has {what}; only plain LoRA adapters can be imported")

    def pattern(table: Mapping[str, float], module: str, default: float) -> float:
        return next(
            (v for k, v in table.items() if module == k or module.endswith(f".{k}")), default
        )

    def scale(module: str) -> float:
        r = pattern(ranks, module, rank)
        divisor = r**0.5 if config.get("use_rslora") else r
        return pattern(alphas, module, alpha) / divisor

    from safetensors.torch import load_file  # NumPy has no bfloat16

    try:
        tensors = {
            name: tensor.float().numpy() for name, tensor in load_file(folder / WEIGHTS).items()
        }
    except Exception as error:
        raise ModelFolderError(f"{folder / WEIGHTS} cannot be read: {error}") from None
    return factors_of(tensors, scale), config
