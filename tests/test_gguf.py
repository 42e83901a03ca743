"""Model folders from GGUF files score like PyTorch on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from checkpoints import DRAWN_AS, save_drawn, settings_of
from command_line import run, without_pytorch
from gguf.quants import dequantize, quantize
from gguf_files import byte_level_vocabulary, write_gguf
from reference import difference
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from likra_lite.errors import ExportError
from likra_lite.export import export_model

Kind = gguf.GGMLQuantizationType
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
    "phi3": gguf.MODEL_ARCH.PHI3,
}
LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.5, 2.0, 3.0],
    "long_factor": [1.0, 2.0, 4.0, 8.0],
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in ARCHITECTURES},
    "llama, tied": ("llama", {"tie_word_embeddings": True, "prepend_bos": True}),
    "llama, all heads": ("llama", {"num_key_value_heads": 4, "attention_bias": True}),
    "llama, wide heads": ("llama", {"head_dim": 24, "rope_theta": 100.0}),
    "llama, llama3": ("llama", {"rope_scaling": LLAMA_3}),
    "llama, linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "qwen2, yarn": ("qwen2", {"rope_scaling": YARN, "tie_word_embeddings": True}),
    "gemma3, scaled": (
        "gemma3_text",
        {
            "num_hidden_layers": 7,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "rope_local_base_freq": 50.0,
            "final_logit_softcapping": 4.0,
        },
    ),
    "phi3, longrope": (
        "phi3",
        {
            "rope_scaling": LONGROPE,
            "original_max_position_embeddings": 512,
            "num_key_value_heads": 2,
            "sliding_window": 9,
        },
    ),
    "phi3, partial": ("phi3", {"partial_rotary_factor": 0.5, "tie_word_embeddings": True}),
}

NAMED_LAYERS: tuple[str, dict[str, Any]] = (
    "gemma3_text",
    {
        "num_hidden_layers": 3,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    },
)


def metadata_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a converter writes of a configuration, under the architecture's prefix."""
    kind, scaling = config["model_type"], config.get("rope_scaling") or {}
    heads = config["num_attention_heads"]
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    settings = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads", heads),
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "rope.dimension_count": int(head_size * config.get("partial_rotary_factor", 1.0)),
        "vocab_size": config["vocab_size"],
    }
    if kind != "gemma":  # always 10,000
        settings["rope.freq_base"] = float(config["rope_theta"])
    if kind in ("gemma2", "gemma3_text", "phi3"):
        settings["attention.sliding_window"] = config.get("sliding_window") or 0
    if kind == "gemma2":
        settings["attn_logit_softcapping"] = config["attn_logit_softcapping"]
    if config.get("final_logit_softcapping"):
        settings["final_logit_softcapping"] = config["final_logit_softcapping"]
    if kind == "gemma3_text":
        settings["rope.freq_base_swa"] = float(config["rope_local_base_freq"])
    rope_type = scaling.get("rope_type", scaling.get("type"))
    if rope_type in ("linear", "yarn"):
        settings |= {"rope.scaling.type": rope_type, "rope.scaling.factor": scaling["factor"]}
    original = scaling.get("original_max_position_embeddings")
    if rope_type == "yarn":
        settings["rope.scaling.original_context_length"] = original
    if rope_type == "longrope":
        original = config["original_max_position_embeddings"]
        growth = config["max_position_embeddings"] / original
        settings["rope.scaling.original_context_length"] = original
        settings["rope.scaling.attn_factor"] = float(np.sqrt(1 + np.log(growth) / np.log(original)))
    return settings


