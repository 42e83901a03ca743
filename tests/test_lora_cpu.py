"""LoRA heads from a model folder: the loop on ONNX Runtime against the one in PyTorch."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import save_checkpoint
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from likra_lite import LikraClassifier, LikraError
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.manifest import LORA_GRADIENT
from likra_lite.engine.trees import TokenTree
from likra_lite.export import export_model
from likra_lite.heads.lora_examples import shared_out
from likra_lite.heads.lora_factors import Adam
from likra_lite.heads.lora_learner import GraphLearner, chosen_modules, open_for_training
from likra_lite.heads.lora_rate import RateFinder
from likra_lite.heads.peft_folder import read_peft_folder
from likra_lite.heads.recipe import LoraRecipe

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")

ROOT = Path(__file__).resolve().parent.parent
RECIPE = LoraRecipe(learning_rate=1e-2, batch_size=4, rank=2, lora_alpha=5.0, epochs=4)


def fit(model, items, train_dir=None, recipe=RECIPE, **parameters):
    parameters = {"mode": "likra", "cache": False, **parameters}
    classifier = LikraClassifier(
        model, adapter="lora", recipe=recipe, train_dir=train_dir, **parameters
    )
    return classifier.fit(items)


def losses(folder):
    lines = (folder / "losses.csv").read_text().splitlines()[1:]
    return [float(line.split(",")[1]) for line in lines]


def heads_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "heads").iterdir()}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_both_loops_learn_the_same(architecture, tmp_path, items):
    checkpoint = save_checkpoint(architecture, tmp_path / "checkpoint")
    export_model(checkpoint, tmp_path / "model")
    recipe = replace(RECIPE, schedule="cosine", warmup=2, weight_decay=0.01)
    ours = fit(tmp_path / "model", items, tmp_path / "ours", recipe)
    theirs = fit(checkpoint, items, tmp_path / "theirs", recipe)
    for head in ("positive", "negative"):
        got, expected = losses(tmp_path / "ours" / head), losses(tmp_path / "theirs" / head)
        assert len(got) >= 32
        np.testing.assert_allclose(got, expected, rtol=1e-3)
        assert got[-1] < got[0]
        checkpoints = [
            sorted(path.name for path in (tmp_path / who / head / "checkpoints").iterdir())
            for who in ("ours", "theirs")
        ]
        assert checkpoints[0] == checkpoints[1]
        column = ours.held_out_.heads[head]
        np.testing.assert_allclose(column, theirs.held_out_.heads[head], rtol=1e-3, atol=1e-2)


def test_checkpoints_are_adapters_of_peft(model_folder, tmp_path, items):
    classifier = fit(model_folder, items, tmp_path, replace(RECIPE, epochs=1))
    last = sorted((tmp_path / "negative" / "checkpoints").iterdir())[-1]
    adapter, config = read_peft_folder(last)
    assert config["r"] == 2
    for module, pair in classifier.scorer_.fitted["negative"].factors.items():
        for factor, expected in zip(adapter.factors[module], pair, strict=True):
            np.testing.assert_array_equal(factor, expected)


SCRIPT = """
import sys, time, warnings
sys.path.insert(0, {tests!r})
warnings.simplefilter("ignore")
from likra_lite.heads import lora_loop
from likra_lite.questions.files import read_items
from test_lora_cpu import fit
lora_loop.SAVE_EVERY = 0.0
step = lora_loop._Run.step
def slowly(run):
    step(run)
    print("step", flush=True)
    time.sleep(0.1)
lora_loop._Run.step = slowly
fit(sys.argv[1], read_items("examples/questions.jsonl"), sys.argv[2]).save(sys.argv[3])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_fit_goes_on_to_the_same_heads(number, model_folder, tmp_path, items):
    command = [sys.executable, "-c", SCRIPT.format(tests=str(ROOT / "tests")), str(model_folder)]
    command += [str(tmp_path / "killed"), str(tmp_path / "never")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    for _ in range(7):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert (tmp_path / "killed" / "positive" / "state.safetensors").is_file()
    assert not (tmp_path / "killed" / "negative" / "state.safetensors").exists()
    fit(model_folder, items, tmp_path / "killed").save(tmp_path / "resumed")
    fit(model_folder, items, tmp_path / "whole").save(tmp_path / "uninterrupted")
    assert heads_of(tmp_path / "resumed") == heads_of(tmp_path / "uninterrupted")
    states = [load_file(tmp_path / who / "positive" / "state.safetensors") for who in
              ("killed", "whole")]  # fmt: skip
    for name, tensor in states[0].items():
        np.testing.assert_array_equal(tensor, states[1][name])


def test_training_stops_early_with_the_best_head(model_folder, tmp_path, items, monkeypatch):
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.9])
    monkeypatch.setattr("likra_lite.heads.fit_graph.accuracy_of", lambda *_: next(scores))
    fit(model_folder, items, tmp_path, replace(RECIPE, patience=2), mode="sft")
    seen = sorted(path.name for path in (tmp_path / "positive" / "checkpoints").iterdir())
    assert seen == ["000008", "000016", "000032", "000066"]  # twice without a rise


