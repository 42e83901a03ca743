"""Which matrices of a decoder LoRA heads adapt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ...errors import ExportError

__all__ = ["Targets", "decoder_layers", "find_targets", "targets_of"]

ATTENTION_NAMES = ("attn", "attention")


@dataclass(frozen=True)
class Targets:
    """Which modules are adapted.

    Attributes
    ----------
    modules : dict of str to (n_in, n_out)
        By their path in the decoder.
    first_layer : int
        The lowest layer with such a module.
    """

    modules: dict[str, tuple[int, int]]
    first_layer: int


def decoder_layers(model: nn.Module, count: int) -> tuple[str, nn.ModuleList]:
    """Return the list of layers and its path in `model`."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise ExportError(f"{type(model).__name__} has no list of {count} layers to adapt")


def _shape(module: nn.Module) -> tuple[int, int] | None:
    """Return (n_in, n_out) of a module that can be adapted, else None."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        n_in, n_out = module.weight.shape
        return int(n_in), int(n_out)
    return None


def find_targets(
    model: PreTrainedModel, names: Sequence[str] | None = None, top_layers: int | None = None
) -> Targets:
    """Find the matrices to adapt.

    Parameters
    ----------
    model : PreTrainedModel
    names : sequence of str, optional
        Last parts of their paths, such as ``up_proj``. By default every matrix of a layer that
        is not part of its attention: the MLP's, as in Hamdan & Yuret (2025).
    top_layers : int, optional
        Adapt only so many layers, the last ones.

    Raises
    ------
    ExportError
        If there are none, or fewer layers.
    """
    total = model.config.num_hidden_layers
    if top_layers is not None and top_layers > total:
        raise ExportError(f"got top_layers={top_layers} but the model has {total} layers")
    first = 0 if top_layers is None else total - top_layers
    prefix, layers = decoder_layers(model, total)
    modules: dict[str, tuple[int, int]] = {}
    lowest = total
    known = set()
    for index in range(first, total):
        for path, module in layers[index].named_modules():
            shape = _shape(module)
            if shape is None:
                continue
            known.add(path)
            if names is None:
                parts = path.split(".")
                chosen = not any(part.endswith(ATTENTION_NAMES) for part in parts)
            else:
                chosen = any(path == name or path.endswith(f".{name}") for name in names)
            if chosen:
                modules[f"{prefix}.{index}.{path}"] = shape
                lowest = min(lowest, index)
    missing = [n for n in names or () if not any(p == n or p.endswith(f".{n}") for p in known)]
    if missing or not modules:
        raise ExportError(
            f"got target modules {list(names or ['of the MLP'])}, but a layer of "
            f"{type(model).__name__} has {sorted(known)}"
        )
    return Targets(modules, lowest)


def targets_of(model: PreTrainedModel, paths: Sequence[str]) -> Targets:
    """Return the targets at given paths, of adapters that were trained elsewhere.

    Raises
    ------
    ExportError
        If a path is none of a matrix in a layer of `model`.
    """
    prefix, layers = decoder_layers(model, model.config.num_hidden_layers)
    every = {
        f"{prefix}.{index}.{path}": (index, shape)
        for index, layer in enumerate(layers)
        for path, module in layer.named_modules()
        for shape in [_shape(module)]
        if shape is not None
    }
    for path in paths:
        if path not in every:
            raise ExportError(
                f"an adapter changes {path}, which is no matrix in a layer of "
                f"{type(model).__name__}; was it trained on another model?"
            )
    lowest = min(every[path][0] for path in paths)
    return Targets({path: every[path][1] for path in paths}, lowest)