def extra_tensors(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the divisors of frequencies that a converter writes."""
    scaling = config.get("rope_scaling") or {}
    if "short_factor" in scaling:
        return {
            f"rope_factors_{length}.weight": np.array(scaling[f"{length}_factor"], np.float32)
            for length in ("short", "long")
        }
    if scaling.get("rope_type") != "llama3":
        return {}
    head_size = config["hidden_size"] // config["num_attention_heads"]
    divisors = []
    for pair in range(head_size // 2):
        wavelength = 2 * np.pi * config["rope_theta"] ** (2 * pair / head_size)
        turns = scaling["original_max_position_embeddings"] / wavelength
        slow, fast = scaling["low_freq_factor"], scaling["high_freq_factor"]
        kept = min(max((turns - slow) / (fast - slow), 0), 1)
        divisors.append(1 / ((1 - kept) / scaling["factor"] + kept))
    assert len(set(divisors)) > 2
    return {"rope_freqs.weight": np.array(divisors, np.float32)}


def neighbours(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Order rows as Meta did: the two that turn against each other beside each other."""
    size = matrix.shape[0] // heads
    order = [
        head * size + half * size // 2 + pair
        for head in range(heads)
        for pair in range(size // 2)
        for half in (0, 1)
    ]
    return matrix[order]


def convert(
    checkpoint: Path,
    path: Path,
    quantisation: Callable[[str], Kind | None] = lambda name: None,
    **changes: Any,
) -> Path:
    """Write a checkpoint as a GGUF file, as converters do.

    Where `quantisation` names one, the checkpoint's tensor becomes what the file's stands for.
    """
    config = settings_of(checkpoint)
    kind = config["model_type"]
    architecture = ARCHITECTURES[kind]
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    state = load_file(checkpoint / "model.safetensors")
    tensors: dict[str, Any] = dict(extra_tensors(config))
    for name, values in state.items():
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert new is not None, name
        values = values.astype(np.float32)
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            values = values + 1
        rounding = quantisation(name)
        if rounding is not None:
            state[name] = dequantize(quantize(values, rounding), rounding)
            (checkpoint / DRAWN_AS).unlink(missing_ok=True)  # it is another one now
        if kind == "llama" and "q_proj" in name:
            values = neighbours(values, config["num_attention_heads"])
        if kind == "llama" and "k_proj" in name:
            values = neighbours(values, config["num_key_value_heads"])
        tensors[new] = values if rounding is None else (values, rounding)
    save_file(state, checkpoint / "model.safetensors", {"format": "pt"})
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    begins = tokenizer.encode("a").ids[0] == 0
    vocabulary = byte_level_vocabulary(
        tokenizer, "gpt-2", bos_token_id=0, eos_token_id=1, add_bos_token=begins
    )
    arch = gguf.MODEL_ARCH_NAMES[architecture]
    settings = {**metadata_of(config), **changes}
    settings = {name: value for name, value in settings.items() if value is not None}
    return write_gguf(path, arch, vocabulary, settings, tensors)


@pytest.mark.parametrize("name", VARIANTS)
def test_agrees_with_pytorch(name, tmp_path, items):
    kind, changes = VARIANTS[name]
    checkpoint = save_drawn(kind, tmp_path / "checkpoint", **changes)
    path = convert(checkpoint, tmp_path / "model.gguf")
    manifest = export_model(path, tmp_path / "model")
    assert manifest.base_model["id"] == "model"
    assert manifest.parity["max_difference_nats"] < 1e-4
    assert difference(checkpoint, tmp_path / "model", items[:8]) < 1e-4


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_same_folder_as_from_the_checkpoint(kind, tmp_path):
    checkpoint = save_drawn(kind, tmp_path / "checkpoint")
    built = export_model(checkpoint, tmp_path / "model", exporter="built")
    path = convert(checkpoint, tmp_path / "model.gguf")
    read = export_model(path, tmp_path / "read")
    assert read.max_length == built.max_length
    assert read.tokens == built.tokens
    alike = ["trunk.onnx", "adapted.onnx", "head.onnx", "gradient.onnx", "tokenizer.json"]
    if kind == "llama":  # a one added to norms may round
        alike.append("weights.safetensors")
    for name in alike:
        assert read.files[name] == built.files[name], name


def test_quantised(tmp_path, items):
    """Every tensor has a number format of its own; PyTorch gets what they stand for."""
    sorts = {
        "embed_tokens": Kind.Q8_0,
        "q_proj": Kind.Q4_0,
        "k_proj": Kind.Q4_1,
        "v_proj": Kind.Q5_0,
        "o_proj": Kind.Q5_1,
        "gate_proj": Kind.BF16,
        "up_proj": Kind.F16,
        "lm_head": Kind.Q8_0,
    }
    checkpoint = save_drawn("llama", tmp_path / "checkpoint")

    def quantisation(name: str) -> Kind | None:
        return next((kind for part, kind in sorts.items() if part in name), None)

    path = convert(checkpoint, tmp_path / "model.gguf", quantisation)
    export_model(path, tmp_path / "model")
    assert difference(checkpoint, tmp_path / "model", items[:8]) < 1e-4


def test_layers_that_the_file_names(tmp_path, items):
    kind, settings = NAMED_LAYERS
    checkpoint = save_drawn(kind, tmp_path / "checkpoint", **settings)
    pattern = [kind == "sliding_attention" for kind in settings["layer_types"]]
    changes = {"attention.sliding_window_pattern": pattern}
    export_model(convert(checkpoint, tmp_path / "m.gguf", **changes), tmp_path / "model")
    assert difference(checkpoint, tmp_path / "model", items[:4]) < 1e-4


@pytest.mark.parametrize("key", ["rope.scaling.factor", "rope.scale_linear"])
def test_factor_without_a_kind_of_scaling(key, tmp_path, items):
    scaling = {"rope_type": "linear", "factor": 4.0}
    checkpoint = save_drawn("llama", tmp_path / "checkpoint", rope_scaling=scaling)
    changes = {"rope.scaling.type": None, "rope.scaling.factor": None, key: 4.0}
    export_model(convert(checkpoint, tmp_path / "m.gguf", **changes), tmp_path / "model")
    assert difference(checkpoint, tmp_path / "model", items[:4]) < 1e-4


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """A random Llama."""
    return save_drawn("llama", tmp_path_factory.mktemp("llama") / "checkpoint")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expert_count": 8}, "a mixture of experts cannot be exported"),
        ({"rope.scaling.type": "ntk"}, "scaled by 'ntk' are not known"),
        ({"rope.scaling.yarn_ext_factor": 1.0}, "not known: rope.scaling.yarn_ext_factor"),
        (
            {"rope.scaling.type": "yarn", "rope.scaling.attn_factor": 2.0},
            "rope.scaling.attn_factor=2.0; only 1.0 is known",
        ),
        ({"logit_scale": 2.0}, "settings that are not known: logit_scale"),
        ({"attention.causal": False}, "attention.causal=False; only True"),
        ({"attention.head_count_kv": [2, 1]}, "head_count_kv differs from layer to layer"),
        ({"rope.dimension_count": 4}, "rotated in part"),
        ({"block_count": None}, "the file does not say block_count"),
        ({"block_count": 3}, "no tensor model.layers.2"),
        ({"block_count": 1}, "tensor model.layers.1.* which is not known"),
    ],
)
def test_refusals(changes, message, llama, tmp_path):
    path = convert(llama, tmp_path / "m.gguf", **changes)
    with pytest.raises(ExportError, match=message) as caught:
        export_model(path, tmp_path / "model")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("mamba", "architecture 'mamba' are not known; known are llama, qwen2, qwen3, gemma"),
        ("qwen3moe", "a mixture of experts cannot be exported"),
        ("llama", "no tensor token_embd.weight"),
    ],
)
def test_other_architectures(architecture, message, tmp_path):
    path = write_gguf(tmp_path / "m.gguf", architecture, {})
    with pytest.raises(ExportError, match=message):
        export_model(path, tmp_path / "model")


