"""Checkpoints of published shapes with random weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["SHAPES", "Checkpoint", "Weights", "made_once"]

# The sizes of HuggingFaceTB/SmolLM2-135M, meta-llama/Llama-3.2-1B, Qwen/Qwen2.5-0.5B and
# google/gemma-3-270m.
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
    },
    "llama-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
    },
    "gemma-3-270m": {
        "model_type": "gemma3_text",
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 3,
        "vocab_size": 262144,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
    },
}
# Wide enough that choices differ by nats, so that a comparison of their scores means something.
INITIALIZER_RANGE = 0.05
SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder`, after `make` has written it unless it was there."""
    if not folder.exists():
        scratch = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        make(scratch)
        scratch.rename(folder)
    return folder


class Weights(NamedTuple):
    """Numbers of weights, without embeddings.

    Attributes
    ----------
    body : int
        That every token read is multiplied with.
    output : int
        Of the projection to the vocabulary, for every token predicted.
    """

    body: int
    output: int

    def operations(self, n_read: int, n_predicted: int) -> float:
        """Return the operations of a forward pass: an addition and a product for each weight."""
        return 2.0 * (self.body * n_read + self.output * n_predicted)


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face checkpoint and the folder for what is converted from it.

    Attributes
    ----------
    name : str
    folder : Path
    converted : Path
    """

    name: str
    folder: Path
    converted: Path

    @classmethod
    def of_shape(cls, shape: str, cache: Path) -> Checkpoint:
        """Return the random checkpoint of a shape, yet to be made, in the cache."""
        return cls(shape, cache / shape / "checkpoint", cache / shape)

    @classmethod
    def of_folder(cls, folder: Path, cache: Path) -> Checkpoint:
        """Return an existing checkpoint, with a place in the cache of its own."""
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        name = folder.resolve().name
        return cls(name, folder, cache / f"{name}-{digest}")

    def make(self) -> None:
        """Write random weights from seed 0 and a tokenizer, which no engine reads, if missing."""
        made_once(self.folder, lambda folder: _save_random(SHAPES[self.name], folder))

    @property
    def config(self) -> dict[str, Any]:
        """The checkpoint's ``config.json``."""
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.config["vocab_size"]

    @property
    def window(self) -> int:
        """Largest number of tokens in a row."""
        return self.config.get("max_position_embeddings") or self.config["n_positions"]

    def weights(self) -> Weights:
        """Return how many weights every token and every predicted token is multiplied with."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(self.folder))
        embeddings = {
            id(module.weight)
            for module in model.modules()
            if isinstance(module, torch.nn.Embedding)
        }
        output = model.get_output_embeddings().weight
        body = (w for w in model.parameters() if id(w) not in embeddings | {id(output)})
        return Weights(sum(w.numel() for w in body), output.numel())


def _save_random(shape: dict[str, Any], folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    config = AutoConfig.for_model(
        **shape,
        tie_word_embeddings=True,
        initializer_range=INITIALIZER_RANGE,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict.fromkeys(SPECIAL_TOKENS, "!")
    ).save_pretrained(folder)
