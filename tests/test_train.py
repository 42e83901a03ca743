"""Training LoRA heads: gradients, packing, resuming, several processes, rivals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import save_checkpoint
from command_line import run
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from likra_lite import LikraClassifier, LikraError
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import SlowTrainingWarning
from likra_lite.heads import lora_loop
from likra_lite.heads.lora_examples import Example, pack_examples
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.lora_training import loop
from likra_lite.lora_training.decoder import LoraDecoder, choose_dtype
from likra_lite.lora_training.objectives import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")

ROOT = Path(__file__).resolve().parent.parent
FAST = LoraRecipe(learning_rate=1e-2, batch_size=4, rank=2)


def draw_trees(n: int, seed: int = 0, choices: int = 1) -> list[TokenTree]:
    rng = np.random.default_rng(seed)

    def draw(low: int, high: int) -> list[int]:
        return rng.integers(2, 300, rng.integers(low, high)).tolist()

    return [TokenTree(draw(3, 20), [draw(1, 6) for _ in range(choices)]) for _ in range(n)]


def train(checkpoint, folder, recipe=FAST, n=24, **how):
    decoder = LoraDecoder(str(checkpoint), None, recipe)
    examples = [Example(tree) for tree in draw_trees(n)]
    state = loop.train_adapter(decoder, "head", examples, folder, "model", **how)
    return decoder, state


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_neo", "opt", "mistral"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_is_that_of_pytorch_on_each_example_alone(
    architecture, checkpointing, tmp_path, monkeypatch
):
    monkeypatch.setattr("likra_lite.lora_training.decoder.TARGETS_AT_A_TIME", 7)
    checkpoint = save_checkpoint(architecture, tmp_path / "checkpoint")
    recipe = replace(FAST, gradient_checkpointing=checkpointing, max_tokens=64)
    decoder = LoraDecoder(str(checkpoint), None, recipe)
    decoder.activate("head")
    trees = draw_trees(9)
    torch.manual_seed(1)
    for parameter in decoder.parameters_to_train:
        parameter.data = 0.1 * torch.randn(parameter.shape)
    if checkpointing:
        decoder.train()
    examples = [Example(tree) for tree in trees]
    parameters = decoder.parameters_to_train
    got = loop._gradient(decoder, examples, LOSSES["likelihood"], parameters, 0)

    plain = AutoModelForCausalLM.from_pretrained(checkpoint, attn_implementation="eager").eval()
    config = LoraConfig(r=2, lora_alpha=8, target_modules=decoder.targets)
    peft = get_peft_model(plain, config, adapter_name="head")
    peft.load_state_dict(
        {k: v for k, v in decoder.peft.state_dict().items() if "lora" in k}, strict=False
    )
    total, count = torch.zeros(()), 0
    for tree in trees:
        tokens = torch.tensor([[*tree.context.tolist(), *tree.targets.tolist()]])
        log_probs = peft(tokens).logits[0, len(tree.context) - 1 : -1].log_softmax(-1)
        total = total - log_probs.gather(1, tokens[0, len(tree.context) :, None]).sum()
        count += len(tree.targets)
    (total / count).backward()
    assert got == pytest.approx(total.item() / count, rel=1e-4)
    expected = [p.grad for p in peft.parameters() if p.requires_grad]
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=20),
    st.integers(8, 80),
)
def test_every_tree_is_packed_once_within_the_budget(shapes, budget):
    trees = [
        TokenTree(list(range(place, place + size)), [[7, place + 500]] * many)
        for place, (size, many) in enumerate(shapes)
    ]
    batches = pack_examples(trees, budget)
    assert sorted(i for batch in batches for i in batch.order) == list(range(len(trees)))
    for packed, order in batches:
        assert packed.input_ids.size <= max(budget, max(len(trees[i]) for i in order))
        targets = np.concatenate([trees[i].targets for i in order])
        np.testing.assert_array_equal(packed.targets, targets)


def brute_force_loss(objective, log_probs, right):
    scores = [values.sum() for values in log_probs]
    if objective == "choices":
        return -np.log(np.exp(scores[right]) / np.exp(scores).sum())
    wrong = [v for k, values in enumerate(log_probs) if k != right for v in values]
    return -scores[right] - sum(np.log(1 - np.exp(value)) for value in wrong)


@pytest.mark.parametrize("objective", ["unlikelihood", "choices"])
def test_losses_of_the_rivals(objective):
    rng = np.random.default_rng(0)
    log_probs = [np.log(rng.uniform(0.05, 0.9, size)) for size in (3, 1, 4)]
    tensors = [torch.tensor(values) for values in log_probs]
    for right in range(3):
        got = float(LOSSES[objective].total(tensors, right))
        assert got == pytest.approx(brute_force_loss(objective, log_probs, right), rel=1e-5)


def test_a_certain_wrong_token_leaves_the_loss_finite():
    certain = torch.zeros(2, requires_grad=True)
    loss = LOSSES["unlikelihood"].total([torch.tensor([-1.0]), certain], 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(certain.grad).all()


def test_training_fits_the_examples_and_keeps_checkpoints(llama_checkpoint, tmp_path):
    recipe = replace(FAST, epochs=20)
    decoder, state = train(llama_checkpoint, tmp_path, recipe)
    losses = [loss for _, loss in state.losses]
    assert losses[-1] < 0.8 * losses[0]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["000008", "000016", "000032", "000064", "000128", "000256", "000480"]
    last = load_file(tmp_path / "checkpoints" / "000480" / "adapter_model.safetensors")
    for name, tensor in decoder.tensors("head").items():
        torch.testing.assert_close(last[name], tensor)
    rows = (tmp_path / "losses.csv").read_text().splitlines()
    assert rows[0] == "examples,loss"
    assert len(rows) == 1 + 120


def test_a_shorter_run_is_the_beginning_of_a_longer_one(llama_checkpoint, tmp_path):
    """A learning curve costs one run at a constant rate: its checkpoints are shorter runs."""
    train(llama_checkpoint, tmp_path / "long", replace(FAST, schedule="constant"), n=32)
    order = np.random.default_rng([0, 0]).permutation(32)[:16]
    decoder = LoraDecoder(str(llama_checkpoint), None, FAST)
    decoder.activate("head")
    examples = [Example(tree) for tree in draw_trees(32)]
    optimizer = torch.optim.AdamW(decoder.parameters_to_train, lr=1e-2, weight_decay=0.0)
    for start in range(0, 16, 4):
        chosen = [examples[i] for i in order[start : start + 4]]
        parameters = decoder.parameters_to_train
        loop._gradient(decoder, chosen, LOSSES["likelihood"], parameters, 0)
        optimizer.step()
        optimizer.zero_grad()
    kept = load_file(tmp_path / "long" / "checkpoints" / "000016" / "adapter_model.safetensors")
    for name, tensor in decoder.tensors("head").items():
        torch.testing.assert_close(kept[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_an_interrupted_run_goes_on_to_the_same_result(
    dropout, llama_checkpoint, tmp_path, monkeypatch
):
    recipe = replace(FAST, dropout=dropout, schedule="cosine", warmup=2, weight_decay=0.01)
    whole, _ = train(llama_checkpoint, tmp_path / "whole", recipe)

    class StoppedError(Exception):
        pass

    def stop(done):
        stop.steps += 1
        if stop.steps == 4:
            raise StoppedError

    stop.steps = 0
    monkeypatch.setattr(lora_loop, "SAVE_EVERY", -1.0)  # after every step
    with pytest.raises(StoppedError):
        train(llama_checkpoint, tmp_path / "parts", recipe, advance=stop)
    done = []
    parts, state = train(llama_checkpoint, tmp_path / "parts", recipe, advance=done.append)
    assert done[0] == 8  # two steps were written, the third was lost
    assert state.done
    assert len(state.losses) == 6
    for name, tensor in whole.tensors("head").items():
        assert torch.equal(parts.tensors("head")[name], tensor)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from likra_lite.heads import lora_loop
from test_train import FAST, train
from dataclasses import replace
lora_loop.SAVE_EVERY = 0.0
def slowly(n):
    print("step", flush=True)
    time.sleep({pause})
train(sys.argv[1], Path(sys.argv[2]), replace(FAST, epochs=4), advance=slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_goes_on_to_the_same_result(number, llama_checkpoint, tmp_path):
    script = SCRIPT.format(tests=str(ROOT / "tests"), pause=0.1)
    command = [sys.executable, "-c", script, str(llama_checkpoint), str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(7):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    if number != signal.SIGKILL:
        assert "KeyboardInterrupt" in errors
    recipe = replace(FAST, epochs=4)
    done = []
    resumed, _ = train(llama_checkpoint, tmp_path / "killed", recipe, advance=done.append)
    assert 0 < done[0] < 96
    whole, _ = train(llama_checkpoint, tmp_path / "whole", recipe)
    for name, tensor in whole.tensors("head").items():
        assert torch.equal(resumed.tensors("head")[name], tensor)


def test_other_settings_do_not_go_on(llama_checkpoint, tmp_path):
    train(llama_checkpoint, tmp_path)
    with pytest.raises(LikraError, match=r"learning_rate 0\.01, and now it is 0\.02"):
        train(llama_checkpoint, tmp_path, replace(FAST, learning_rate=0.02))
    with pytest.raises(LikraError, match="examples"):
        train(llama_checkpoint, tmp_path, n=8)
    train(llama_checkpoint, tmp_path, replace(FAST, max_tokens=64))  # the result is the same
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(LikraError, match="delete it to train again"):
        train(llama_checkpoint, tmp_path)


def test_training_stops_early_with_the_best_head(llama_checkpoint, tmp_path):
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.9])
    recipe = replace(FAST, epochs=20, patience=2)
    decoder, state = train(llama_checkpoint, tmp_path, recipe, evaluate=lambda: next(scores))
    assert [score for _, score in state.scores] == [0.5, 0.7, 0.6, 0.65]
    best = load_file(tmp_path / "checkpoints" / "000016" / "adapter_model.safetensors")
    for name, tensor in decoder.tensors("head").items():
        assert torch.equal(best[name], tensor)
    again, state = train(llama_checkpoint, tmp_path, recipe, evaluate=lambda: next(scores))
    assert state.done
    for name, tensor in again.tensors("head").items():
        assert torch.equal(best[name], tensor)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedules_are_those_of_transformers(schedule):
    from transformers import get_scheduler

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    kind = "constant_with_warmup" if schedule == "constant" else schedule
    scheduler = get_scheduler(kind, optimizer, num_warmup_steps=0, num_training_steps=10)
    recipe = LoraRecipe(schedule=schedule)
    for step in range(10):
        assert lora_loop._rate(step, 10, recipe) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    warm = LoraRecipe(schedule=schedule, warmup=4)
    assert [lora_loop._rate(step, 10, warm) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]


def test_out_of_memory_says_what_to_lower(llama_checkpoint, tmp_path, monkeypatch):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(LoraDecoder, "forward", exhausted)
    with pytest.raises(LikraError, match=r"lower max_tokens \(now 4096\), or use gradient_check"):
        train(llama_checkpoint, tmp_path)


def test_a_gpu_without_bfloat16_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    device = torch.device("cuda")
    assert choose_dtype("auto", device) == torch.float32
    with pytest.raises(LikraError, match="Some GPU has no bfloat16; use precision float32"):
        choose_dtype("bfloat16", device)


def test_a_large_model_without_a_gpu_is_a_warning(llama_checkpoint, monkeypatch, items):
    monkeypatch.setattr("likra_lite.lora_training.fit_lora.LARGE", 1000)
    with pytest.warns(SlowTrainingWarning, match="no GPU was found"):
        lora(llama_checkpoint, mode="sft").fit(items[:12])


def test_bfloat16_trains_float32_factors(llama_checkpoint, tmp_path):
    recipe = replace(FAST, epochs=20)
    decoder = LoraDecoder(str(llama_checkpoint), None, recipe, torch.bfloat16)
    examples = [Example(tree) for tree in draw_trees(24)]
    state = loop.train_adapter(decoder, "head", examples, tmp_path, "model")
    assert {p.dtype for p in decoder.parameters_to_train} == {torch.float32}
    assert state.losses[-1][1] < 0.85 * state.losses[0][1]


def launch_two(*arguments):
    options = "--cpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launch, *arguments]
    return subprocess.run(command, check=True, env=environment, capture_output=True, timeout=200)


def test_two_processes_train_the_same_head(llama_checkpoint, tmp_path):
    """With accelerate on two CPU processes, and a last step of a single example."""
    script = tmp_path / "two.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "from pathlib import Path\nfrom test_train import train\n"
        "train(sys.argv[1], Path(sys.argv[2]), n=25)\n"
    )
    launch_two(str(script), str(llama_checkpoint), str(tmp_path / "two"))
    one, _ = train(llama_checkpoint, tmp_path / "one", n=25)
    two = load_file(tmp_path / "two" / "checkpoints" / "000025" / "adapter_model.safetensors")
    for name, tensor in one.tensors("head").items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5)


def lora(checkpoint, folder=None, recipe=FAST, **how):
    how = {"cache": False, "mode": "likra", "alpha": 1.0, **how}
    return LikraClassifier(checkpoint, adapter="lora", recipe=recipe, train_dir=folder, **how)


def test_two_processes_fit_on_the_command_line(llama_checkpoint, tmp_path):
    """One of them writes and prints."""
    questions = str(ROOT / "examples" / "questions.jsonl")
    common = ["fit", questions, "--adapter", "lora", "--model", str(llama_checkpoint)]
    common += ["--learning-rate", "0.01", "--mode", "likra", "--alpha", "1", "--no-cache"]
    done = launch_two("--module", "likra_lite", *common, "--out", str(tmp_path / "two"))
    assert done.stdout.decode().count("fitted positive and negative LoRA heads on") == 1
    alone = [sys.executable, "-m", "likra_lite", *common, "--out", str(tmp_path / "one")]
    subprocess.run(alone, check=True, capture_output=True)
    one, two = (LikraClassifier.load(tmp_path / name) for name in ("one", "two"))
    for head in ("positive", "negative"):
        expected, got = (c.held_out_.heads[head] for c in (one, two))
        np.testing.assert_allclose(got, expected, atol=5e-3)
    assert sorted(path.name for path in (tmp_path / "one.train").iterdir()) == [
        "model",
        "model.json",
        "negative",
        "positive",
    ]


def test_an_imported_folder_scores_like_the_trained_one(llama_checkpoint, tmp_path, items, capsys):
    work = tmp_path / "work"
    trained = lora(llama_checkpoint, work).fit(items)
    adapters = [
        part
        for head in ("positive", "negative")
        for part in (f"--{head}", work / head / "checkpoints" / f"{trained.n_items_:06d}")
    ]
    questions = ROOT / "examples" / "questions.jsonl"
    how = ["--model", llama_checkpoint, "--out", tmp_path / "imported", "--mode", "likra"]
    status, printed, errors = run("import-adapters", questions, *adapters, *how, capsys=capsys)
    assert status == 0, errors
    assert "imported positive and negative" in printed
    imported = LikraClassifier.load(tmp_path / "imported").log_likelihoods(items)
    expected = trained.log_likelihoods(items)
    for head in ("base", "positive", "negative"):
        np.testing.assert_allclose(imported.heads[head], expected.heads[head], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--adapter", "output", "--rank", "4"], "--rank is a setting of LoRA; add --adapter lora"),
        (["--adapter", "lora", "--model", "nowhere/at/all"], "there is no such folder"),
        (["--adapter", "lora", "--objective", "choices"], "objective choices needs PyTorch"),
        (["--adapter", "lora", "--epochs", "0"], "0 is not in the range x>=1"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message, tmp_path, capsys):
    questions = str(ROOT / "examples" / "questions.jsonl")
    status, _, errors = run("fit", questions, "--out", tmp_path / "out", *arguments, capsys=capsys)
    assert status != 0
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_that_the_same_command_goes_on(llama_checkpoint, tmp_path, capsys, monkeypatch):
    questions = ROOT / "examples" / "questions.jsonl"
    how = ["--adapter", "lora", "--model", llama_checkpoint, "--out", tmp_path / "out"]

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_gradient", interrupted)
        status, _, errors = run("fit", questions, *how, "--mode", "sft", capsys=capsys)
    assert status == 130
    assert f"kept in {tmp_path / 'out'}.train; the same command goes on from there" in errors
    status, printed, errors = run("fit", questions, *how, "--mode", "sft", capsys=capsys)
    assert status == 0
    assert "going on from" in errors
    assert "fitted positive LoRA head on" in printed


def test_fit_trains_holds_out_and_scores(llama_checkpoint, tmp_path, items):
    classifier = lora(llama_checkpoint, tmp_path).fit(items)
    assert classifier.n_items_ + len(classifier.held_out_y_) == len(items)
    assert classifier.predict(items).shape == (48,)
    decoder = LoraDecoder(str(llama_checkpoint), None, FAST)
    scorer = classifier.scorer_
    trees, _ = scorer.model.encoder.trees(scorer.pairs(items))
    for head, adapter in scorer.fitted.items():
        decoder.activate(head)
        name = f"{classifier.n_items_:06d}"
        path = tmp_path / head / "checkpoints" / name / "adapter_model.safetensors"
        decoder.set_tensors(head, load_file(path))
        table = scorer.table(items, [head])
        np.testing.assert_allclose(table.heads[head], decoder.log_likelihoods(trees), atol=1e-3)
        assert adapter.key == decoder.adapter(head).key
    again = lora(llama_checkpoint, tmp_path).fit(items)  # nothing is trained again
    np.testing.assert_array_equal(
        again.held_out_.heads["negative"], classifier.held_out_.heads["negative"]
    )


def test_cross_fitting_and_validation_items(llama_checkpoint, tmp_path, items):
    crossed = lora(llama_checkpoint, tmp_path / "crossed", cv=2).fit(items[:20])
    assert crossed.n_items_ == 20
    np.testing.assert_array_equal(crossed.held_out_y_, [item.answer for item in items[:20]])
    base = crossed.scorer_.table(items[:20], ["base"])
    np.testing.assert_allclose(crossed.held_out_.heads["base"], base.heads["base"], atol=1e-4)
    validated = lora(llama_checkpoint).fit(items[:20], X_validation=items[20:30])
    assert len(validated.held_out_) == 10
    for head, adapter in validated.scorer_.fitted.items():
        for module, pair in crossed.scorer_.fitted[head].factors.items():
            for ours, theirs in zip(adapter.factors[module], pair, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("objective", ["unlikelihood", "choices", "dpo"])
def test_rivals_raise_the_margin_of_right_answers(objective, llama_checkpoint, tmp_path, items):
    recipe = replace(FAST, objective=objective, epochs=6)
    classifier = lora(llama_checkpoint, tmp_path, recipe, mode="sft", negatives="all")
    classifier.fit(items[:16], X_validation=items[16:24])
    table = classifier.log_likelihoods(items[:16], ("base", "positive"))

    def margin(head):
        scores = table.split(table.heads[head])
        return np.mean(
            [
                s[i.answer] - np.delete(s, i.answer).mean()
                for s, i in zip(scores, items, strict=False)
            ]
        )

    assert margin("positive") > margin("base") + 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": 3}, "got a model of type int; expected a model folder"),
        ({"recipe": replace(FAST, objective="choices")}, "trains a single head; use mode 'sft'"),
        ({"recipe": replace(FAST, patience=1), "cv": 2}, "leave out cv"),
        ({"recipe": {"rank": 2}}, "expected a LoraRecipe"),
        ({"adapter": "prefix"}, "got adapter='prefix'"),
    ],
)
def test_what_cannot_be_trained(change, message, llama_checkpoint, tmp_path, items):
    classifier = lora(llama_checkpoint, tmp_path).set_params(**change)
    with pytest.raises(LikraError, match=message):
        classifier.fit(items[:12])


def test_a_train_dir_of_another_model_is_refused(llama_checkpoint, tmp_path, items):
    lora(llama_checkpoint, tmp_path / "work", mode="sft").fit(items[:8])
    gpt2 = save_checkpoint("gpt2", tmp_path / "gpt2")
    with pytest.raises(LikraError, match="holds a model with checkpoint"):
        lora(gpt2, tmp_path / "work", mode="sft").fit(items[:8])


def test_a_train_dir_for_other_matrices_is_refused(llama_checkpoint, tmp_path, items):
    lora(llama_checkpoint, tmp_path / "work", mode="sft").fit(items[:8])
    top = replace(FAST, top_layers=1)
    with pytest.raises(LikraError, match="holds a model for heads that change other matrices"):
        lora(llama_checkpoint, tmp_path / "work", top, mode="sft").fit(items[:8])


def test_fits_of_a_process_share_one_export(llama_checkpoint, items):
    """Of one set of matrices; graphs for those of all MLPs are built, others traced."""

    def exported(recipe):
        classifier = lora(llama_checkpoint, None, recipe, mode="sft").fit(items[:8])
        model = classifier.scorer_.model
        return model.folder, model.manifest.exporter

    first, top = exported(FAST), exported(replace(FAST, top_layers=1))
    assert first == exported(replace(FAST, rank=3))
    assert first[0] != top[0]
    assert (first[1], top[1]) == ("built", "traced")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rank", 0),
        ("learning_rate", 0),
        ("dropout", 2),
        ("objective", "x"),
        ("patience", 0),
        ("schedule", "x"),
        ("precision", "x"),
        ("target_modules", "up_proj"),
        ("weight_decay", -1),
    ],
)
def test_recipes_out_of_range(setting, value):
    with pytest.raises(LikraError, match=setting):
        LoraRecipe(**{setting: value})


def test_a_recipe_survives_the_folder(llama_checkpoint, tmp_path, items):
    recipe = replace(FAST, target_modules=["up_proj"], top_layers=1)
    lora(llama_checkpoint, None, recipe, mode="sft").fit(items[:8]).save(tmp_path / "saved")
    assert LikraClassifier.load(tmp_path / "saved").recipe == recipe
    stored = json.loads((tmp_path / "saved" / "classifier.json").read_text())
    assert stored["parameters"]["recipe"]["rank"] == 2
