"""Differences between layers: windows, and rotary embeddings of their own.

Each function takes a configuration, the number of layers and the size of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ExportError
from ..checkpoint.config_file import ConfigFile
from .decoder_spec import LayerSpec, Rotary
from .rotary import RotarySettings, make_rotary, original_window

__all__ = [
    "alternating",
    "every_sixth_full",
    "global_and_local",
    "learned",
    "longest",
    "partly_rotary",
    "positions_by_layer",
    "rotary_everywhere",
    "sliding_everywhere",
    "sliding_if_used",
]

SLIDING, FULL = "sliding_attention", "full_attention"

Layers = tuple[LayerSpec, ...]


def _scaling(config: ConfigFile, kind: str | None = None) -> dict[str, Any]:
    """Return ``rope_scaling``, or its successor ``rope_parameters``, of a kind of layers."""
    newer, older = config.get("rope_parameters"), config.get("rope_scaling")
    if newer and older and newer != older:
        raise ExportError("config.json has rope_scaling and other rope_parameters; expected one")
    newer = newer or {}
    return {**(older or {}), **newer.get(kind, newer)}


def _rotary(config: ConfigFile, head_size: int, theta: float, scaling: Mapping[str, Any]) -> Rotary:
    """Return a rotary embedding; `theta` is the base where the scaling says none."""
    said = config.get("partial_rotary_factor", 1.0)
    fraction = scaling.get("partial_rotary_factor") or said
    return make_rotary(
        RotarySettings(
            size=int(head_size * fraction),
            theta=float(scaling.get("rope_theta") or theta),
            scaling=scaling,
            max_length=config["max_position_embeddings"],
            original_max_length=config.get("original_max_position_embeddings"),
        )
    )


def _usual_rotary(config: ConfigFile, head_size: int, theta: float = 10_000.0) -> Rotary:
    return _rotary(config, head_size, config.get("rope_theta", theta), _scaling(config))


def longest(config: ConfigFile, max_length: int) -> int:
    """Return the number of tokens that rotary embeddings are good for, at most `max_length`."""
    original = config.get("original_max_position_embeddings")
    return original_window(_scaling(config), original) or max_length


def _kinds(config: ConfigFile, usual: Sequence[str]) -> Sequence[str]:
    """Return the kind of every layer: ``layer_types``, or else `usual`."""
    kinds = config.get("layer_types") or usual
    unknown = set(kinds) - {SLIDING, FULL}
    if unknown:
        raise ExportError(f"config.json has layers of kind {sorted(unknown)[0]!r}, not known")
    if len(kinds) != len(usual):
        raise ExportError(f"config.json has {len(kinds)} layer_types for {len(usual)} layers")
    return kinds


def _windows(config: ConfigFile, usual: Sequence[str], window: int | None) -> list[int | None]:
    """Return the window of every layer."""
    return [window if kind == SLIDING else None for kind in _kinds(config, usual)]


def learned(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """Positions come with the embeddings."""
    return (LayerSpec(),) * n_layers


def global_and_local(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """GPT-Neo: learned positions, and a window in the layers that are called local."""
    kinds = config.get("attention_layers")
    if kinds is None:
        kinds = [kind for group, count in config["attention_types"] for kind in group * count]
    windows = {"global": None, "local": config.get("window_size", 256)}
    if len(kinds) != n_layers or not windows.keys() >= {*kinds}:
        raise ExportError(f"config.json has attention_layers {kinds!r} for {n_layers} layers")
    return tuple(LayerSpec(window=windows[kind]) for kind in kinds)


def rotary_everywhere(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """All layers see all tokens."""
    return (LayerSpec(_usual_rotary(config, head_size)),) * n_layers


def partly_rotary(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """GPT-NeoX: a part of each head is rotated."""
    scaling = {"partial_rotary_factor": config.get("rotary_pct", 0.25), **_scaling(config)}
    theta = config.get("rotary_emb_base", 10_000.0)
    return (LayerSpec(_rotary(config, head_size, theta, scaling)),) * n_layers


def sliding_everywhere(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """Mistral, Phi-3: all layers have the window, if there is one."""
    rotary = _usual_rotary(config, head_size)
    windows = _windows(config, [SLIDING] * n_layers, config.get("sliding_window"))
    return tuple(LayerSpec(rotary, window) for window in windows)


def sliding_if_used(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """Qwen: upper layers have the window, if it is switched on."""
    window = config.get("sliding_window", 4096)
    first = config.get("max_window_layers", 28)
    if not config.get("use_sliding_window", False):
        window = None
    rotary = _usual_rotary(config, head_size)
    kinds = [SLIDING if layer >= first else FULL for layer in range(n_layers)]
    return tuple(LayerSpec(rotary, window) for window in _windows(config, kinds, window))


def alternating(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """Gemma 2: every other layer has the window."""
    rotary = _usual_rotary(config, head_size)
    kinds = [FULL if layer % 2 else SLIDING for layer in range(n_layers)]
    windows = _windows(config, kinds, config.get("sliding_window", 4096))
    return tuple(LayerSpec(rotary, window) for window in windows)


def every_sixth_full(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """Gemma 3: layers with the window have rotary embeddings of their own."""
    every = config.get("sliding_window_pattern", config.get("_sliding_window_pattern", 6))
    kinds = [SLIDING if (layer + 1) % every else FULL for layer in range(n_layers)]
    window = config.get("sliding_window", 4096)
    theta = config.get("rope_theta", 1_000_000.0)
    far = LayerSpec(_rotary(config, head_size, theta, _scaling(config, FULL)))
    scaling = (config.get("rope_parameters") or {}).get(SLIDING, {})
    theta = config.get("rope_local_base_freq", 10_000.0)
    near = LayerSpec(_rotary(config, head_size, theta, scaling), window)
    return tuple(near if kind == SLIDING else far for kind in _kinds(config, kinds))


def positions_by_layer(config: ConfigFile, n_layers: int, head_size: int) -> Layers:
    """SmolLM3: some layers know no positions."""
    every = config.get("no_rope_layer_interval", 4)
    placed = config.get("no_rope_layers") or [
        int((layer + 1) % every != 0) for layer in range(n_layers)
    ]
    window = config.get("sliding_window") if config.get("use_sliding_window", False) else None
    kinds = [FULL if known else SLIDING for known in placed]
    rotary = _usual_rotary(config, head_size, 2_000_000.0)
    return tuple(
        LayerSpec(rotary if known else None, window)
        for known, window in zip(placed, _windows(config, kinds, window), strict=True)
    )