def test_more_tokens_than_the_model_knows(llama, tmp_path):
    path = convert(llama, tmp_path / "m.gguf")
    file = gguf.GGUFReader(path)
    tensors = {each.name: each.data.copy() for each in file.tensors}
    for name in ("token_embd.weight", "output.weight"):
        tensors[name] = tensors[name][:-1]
    config = settings_of(llama)
    tokenizer = Tokenizer.from_file(str(llama / "tokenizer.json"))
    vocabulary = byte_level_vocabulary(tokenizer, "gpt-2", bos_token_id=0)
    write_gguf(tmp_path / "m.gguf", "llama", vocabulary, metadata_of(config), tensors)
    with pytest.raises(ExportError, match="has 400 tokens but the model knows 399"):
        export_model(path, tmp_path / "model")


def test_command_line(llama, tmp_path, capsys):
    path = convert(llama, tmp_path / "m.gguf")
    status, output, _ = run("export", path, "--out", tmp_path / "model", capsys=capsys)
    assert status == 0
    assert "exported LlamaForCausalLM" in output
    for option in (["--exporter", "dynamo"], ["--revision", "main"]):
        status, _, messages = run("export", path, "--out", tmp_path / "m", *option, capsys=capsys)
        assert status == 1
        assert "is a GGUF file: it has no revision and cannot be traced" in messages


def test_no_pytorch_is_needed(llama, tmp_path):
    path = convert(llama, tmp_path / "m.gguf")
    done = without_pytorch("export", path, "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert "built; agrees with NumPy to" in done.stdout
