"""Small random Hugging Face checkpoints of many architectures, made on the spot.

PyTorch and transformers make them. Where these are not installed, a checkpoint that
``recorded.json`` has is made of the settings and shapes that stand there; tests that want another
one are skipped. See :mod:`recording`.
"""

from __future__ import annotations

import importlib.util
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

WITH_PYTORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
WHY_NOT = "needs PyTorch and transformers"
needs_pytorch = pytest.mark.skipif(not WITH_PYTORCH, reason=WHY_NOT)

RECORDED = Path(__file__).with_name("recorded.json")
DRAWN_AS = "drawn_as.txt"  # in a checkpoint: its name in the records

TEXT = [
    "Which part of a plant takes in water? The roots take in water from the soil.",
    "Ice melts when it gets warm, and the puddle dries up in the sun.",
    "Question: What do bees make? Answer: honey, wax, noise and trouble.",
    "The teacher opened the window because the classroom was too hot.",
    "A magnet pulls iron nails; it does not pull wooden spoons or paper cups.",
]

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
}
# Weights large enough that scores depend on every token, and windows small enough to matter.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "num_key_value_heads": 2, "initializer_range": 0.2},
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 1024,
        "initializer_range": 0.2,
    },
    "gpt_neox": {**SMALL, "rotary_pct": 0.5, "initializer_range": 0.2},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "max_position_embeddings": 1024,
        "initializer_range": 0.2,
    },
    "qwen2": {**SMALL, "num_key_value_heads": 2, "initializer_range": 0.2},
    "qwen3": {**SMALL, "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.2},
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 1024,
        "init_std": 0.2,
    },
    "mistral": {**SMALL, "num_key_value_heads": 2, "sliding_window": 8, "initializer_range": 0.2},
    "gemma2": {
        **SMALL,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": 8,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
        "initializer_range": 0.2,
    },
    "phi": {**SMALL, "partial_rotary_factor": 0.5, "initializer_range": 0.2},
    "phi3": {**SMALL, "initializer_range": 0.2},
    "olmo2": {**SMALL, "initializer_range": 0.2},
    "starcoder2": {**SMALL, "initializer_range": 0.2},
    "granite": {
        **SMALL,
        "num_key_value_heads": 2,
        "logits_scaling": 3.0,
        "initializer_range": 0.2,
    },
    "gemma": {**SMALL, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.2},
    "smollm3": {
        **SMALL,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.2,
    },
    "gemma3_text": {
        **SMALL,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": 8,
        "initializer_range": 0.2,
    },
}


# Rotary embeddings of pairs of neighbours, of a part of each head, and both.
ARCHITECTURES["cohere"] = {**ARCHITECTURES["llama"], "logit_scale": 0.25}
ARCHITECTURES["glm"] = {**ARCHITECTURES["llama"], "head_dim": 8, "partial_rotary_factor": 0.5}


def save_tokenizer(folder: Path, *, prepend_bos: bool = False, metaspace: bool = False) -> int:
    """Train a small BPE tokenizer, save it, and return its vocabulary size.

    Byte-level like GPT-2's, or with spaces as a letter and byte fallback like Llama 2's.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    if metaspace:
        tokenizer = Tokenizer(models.BPE(unk_token="<s>", byte_fallback=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if prepend_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    if WITH_PYTORCH:
        from transformers import PreTrainedTokenizerFast

        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer.save(str(folder / "tokenizer.json"))  # whatever transformers made of it
    return tokenizer.get_vocab_size()


def save_checkpoint(
    model_type: str,
    folder: Path,
    *,
    prepend_bos: bool = False,
    saving: dict[str, Any] | None = None,
    dtype: str = "float32",
    **changes: Any,
) -> Path:
    """Save a random checkpoint with its tokenizer, and return its folder."""
    if not WITH_PYTORCH:
        if saving or dtype != "float32":
            pytest.skip(WHY_NOT)
        return save_drawn(model_type, folder, prepend_bos=prepend_bos, **changes)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = save_tokenizer(folder, prepend_bos=prepend_bos)
    settings = {**ARCHITECTURES.get(model_type, {}), **changes}
    config = AutoConfig.for_model(
        model_type,
        vocab_size=vocabulary,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **settings,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, which would all be alike
                parameter += 0.1 * torch.randn(parameter.shape)
    model.to(getattr(torch, dtype)).save_pretrained(folder, **(saving or {}))
    return folder


def save_drawn(model_type: str, folder: Path, *, prepend_bos: bool = False, **changes: Any) -> Path:
    """Save a checkpoint whose weights depend on nothing but their names and shapes."""
    how = {**changes, "prepend_bos": True} if prepend_bos else changes
    name = f"{model_type} {json.dumps(how, sort_keys=True)}"
    path = folder / "model.safetensors"
    if WITH_PYTORCH:
        save_checkpoint(model_type, folder, prepend_bos=prepend_bos, **changes)
        shapes = {name: tensor.shape for name, tensor in load_file(path).items()}
    elif name in (known := records()["checkpoints"]):
        save_tokenizer(folder, prepend_bos=prepend_bos)
        (folder / "config.json").write_text(json.dumps(known[name]["config"]))
        shapes = known[name]["shapes"]
    else:
        pytest.skip(WHY_NOT)
    offset = 0.0 if model_type.startswith("gemma") else 1.0
    tensors = {tensor: _draw(tensor, shape, offset) for tensor, shape in shapes.items()}
    save_file(tensors, path, {"format": "pt"})
    (folder / DRAWN_AS).write_text(name)
    return folder


def _draw(name: str, shape: tuple[int, ...], offset: float) -> np.ndarray:
    """Draw a matrix, a bias, or the weight of a norm, which is around `offset`."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) > 1:
        return rng.normal(0.0, 0.2, shape).astype(np.float32)
    return rng.normal(offset * name.endswith("weight"), 0.1, shape).astype(np.float32)


@cache
def records() -> dict[str, Any]:
    """Return ``recorded.json``.

    It has settings, shapes and PyTorch's scores of some checkpoints, and the questions scored.
    """
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def settings_of(checkpoint: Path) -> dict[str, Any]:
    """Return ``config.json`` as transformers 4 writes it, where that was recorded."""
    named = checkpoint / DRAWN_AS
    record = records()["checkpoints"].get(named.read_text()) if named.is_file() else None
    return record["config"] if record else json.loads((checkpoint / "config.json").read_text())
