"""Graphs that are built from a configuration: every family, every turn of its settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import ARCHITECTURES, needs_pytorch, save_checkpoint, save_drawn
from command_line import run, without_pytorch
from published_configs import PUBLISHED
from reference import difference
from safetensors.numpy import load_file, save_file

from likra_lite import LanguageModel
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import ExportError
from likra_lite.export import export_model
from likra_lite.export.built.families import FAMILIES
from likra_lite.export.built.hugging_face import describe_decoder, find_tensors
from likra_lite.export.checkpoint.config_file import ConfigFile

LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.5, 2.0, 3.0],
    "long_factor": [1.0, 2.0, 4.0, 8.0],
}
# Settings besides those of the families' own checkpoints.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in FAMILIES},
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, wide heads": ("llama", {"head_dim": 24}),
    "llama, theta": ("llama", {"rope_theta": 100.0}),
    "llama, linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "llama, llama3": ("llama", {"rope_scaling": LLAMA_3}),
    "llama, yarn": ("llama", {"rope_scaling": YARN}),
    "mistral, no window": ("mistral", {"sliding_window": None, "head_dim": 16}),
    "qwen2, windows": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3, biases": ("qwen3", {"attention_bias": True, "tie_word_embeddings": True}),
    "gemma3, kinds of layers": (
        "gemma3_text",
        {
            "num_hidden_layers": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "rope_local_base_freq": 50.0,
            "final_logit_softcapping": 4.0,
        },
    ),
    "smollm3, windows": (
        "smollm3",
        {"use_sliding_window": True, "sliding_window": 6, "no_rope_layers": [1, 0, 1, 0]},
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
    "granite, multipliers": (
        "granite",
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
            "attention_bias": True,
        },
    ),
    "gpt2, untied": ("gpt2", {"n_inner": 48, "tie_word_embeddings": False}),
    "gpt2, plain logits": ("gpt2", {"activation_function": "gelu"}),
    "gpt_neox, serial": ("gpt_neox", {"use_parallel_residual": False, "attention_bias": False}),
    "opt, no biases": ("opt", {"enable_bias": False, "activation_function": "gelu"}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_agrees_with_pytorch(name, tmp_path, items):
    kind, changes = VARIANTS[name]
    checkpoint = save_drawn(kind, tmp_path / "checkpoint", **changes)
    manifest = export_model(checkpoint, tmp_path / "model", exporter="built")
    assert manifest.exporter == "built"
    assert manifest.base_model["architecture"] == FAMILIES[kind].architecture
    assert manifest.parity["max_difference_nats"] < 1e-4  # LoRA heads included
    assert difference(checkpoint, tmp_path / "model", items[:8]) < 1e-4


@pytest.fixture(scope="module")
def windowed(tmp_path_factory) -> Path:
    """A model with windows, layers of two kinds and soft caps."""
    root = tmp_path_factory.mktemp("gemma2")
    export_model(save_drawn("gemma2", root / "checkpoint"), root / "model")
    return root / "model"


def test_shared_prefix_equals_scoring_everything_alone(windowed):
    model = LanguageModel(windowed)
    rng = np.random.default_rng(0)
    prefix = rng.integers(2, 300, 90).tolist()
    trees = [
        TokenTree([*prefix, *rng.integers(2, 300, 5)], rng.integers(2, 300, (3, 4)).tolist())
        for _ in range(24)
    ]
    together = model.log_likelihoods(model.features(trees), [None])
    alone = [model.log_likelihoods(model.features([tree]), [None]) for tree in trees]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-4)


@needs_pytorch
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "phi3", "opt"])
def test_lora_modules_are_those_of_the_traced_model(kind, tmp_path):
    from transformers import AutoModelForCausalLM

    from likra_lite.export.traced.targets import find_targets

    checkpoint = save_drawn(kind, tmp_path / "checkpoint")
    export_model(checkpoint, tmp_path / "model", exporter="built")
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    import onnx

    graph = onnx.load(tmp_path / "model" / "adapted.onnx", load_external_data=False).graph
    names = {entry.name for entry in graph.input if entry.name.startswith("lora.")}
    paths = find_targets(model).modules
    assert names == {f"lora.{path}.{side}" for path in paths for side in "ab"}


def test_sharded_half_precision(tmp_path, items):
    checkpoint = save_checkpoint(
        "llama", tmp_path / "checkpoint", dtype="bfloat16", saving={"max_shard_size": "20KB"}
    )
    assert len(list(checkpoint.glob("model-*.safetensors"))) > 2
    export_model(checkpoint, tmp_path / "model", exporter="built")
    assert difference(checkpoint, tmp_path / "model", items[:4]) < 1e-4


def test_body_without_prefix(tmp_path, items):
    """GPT-2's own files name the body's tensors without ``transformer.``."""
    checkpoint = save_drawn("gpt2", tmp_path / "checkpoint")
    path = checkpoint / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(path).items()}
    tensors["h.0.attn.bias"] = np.ones((1, 1, 4, 4), np.float32)  # the mask of old files
    save_file(tensors, path, {"format": "pt"})
    export_model(checkpoint, tmp_path / "model", exporter="built")
    assert difference(checkpoint, tmp_path / "model", items[:4]) < 1e-4


@needs_pytorch
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_are_understood(name):
    """Their settings, the shapes of all their tensors, and their rotary embeddings."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    content = PUBLISHED[name]
    settings = ConfigFile(content)
    spec = describe_decoder(settings)
    config = AutoConfig.for_model(**content)
    with torch.device("meta"):  # shapes without values
        model = AutoModelForCausalLM.from_config(config)
    shapes = {path: tuple(tensor.shape) for path, tensor in model.state_dict().items()}
    if content["model_type"] == "gpt_neox" and "lm_head.weight" in shapes:
        # So transformers 5 calls it in memory, not in files.
        shapes["embed_out.weight"] = shapes.pop("lm_head.weight")
    tensors = find_tensors(settings, spec, shapes)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert ("output.weight" not in tensors) is tied
    assert len(spec.layers) == config.num_hidden_layers
    kinds = {layer.rotary for layer in spec.layers} - {None}
    modules = model.named_modules()
    usual = next((module for path, module in modules if path.endswith("rotary_emb")), None)
    if usual is None:
        assert kinds == set()
        return
    expected = type(usual)(config)
    # One for all layers, or in transformers 5 one for each kind of layer.
    buffers = {name: value for name, value in expected.named_buffers() if "original" not in name}
    assert buffers
    for name, frequencies in buffers.items():
        scaling = getattr(expected, name.replace("inv_freq", "attention_scaling"))
        assert any(
            rotary.factor == pytest.approx(scaling)
            and np.allclose(rotary.frequencies, frequencies.numpy(), rtol=1e-6, atol=0)
            for rotary in kinds
        )