def test_only_some_matrices_are_trained(model_folder, tmp_path, items):
    recipe = replace(RECIPE, target_modules=["up_proj"], top_layers=1, epochs=1)
    head = fit(model_folder, items, None, recipe, mode="sft").scorer_.fitted["positive"]
    assert list(head.factors) == ["model.layers.1.mlp.up_proj"]


@pytest.mark.parametrize(
    ("how", "message"),
    [({"target_modules": ["q_proj"]}, "q_proj.*can adapt"), ({"top_layers": 3}, "can adapt 2")],
)
def test_matrices_that_the_graph_cannot_adapt(how, message):
    shapes = {f"model.layers.{layer}.mlp.up_proj": (4, 8) for layer in (0, 1)}
    with pytest.raises(LikraError, match=message):
        chosen_modules(shapes, replace(RECIPE, **how))


@pytest.mark.parametrize(
    "how", [{"objective": "choices"}, {"dropout": 0.1}, {"precision": "bfloat16"}]
)
def test_what_the_graph_does_not_cover_is_for_pytorch(how, model_folder, items):
    with pytest.raises(LikraError, match="needs PyTorch: give the checkpoint itself"):
        fit(model_folder, items, None, replace(RECIPE, **how), mode="sft")


def test_a_folder_without_the_graph_says_what_to_do(model_folder, tmp_path, items):
    shutil.copytree(model_folder, tmp_path / "older")
    (tmp_path / "older" / LORA_GRADIENT).unlink()
    write_manifest(tmp_path / "older", read_manifest(model_folder))
    with pytest.raises(LikraError, match=r"no lora_gradient\.onnx.*export the model again"):
        fit(tmp_path / "older", items)


def test_a_gradient_is_the_sum_over_passes(model_folder, items, monkeypatch):
    from likra_lite.engine.onnx import LanguageModel
    from likra_lite.heads.lora_examples import Example

    model = LanguageModel(model_folder)
    pairs = [(item.question, [item.choices[0]]) for item in items[:9]]
    examples = [Example(tree) for tree in model.encoder.trees(pairs)[0]]
    session = open_for_training(model_folder, read_manifest(model_folder), RECIPE, 1)
    results = []
    for budget, row in ((4096, 512), (64, 512), (64, 1)):
        monkeypatch.setattr("likra_lite.heads.lora_learner.ROW_TOKENS", row)
        learner = GraphLearner(session, replace(RECIPE, max_tokens=budget), "model")
        learner.values[:] = np.random.default_rng(0).normal(0, 0.1, learner.values.shape)
        results.append((learner.loss_and_gradient(examples), learner.gradient.copy()))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-3, atol=1e-6)


def test_a_gradient_is_the_same_to_the_bit_whatever_the_threads(model_folder, items):
    from likra_lite.engine.onnx import LanguageModel
    from likra_lite.heads.lora_examples import Example

    pairs = [(item.question, [item.choices[0]]) for item in items[:9]]
    examples = [Example(tree) for tree in LanguageModel(model_folder).encoder.trees(pairs)[0]]
    results = []
    for threads in (1, 2, 2):
        session = open_for_training(model_folder, read_manifest(model_folder), RECIPE, threads)
        learner = GraphLearner(session, RECIPE, "model", threads)
        learner.values[:] = np.random.default_rng(0).normal(0, 0.1, learner.values.shape)
        results.append((learner.loss_and_gradient(examples), learner.gradient.tobytes()))
    assert results[1:] == results[:1] * 2


def test_gradients_of_lower_layers_are_left_out_where_only_upper_ones_learn(model_folder, items):
    from likra_lite.engine.onnx import LanguageModel
    from likra_lite.heads.lora_examples import Example

    pairs = [(item.question, [item.choices[0]]) for item in items[:9]]
    examples = [Example(tree) for tree in LanguageModel(model_folder).encoder.trees(pairs)[0]]
    gradients = {}
    for layers in (2, 1):
        recipe = replace(RECIPE, top_layers=layers)
        session = open_for_training(model_folder, read_manifest(model_folder), recipe, 1)
        learner = GraphLearner(session, recipe, "model")
        for name, factor in learner.factors.items():
            if "layers.1." in name:
                factor[:] = np.random.default_rng(len(name)).normal(0, 0.1, factor.shape)
            elif name.endswith(".b"):
                factor[:] = 0.0
        learner.loss_and_gradient(examples)
        gradients[layers] = (len(session.get_outputs()), learner.gradients)
    assert gradients[1][0] == 1 + len(gradients[1][1]) < gradients[2][0]
    for name, gradient in gradients[1][1].items():
        np.testing.assert_allclose(gradient, gradients[2][1][name], rtol=1e-5, atol=1e-8)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 4))
