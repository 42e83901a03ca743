"""The graph that LoRA heads are trained with, against PyTorch's gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints import save_checkpoint
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from likra_lite.engine.folder import read_manifest
from likra_lite.engine.head import GRADIENT_OF
from likra_lite.engine.manifest import LORA_GRADIENT
from likra_lite.engine.sessions import open_graph
from likra_lite.engine.trees import TokenTree, pack
from likra_lite.export import export_model, quantize_model
from likra_lite.export.built.families import FAMILIES
from likra_lite.export.exporters import default_tracer
from likra_lite.export.quantization import column_scales, rounded_to
from likra_lite.export.traced.targets import find_targets

ARCHITECTURES = (
    "llama", "gpt2", "gpt_neo", "gpt_neox", "qwen3", "gemma2", "gemma3_text", "phi3", "opt",
    "mistral", "granite", "cohere", "olmo2", "starcoder2", "glm",
)  # fmt: skip


def drawn_trees(seed=0):
    rng = np.random.default_rng(seed)

    def draw(low, high):
        return rng.integers(2, 300, rng.integers(low, high)).tolist()

    return [TokenTree(draw(3, 20), [draw(1, 6)]) for _ in range(5)]


def reference(checkpoint, factors, trees, prepare=None):
    """Return the mean loss of answer tokens, one text at a time, and its gradients."""
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    if prepare is not None:
        prepare(model)
    tensors = {
        name: [torch.tensor(factor, requires_grad=True) for factor in pair]
        for name, pair in factors.items()
    }

    def adapt(name):
        a, b = tensors[name]
        return lambda module, inputs, output: output + inputs[0] @ a @ b

    for name in factors:
        model.get_submodule(name).register_forward_hook(adapt(name))
    total, count = torch.zeros(()), 0
    for tree in trees:
        tokens = torch.tensor([[*tree.context.tolist(), *tree.targets.tolist()]])
        logits = model(tokens, use_cache=False).logits[0, len(tree.context) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, tokens[0, len(tree.context) :, None])
        total, count = total - chosen.sum(), count + len(tree.targets)
    (total / count).backward()
    return total.item() / count, {
        name: [tensor.grad.numpy() for tensor in pair] for name, pair in tensors.items()
    }


@pytest.mark.parametrize(
    ("architecture", "exporter"),
    [
        *[(name, default_tracer()) for name in ARCHITECTURES],
        *[(name, "built") for name in ARCHITECTURES if name in FAMILIES],
    ],
)
def test_loss_and_gradients_are_those_of_pytorch(architecture, exporter, tmp_path):
    checkpoint = save_checkpoint(architecture, tmp_path / "checkpoint")
    export_model(checkpoint, tmp_path / "model", exporter=exporter)
    factors, trees = drawn_factors(checkpoint), drawn_trees()
    got = computed(tmp_path / "model", factors, trees)
    loss, gradients = reference(checkpoint, factors, trees)
    assert got["loss"] == pytest.approx(loss, rel=1e-5)
    for name, pair in gradients.items():
        for side, expected in zip("ab", pair, strict=True):
            difference = got[f"{GRADIENT_OF}lora.{name}.{side}"][0] - expected
            assert np.abs(difference).max() < 1e-4 * np.abs(expected).max(), (name, side)


def drawn_factors(checkpoint):
    rng = np.random.default_rng(0)
    return {
        name: [rng.normal(0, 0.2, shape).astype(np.float32) for shape in ((n_in, 3), (3, n_out))]
        for name, (n_in, n_out) in find_targets(
            AutoModelForCausalLM.from_pretrained(checkpoint)
        ).modules.items()
    }


def computed(folder, factors, trees):
    """Return what the graph in a model folder gives: the loss, and a gradient for each factor."""
    session = open_graph(folder, read_manifest(folder), LORA_GRADIENT, 1)
    batch = pack(trees, [[0, 1], [2], [3, 4]])  # several texts in a row, and padding
    count = len(batch.targets)
    feeds = {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "attention_bias": batch.attention_bias,
        "rows": batch.rows,
        "target_rows": batch.target_rows,
        "targets": batch.targets,
        "weight": np.array(1 / count, np.float32),
        "row_weights": (np.bincount(batch.target_rows) / count).astype(np.float32)[:, None],
    }
    for name, (a, b) in factors.items():
        feeds[f"lora.{name}.a"], feeds[f"lora.{name}.b"] = a[None], b[None]
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def round_products(model):
    """Let a PyTorch model multiply as int8 does, with gradients that know nothing of rounding."""
    for name, module in model.named_modules():
        across = isinstance(module, torch.nn.Linear)
        if name == "lm_head" or not (across or isinstance(module, Conv1D)):
            continue
        weight = module.weight.detach().numpy()
        weight = weight.T if across else weight
        scale = column_scales(weight)
        back = torch.tensor(rounded_to(scale, weight) * scale)
        bias = 0.0 if module.bias is None else module.bias

        def product(x, back=back, bias=bias):
            step = x.detach().abs().amax(-1, keepdim=True) / 127
            rounded = x + (torch.round(x / step) * step - x).detach()
            return rounded @ back + bias

        module.forward = product


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_gradients_of_int8_are_those_of_pytorch_with_rounded_products(architecture, tmp_path):
    checkpoint = save_checkpoint(architecture, tmp_path / "checkpoint")
    export_model(checkpoint, tmp_path / "exact")
    quantize_model(tmp_path / "exact", tmp_path / "int8")
    factors, trees = drawn_factors(checkpoint), drawn_trees()
    got, exact = (computed(tmp_path / name, factors, trees) for name in ("int8", "exact"))
    loss, gradients = reference(checkpoint, factors, trees, round_products)
    assert got["loss"] == pytest.approx(loss, rel=1e-4)
    for name, pair in gradients.items():
        for side, expected in zip("ab", pair, strict=True):
            output = f"{GRADIENT_OF}lora.{name}.{side}"
            largest = np.abs(expected).max()
            assert np.abs(got[output][0] - expected).max() < 5e-3 * largest, (name, side)
            assert np.abs(exact[output][0] - expected).max() > 5e-3 * largest  # rounding shows
