"""A small checkpoint, for exports that take a second: a Llama with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from likra_lite.datasets.demo import bundled_model

SIZE, INNER, LAYERS, HEADS = 64, 128, 2, 4


def write_checkpoint(folder: Path) -> Path:
    """Write a checkpoint with the bundled model's tokenizer."""
    folder.mkdir(parents=True)
    shutil.copy(bundled_model() / "tokenizer.json", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    first = next(t["content"] for t in tokenizer["added_tokens"] if t["id"] == 0)
    settings = {"bos_token": first, "eos_token": first, "tokenizer_class": "LlamaTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    vocabulary = json.loads((bundled_model() / "likra.json").read_text())["vocab_size"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": SIZE,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": vocabulary,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / 8).astype(np.float32)

    tensors = {
        "model.embed_tokens.weight": matrix(vocabulary, SIZE),
        "model.norm.weight": np.ones(SIZE, np.float32),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name in "qkvo":
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = matrix(SIZE, SIZE)
        for name, shape in (
            ("gate", (INNER, SIZE)),
            ("up", (INNER, SIZE)),
            ("down", (SIZE, INNER)),
        ):
            tensors[f"{prefix}mlp.{name}_proj.weight"] = matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{name}.weight"] = np.ones(SIZE, np.float32)
    save_file(tensors, folder / "model.safetensors")
    return folder