# As transformers 5 writes what transformers 4 wrote otherwise.
NEWER: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "meta-llama/Llama-3.2-1B",
        {
            "rope_parameters": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_theta": 500000.0,
                "rope_type": "llama3",
            }
        },
        ["rope_theta", "rope_scaling"],
    ),
    (
        "EleutherAI/pythia-160m",
        {
            "rope_parameters": {
                "partial_rotary_factor": 0.25,
                "rope_theta": 10000,
                "rope_type": "default",
            }
        },
        ["rotary_pct", "rotary_emb_base"],
    ),
    (
        "google/gemma-3-1b-it",
        {
            "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 4
            + ["sliding_attention"] * 2,
            "rope_parameters": {
                "full_attention": {"rope_theta": 1000000, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 10000, "rope_type": "default"},
            },
        },
        ["rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern"],
    ),
]


@pytest.mark.parametrize(("name", "newer", "older"), NEWER)
def test_settings_as_transformers_5_writes_them(name, newer, older):
    content = {key: value for key, value in PUBLISHED[name].items() if key not in older}
    said = describe_decoder(ConfigFile(content | newer))
    assert said == describe_decoder(ConfigFile(PUBLISHED[name]))


REFUSED_SETTINGS = [
    ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "of kind 'dynamic'"),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mix": 1}}, "with mix=1"),
    ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "need 'low_freq_factor'"),
    (
        "llama",
        {"rope_scaling": LLAMA_3, "rope_parameters": {"rope_type": "default"}},
        "rope_scaling and other rope_parameters",
    ),
    ("llama", {"attention_sinks": True}, "not known: attention_sinks=True"),
    ("llama", {"quantization_config": {"bits": 4}}, "not known: quantization_config"),
    ("llama", {"hidden_act": "mish"}, "activation 'mish' is not known"),
    ("llama", {"rope_interleaved": True}, "rope_interleaved=True; only False"),
    ("llama", {"vocab_size": None}, "has no vocab_size"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "only False is known"),
    ("opt", {"word_embed_proj_dim": 16}, "word_embed_proj_dim=16; only 32"),
    ("gemma3_text", {"use_bidirectional_attention": True}, "only False is known"),
    ("qwen2", {"layer_types": ["chunked_attention"] * 2}, "layers of kind 'chunked_attention'"),
    ("qwen2", {"layer_types": ["full_attention"]}, "has 1 layer_types for 2 layers"),
    ("llama", {"hidden_size": 64}, "has shape .*, expected"),
    ("llama", {"num_hidden_layers": 3}, "has no tensor model.layers.2"),
    ("llama", {"num_hidden_layers": 1}, "has a tensor model.layers.1"),
    ("llama", {"num_local_experts": 8}, "is a mixture of experts; only dense"),
    ("llama", {"model_type": "mamba"}, "models of type 'mamba' are not among"),
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Callable[[str], Path]:
    """Checkpoints that are made once and copied to be changed."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("originals")

    def original(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_drawn(kind, root / kind)
        return made[kind]

    return original


@pytest.mark.parametrize(("kind", "changes", "message"), REFUSED_SETTINGS)
def test_settings_that_are_not_understood_are_refused(kind, changes, message, tmp_path, originals):
    checkpoint = shutil.copytree(originals(kind), tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    config.pop("rope_parameters", None)  # of newer transformers, where older have rope_scaling
    (checkpoint / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ExportError, match=message) as caught:
        export_model(checkpoint, tmp_path / "model", exporter="built")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_tensors_that_are_not_understood_are_refused(tmp_path, originals):
    checkpoint = shutil.copytree(originals("llama"), tmp_path / "checkpoint")
    path = checkpoint / "model.safetensors"
    save_file(load_file(path) | {"model.layers.0.self_attn.sinks": np.ones(4, np.float32)}, path)
    with pytest.raises(ExportError, match=r"has a tensor model\.layers\.0\.self_attn\.sinks"):
        export_model(checkpoint, tmp_path / "model", exporter="built")


def test_damaged_files(tmp_path, originals):
    checkpoint = shutil.copytree(originals("llama"), tmp_path / "checkpoint")
    path = checkpoint / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ExportError, match=r"cannot be read: .*; download it again"):
        export_model(checkpoint, tmp_path / "model", exporter="built")
    path.write_bytes(content.replace(b'"F32"', b'"I16"', 1))
    with pytest.raises(ExportError, match="as I16; expected one of"):
        export_model(checkpoint, tmp_path / "model", exporter="built")
    path.write_bytes(b"not at all")
    with pytest.raises(ExportError, match="is no safetensors file"):
        export_model(checkpoint, tmp_path / "model", exporter="built")
    path.unlink()
    with pytest.raises(ExportError, match="has no safetensors"):
        export_model(checkpoint, tmp_path / "model", exporter="built")


def test_wrong_graphs_are_not_written(tmp_path, originals, monkeypatch):
    from likra_lite.export.built import build

    original = build.trunk_graph

    def wrong(spec, tensors):
        graph = original(spec, tensors)
        for node in graph.graph.node:
            if node.op_type == "Attention":
                next(a for a in node.attribute if a.name == "scale").f *= 1.5
        return graph

    monkeypatch.setattr(build, "trunk_graph", wrong)
    with pytest.raises(ExportError, match="differ from NumPy in double precision by"):
        export_model(originals("llama"), tmp_path / "model", exporter="built")
    assert not (tmp_path / "model").exists()


def test_no_pytorch_is_needed(tmp_path, originals, items):
    checkpoint = originals("qwen3")
    done = without_pytorch("export", checkpoint, "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert "exported Qwen3ForCausalLM" in done.stdout
    assert "built; agrees with NumPy to" in done.stdout
    assert difference(checkpoint, tmp_path / "model", items[:2]) < 1e-4


def test_what_cannot_be_built_says_what_to_install(tmp_path):
    checkpoint = save_drawn("phi", tmp_path / "checkpoint")
    done = without_pytorch("export", checkpoint, "--out", tmp_path / "model")
    assert done.returncode != 0
    assert "models of type 'phi' are not among" in done.stderr
    assert 'pip install "likra-lite[export]"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@needs_pytorch
def test_what_cannot_be_built_is_traced(tmp_path, capsys):
    checkpoint = save_drawn("phi", tmp_path / "checkpoint")
    out = run("export", str(checkpoint), "--out", str(tmp_path / "model"), capsys=capsys)
    assert "traced; agrees with PyTorch to" in out[1]


def test_every_family_is_traced_too():
    """So that :mod:`test_export` compares both ways for all of them."""
    assert set(FAMILIES) <= set(ARCHITECTURES)
