"""The families of decoders that graphs are built for, a table with an entry for each.

An entry says how the settings of ``config.json`` become the parameters of the one block that
all of them share, and where the file's tensors go; see :mod:`.decoder_spec` for both.
"""

from __future__ import annotations

from .family import Family, Key, Part
from .layer_kinds import (
    alternating,
    every_sixth_full,
    positions_by_layer,
    sliding_everywhere,
    sliding_if_used,
)
from .layer_norm_families import LAYER_NORM_FAMILIES

__all__ = ["FAMILIES"]


LLAMA_PARAMETERS = {
    "vocab_size": Key("vocab_size"),
    "hidden_size": Key("hidden_size"),
    "intermediate_size": Key("intermediate_size"),
    "n_layers": Key("num_hidden_layers"),
    "n_heads": Key("num_attention_heads"),
    "n_kv_heads": lambda config: config.get("num_key_value_heads"),
    "head_size": lambda config: config.get("head_dim"),
    "max_length": Key("max_position_embeddings"),
    "norm_eps": Key("rms_norm_eps", 1e-6),
    "activation": Key("hidden_act", "silu"),
}
LLAMA_PARTS: dict[str, str | Part] = {
    "embedding": "model.embed_tokens",
    "attention_norm": "model.layers.{}.input_layernorm",
    "query": "model.layers.{}.self_attn.q_proj",
    "key": "model.layers.{}.self_attn.k_proj",
    "value": "model.layers.{}.self_attn.v_proj",
    "attention_output": "model.layers.{}.self_attn.o_proj",
    "mlp_norm": "model.layers.{}.post_attention_layernorm",
    "gate": "model.layers.{}.mlp.gate_proj",
    "up": "model.layers.{}.mlp.up_proj",
    "down": "model.layers.{}.mlp.down_proj",
    "final_norm": "model.norm",
    "output": "lm_head",
}
HEAD_NORMS: dict[str, str | Part] = {
    "query_norm": "model.layers.{}.self_attn.q_norm",
    "key_norm": "model.layers.{}.self_attn.k_norm",
}

GEMMA_PARAMETERS = {
    **LLAMA_PARAMETERS,
    "embedding_scale": lambda config: config["hidden_size"] ** 0.5,
    "activation": lambda config: (
        config.get("hidden_activation") or config.get("hidden_act", "gelu_pytorch_tanh")
    ),
}
GEMMA_2_PARAMETERS = {
    **GEMMA_PARAMETERS,
    "norm_after": True,
    "attention_scale": lambda config: config.get("query_pre_attn_scalar", 256) ** -0.5,
    "attention_softcap": lambda config: config.get("attn_logit_softcapping"),
    "logit_softcap": lambda config: config.get("final_logit_softcapping"),
}
GEMMA_2_PARTS = {
    **LLAMA_PARTS,
    "attention_post_norm": "model.layers.{}.post_attention_layernorm",
    "mlp_norm": "model.layers.{}.pre_feedforward_layernorm",
    "mlp_post_norm": "model.layers.{}.post_feedforward_layernorm",
}


FAMILIES: dict[str, Family] = {
    **LAYER_NORM_FAMILIES,
    "llama": Family(
        "LlamaForCausalLM",
        LLAMA_PARAMETERS,
        LLAMA_PARTS,
        expected={"rope_interleaved": False},
        noted=("attention_bias", "mlp_bias", "is_llama_config"),
    ),
    "mistral": Family(
        "MistralForCausalLM", LLAMA_PARAMETERS, LLAMA_PARTS, layers=sliding_everywhere
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM",
        LLAMA_PARAMETERS,
        LLAMA_PARTS,
        layers=sliding_if_used,
        expected={"use_mrope": False},
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {**LLAMA_PARAMETERS, "head_size": Key("head_dim", 128), "qk_norm": "head"},
        {**LLAMA_PARTS, **HEAD_NORMS},
        layers=sliding_if_used,
    ),
    "gemma": Family(
        "GemmaForCausalLM",
        {**GEMMA_PARAMETERS, "head_size": Key("head_dim", 256)},
        LLAMA_PARTS,
        tied=True,
        norm_offset=1.0,
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        {
            **GEMMA_2_PARAMETERS,
            "head_size": Key("head_dim", 256),
            "attention_softcap": lambda config: config.get("attn_logit_softcapping", 50.0),
            "logit_softcap": lambda config: config.get("final_logit_softcapping", 30.0),
        },
        GEMMA_2_PARTS,
        layers=alternating,
        tied=True,
        norm_offset=1.0,
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        {**GEMMA_2_PARAMETERS, "head_size": Key("head_dim", 256), "qk_norm": "head"},
        {**GEMMA_2_PARTS, **HEAD_NORMS},
        layers=every_sixth_full,
        expected={"use_bidirectional_attention": False},
        tied=True,
        norm_offset=1.0,
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        LLAMA_PARAMETERS,
        LLAMA_PARTS,
        layers=positions_by_layer,
        noted=("attention_bias", "mlp_bias", "max_window_layers"),
        tied=True,
    ),
    "olmo2": Family(
        "Olmo2ForCausalLM",
        {
            **LLAMA_PARAMETERS,
            "norm_eps": Key("rms_norm_eps", 1e-5),
            "norm_before": False,
            "norm_after": True,
            "qk_norm": "all",
        },
        {
            **{part: path for part, path in LLAMA_PARTS.items() if not part.endswith("_norm")},
            **HEAD_NORMS,
            "attention_post_norm": "model.layers.{}.post_attention_layernorm",
            "mlp_post_norm": "model.layers.{}.post_feedforward_layernorm",
            "final_norm": "model.norm",
        },
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        {**LLAMA_PARAMETERS, "norm_eps": Key("rms_norm_eps", 1e-5), "mlp": "fused"},
        {
            **{part: path for part, path in LLAMA_PARTS.items() if part not in ("gate", "up")},
            "query": Part("model.layers.{}.self_attn.qkv_proj", "groups", 0),
            "key": Part("model.layers.{}.self_attn.qkv_proj", "groups", 1),
            "value": Part("model.layers.{}.self_attn.qkv_proj", "groups", 2),
            "gate_up": "model.layers.{}.mlp.gate_up_proj",
        },
        layers=sliding_everywhere,
        expected={"full_attn_mod": 1, "interpolate_factor": 1},
        noted=("attention_bias", "mlp_bias", "lm_head_bias"),
    ),
    "granite": Family(
        "GraniteForCausalLM",
        {
            **LLAMA_PARAMETERS,
            "attention_scale": Key("attention_multiplier", 1.0),
            "embedding_scale": Key("embedding_multiplier", 1.0),
            "residual_scale": Key("residual_multiplier", 1.0),
            "logit_scale": lambda config: 1 / config.get("logits_scaling", 1.0),
        },
        LLAMA_PARTS,
    ),
}
