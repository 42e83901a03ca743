"""Metadata of GGUF files as the settings of a ``config.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ExportError
from .gguf_file import GgufFile

__all__ = ["ARCHITECTURES", "GgufFamily", "describe"]

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
SLIDING, FULL = "sliding_attention", "full_attention"
# Of no effect on what a model computes when it reads a text.
HARMLESS = frozenset(("vocab_size", "tensor_data_layout", "pooling_type", "rope.scaling.finetuned"))
LLAMA_TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.{}.attn_norm": "model.layers.{}.input_layernorm",
    "blk.{}.attn_q": "model.layers.{}.self_attn.q_proj",
    "blk.{}.attn_k": "model.layers.{}.self_attn.k_proj",
    "blk.{}.attn_v": "model.layers.{}.self_attn.v_proj",
    "blk.{}.attn_q_norm": "model.layers.{}.self_attn.q_norm",
    "blk.{}.attn_k_norm": "model.layers.{}.self_attn.k_norm",
    "blk.{}.attn_output": "model.layers.{}.self_attn.o_proj",
    "blk.{}.ffn_norm": "model.layers.{}.post_attention_layernorm",
    "blk.{}.ffn_gate": "model.layers.{}.mlp.gate_proj",
    "blk.{}.ffn_up": "model.layers.{}.mlp.up_proj",
    "blk.{}.ffn_down": "model.layers.{}.mlp.down_proj",
}
GEMMA_2_TENSORS = {
    **LLAMA_TENSORS,
    "blk.{}.post_attention_norm": "model.layers.{}.post_attention_layernorm",
    "blk.{}.ffn_norm": "model.layers.{}.pre_feedforward_layernorm",
    "blk.{}.post_ffw_norm": "model.layers.{}.post_feedforward_layernorm",
}
PHI_TENSORS = {
    **LLAMA_TENSORS,
    "blk.{}.attn_qkv": "model.layers.{}.self_attn.qkv_proj",
    "blk.{}.ffn_up": "model.layers.{}.mlp.gate_up_proj",
}


class Settings:
    """The metadata of one architecture; remembers what was asked for."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        prefix = f"{architecture}."
        self.values = {
            name.removeprefix(prefix): value
            for name, value in file.metadata.items()
            if name.startswith(prefix)
        }
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or `default` where there is none."""
        self.asked.add(name)
        return self.values.get(name, default)

    def number(self, name: str, default: Any = None) -> Any:
        """Return a number, which may be given for every layer if it is the same for all."""
        value = self.get(name, default)
        if value is None:
            raise ExportError(f"the file does not say {name}")
        if isinstance(value, np.ndarray):
            if len(set(value.tolist())) != 1:
                raise ExportError(f"{name} differs from layer to layer, which is not known")
            value = value[0].item()
        return value

    def expect(self, name: str, value: Any) -> None:
        """Raise ExportError if a setting is there and is not `value`, the only known one."""
        got = self.get(name, value)
        if got != value:
            raise ExportError(f"the file has {name}={got!r}; only {value!r} is known")

    def check_all_understood(self) -> None:
        """Raise ExportError if there is a setting that nobody asked for."""
        left = sorted(self.values.keys() - self.asked - HARMLESS)
        if left:
            raise ExportError(f"the file has settings that are not known: {', '.join(left[:3])}")


Config = dict[str, Any]


@dataclass(frozen=True)
class GgufFamily:
    """How the files of one architecture differ from Hugging Face's of the same model.

    Parameters
    ----------
    model_type : str
        What ``config.json`` calls it.
    tensors : mapping of str to str
        Names without ``.weight`` and ``.bias``, with ``{}`` for the layer, to Hugging Face's.
    special : callable
        Returns further settings, of the metadata and of those that all have.
    neighbours : bool
        Whether rotary embeddings turn neighbouring rows of queries and keys.
    norm_offset : float
        What the weights of norms have more.
    """

    model_type: str
    tensors: dict[str, str] = field(default_factory=lambda: LLAMA_TENSORS)
    special: Callable[[Settings, Config], Config] = lambda settings, config: {}
    neighbours: bool = False
    norm_offset: float = 0.0


def describe(file: GgufFile) -> tuple[str, Config]:
    """Return a file's architecture, and what ``config.json`` of the same model would say.

    Raises
    ------
    ExportError
        If the file is no language model of a known architecture, or a setting is not known.
    """
    architecture = file.metadata.get("general.architecture")
    kind = file.metadata.get("general.type", "model")
    if kind != "model":
        raise ExportError(f"the file is of type {kind!r}; a whole model is needed")
    if "moe" in str(architecture) or file.metadata.get(f"{architecture}.expert_count", 0):
        raise ExportError("a mixture of experts cannot be exported")
    if architecture not in ARCHITECTURES:
        raise ExportError(
            f"GGUF files of architecture {architecture!r} are not known; known are "
            f"{', '.join(ARCHITECTURES)}"
        )
    if EMBEDDING not in file.tensors:
        raise ExportError(f"the file has no tensor {EMBEDDING}")
    family, settings = ARCHITECTURES[architecture], Settings(file, architecture)
    config = _common(file, settings)
    config |= {"model_type": family.model_type, **family.special(settings, config)}
    config["rope_scaling"] = _scaling(file, settings)
    settings.check_all_understood()
    return architecture, config


def _common(file: GgufFile, settings: Settings) -> Config:
    hidden, heads = settings.number("embedding_length"), settings.number("attention.head_count")
    head_size = settings.number("attention.key_length", hidden // heads)
    settings.expect("attention.value_length", head_size)
    settings.expect("attention.causal", True)
    settings.expect("expert_count", 0)
    settings.expect("expert_used_count", 0)
    config = {
        "vocab_size": file.tensors[EMBEDDING].shape[0],
        "hidden_size": hidden,
        "intermediate_size": settings.number("feed_forward_length"),
        "num_hidden_layers": settings.number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": settings.number("attention.head_count_kv", heads),
        "head_dim": head_size,
        "max_position_embeddings": settings.number("context_length"),
        "rms_norm_eps": settings.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": settings.number("rope.freq_base", 10_000.0),
        "tie_word_embeddings": OUTPUT not in file.tensors,
    }
    rotated = settings.number("rope.dimension_count", head_size)
    if rotated != head_size:
        config["partial_rotary_factor"] = rotated / head_size
    return config


def _scaling(file: GgufFile, settings: Settings) -> Config | None:
    """Return ``rope_scaling``."""
    factor = settings.get("rope.scaling.factor", settings.get("rope.scale_linear"))
    kind = settings.get("rope.scaling.type", "linear" if factor else "none")
    original = settings.get("rope.scaling.original_context_length")
    divisors = {
        length: file.read(name).tolist()
        for length in ("short", "long")
        if (name := f"rope_factors_{length}.weight") in file.tensors
    }
    if len(divisors) == 2:
        return {
            "rope_type": "longrope",
            "short_factor": divisors["short"],
            "long_factor": divisors["long"],
            "original_max_position_embeddings": original,
            "attention_factor": settings.get("rope.scaling.attn_factor"),
        }
    settings.expect("rope.scaling.attn_factor", 1.0)
    if "rope_freqs.weight" in file.tensors:
        # Llama 3 stretches wavelengths by parts; the file has what comes out of that, a divisor
        # for each frequency, which is what LongRoPE has.
        divided = file.read("rope_freqs.weight").tolist()
        return {"rope_type": "longrope", "short_factor": divided, "attention_factor": 1.0}
    if kind == "none":
        return None
    if kind == "linear":
        return {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        return {
            "rope_type": kind,
            "factor": factor,
            "original_max_position_embeddings": original,
        }
    raise ExportError(f"rotary embeddings scaled by {kind!r} are not known")


def _llama(settings: Settings, config: Config) -> Config:
    if "partial_rotary_factor" in config:
        raise ExportError("a llama whose heads are rotated in part is not known")
    return {}


def _gemma(settings: Settings, config: Config) -> Config:
    return {"hidden_activation": "gelu_pytorch_tanh"}


def _gemma_2(settings: Settings, config: Config) -> Config:
    return {
        **_gemma(settings, config),
        "query_pre_attn_scalar": _query_scale(config, layers_of_27b=46),
        "sliding_window": settings.number("attention.sliding_window", 4096),
        "attn_logit_softcapping": settings.number("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": settings.number("final_logit_softcapping", 30.0),
        "layer_types": _layer_types(settings, config, every=2),
    }


def _gemma_3(settings: Settings, config: Config) -> Config:
    window = settings.number("attention.sliding_window", 0)
    layers = config["num_hidden_layers"]
    return {
        **_gemma(settings, config),
        "query_pre_attn_scalar": _query_scale(config, layers_of_27b=62),
        "final_logit_softcapping": settings.get("final_logit_softcapping"),
        "rope_local_base_freq": settings.number("rope.freq_base_swa", 10_000.0),
        "sliding_window": window or None,
        "layer_types": _layer_types(settings, config, every=6) if window else [FULL] * layers,
    }


def _phi(settings: Settings, config: Config) -> Config:
    return {"sliding_window": settings.number("attention.sliding_window", 0) or None}


def _query_scale(config: Config, layers_of_27b: int) -> int:
    """Return what queries are scaled by the root of: only the largest model has another."""
    if config["num_hidden_layers"] == layers_of_27b:
        return int(config["hidden_size"] // config["num_attention_heads"])
    return int(config["head_dim"])


def _layer_types(settings: Settings, config: Config, every: int) -> list[str]:
    """Return the kind of each layer: every n-th sees all, or as the file says of each."""
    pattern = settings.get("attention.sliding_window_pattern", every)
    layers = range(config["num_hidden_layers"])
    if isinstance(pattern, np.ndarray):
        if len(pattern) != len(layers):
            raise ExportError(f"the file says of {len(pattern)} layers whether they have a window")
        return [SLIDING if slides else FULL for slides in pattern]
    return [SLIDING if (layer + 1) % pattern else FULL for layer in layers]


ARCHITECTURES = {
    "llama": GgufFamily("llama", special=_llama, neighbours=True),
    "qwen2": GgufFamily("qwen2"),
    "qwen3": GgufFamily("qwen3"),
    "gemma": GgufFamily("gemma", special=_gemma, norm_offset=1.0),
    "gemma2": GgufFamily("gemma2", GEMMA_2_TENSORS, _gemma_2, norm_offset=1.0),
    "gemma3": GgufFamily("gemma3_text", GEMMA_2_TENSORS, _gemma_3, norm_offset=1.0),
    "phi3": GgufFamily("phi3", PHI_TENSORS, _phi),
}