def test_trees_are_shared_out_evenly(lengths, parts):
    trees = [TokenTree([1] * length, [[2]]) for length in lengths]
    shares = shared_out(trees, parts)
    assert sorted(map(id, chain(*shares))) == sorted(map(id, trees))
    assert len(shares) == min(parts, len(trees))
    loads = [sum(map(len, share)) for share in shares]
    assert max(loads) - min(loads) <= max(map(len, trees))


def test_adam_is_that_of_pytorch():
    rng = np.random.default_rng(0)
    values = rng.normal(size=50).astype(np.float32)
    parameter = torch.nn.Parameter(torch.from_numpy(values.copy()))
    theirs = torch.optim.AdamW([parameter], lr=1.0, weight_decay=0.1)
    ours = Adam(values, weight_decay=0.1)
    for step in range(20):
        gradient = rng.normal(size=50).astype(np.float32)
        rate = 0.01 * (step + 1)
        theirs.param_groups[0]["lr"] = rate
        parameter.grad = torch.from_numpy(gradient.copy())
        theirs.step()
        ours.step(gradient, rate)
    np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-4, atol=1e-5)


class Parabola:
    """A learner whose loss is least at one rate; it counts its steps."""

    leads = True
    recipe = replace(RECIPE, batch_size=8)

    def __init__(self, best):
        self.best, self.steps = best, 0

    def step(self, examples, learning_rate, number):
        self.steps += 1
        return abs(np.log(learning_rate / self.best)) * number

    def tensors(self):
        return {}

    def restore(self, tensors):
        assert tensors == {}


@pytest.mark.parametrize("best", [2e-4, 2e-3, 5e-3, 1e-2, 3e-1])
def test_the_learning_rate_is_searched_for_once(best, tmp_path):
    learner, examples = Parabola(best), [None] * 100
    rate = RateFinder(None, tmp_path).find(learner, examples)
    assert best / 1.8 < rate / 0.3 < best * 1.8  # 3 ** 0.5 between neighbours
    steps = learner.steps
    assert RateFinder(None, tmp_path).find(learner, examples) == rate
    assert RateFinder(7e-4, tmp_path).find(learner, examples) == 7e-4
    assert learner.steps == steps


def test_rates_share_a_first_step_and_it_counts_as_their_own(model_folder, items):
    from likra_lite.engine.onnx import LanguageModel
    from likra_lite.heads import lora_loop, lora_rate
    from likra_lite.heads.lora_examples import Example

    pairs = [(item.question, [item.choices[0]]) for item in items[:20]]
    examples = [Example(tree) for tree in LanguageModel(model_folder).encoder.trees(pairs)[0]]
    recipe = replace(RECIPE, weight_decay=0.1)
    session = open_for_training(model_folder, read_manifest(model_folder), recipe, 1)
    learner = GraphLearner(session, recipe, "model")
    begin = learner.tensors()
    tried = lora_rate._tried(learner, examples, lambda _: None)
    for name, tensor in learner.tensors().items():
        np.testing.assert_array_equal(tensor, begin[name])
    for rate, loss in tried.items():
        learner.restore(begin)
        steps = [s[: len(s) // 2] for s in lora_loop.steps_of(20, recipe)[: lora_rate.STEPS]]
        losses = [learner.step([examples[i] for i in step], rate, 0) for step in steps]
        assert loss == pytest.approx(np.mean(losses[-lora_rate.JUDGED :]), rel=1e-4)
    assert len(tried) > 2


def test_a_search_leaves_no_trace(model_folder, tmp_path, items):
    recipe = replace(RECIPE, learning_rate=None, epochs=1)
    found = fit(model_folder, items, tmp_path / "found", recipe)
    note = json.loads((tmp_path / "found" / "learning_rate.json").read_text())
    given = replace(recipe, learning_rate=note["learning_rate"])
    again = fit(model_folder, items, tmp_path / "given", given)
    losses = note["losses_by_rate"]
    assert losses[f"{note['learning_rate'] / 0.3:g}"] == min(losses.values())
    for head, column in found.held_out_.heads.items():
        np.testing.assert_array_equal(column, again.held_out_.heads[head])
