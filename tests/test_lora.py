"""LoRA heads in ONNX Runtime, against PEFT on the checkpoint itself."""

from __future__ import annotations

import json
import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from checkpoints import save_checkpoint
from peft import LoraConfig, PeftModel, get_peft_model
from reference import TorchScorer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from likra_lite import Item, LanguageModel, LikraClassifier, LikraError
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.head import Lora, stack_factors
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import ExportError, ModelFolderError, RatioWarning
from likra_lite.export.traced.targets import find_targets
from likra_lite.heads.peft_folder import read_peft_folder
from likra_lite.lora_training.imports import import_adapters
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")

ARCHITECTURES = ("llama", "gpt2", "gpt_neo", "gpt_neox", "qwen3", "gemma2", "phi3", "opt")
HEADS = ("positive", "negative")


def save_random_adapter(checkpoint, folder, seed, **settings):
    """Save an adapter with PEFT, as the authors' code does, and return the adapted model."""
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    targets = settings.pop("target_modules", None) or list(find_targets(model).modules)
    gpt2 = model.config.model_type == "gpt2"
    config = LoraConfig(
        r=3, lora_alpha=5, target_modules=targets, fan_in_fan_out=gpt2, task_type="CAUSAL_LM"
    )
    for name, value in settings.items():
        setattr(config, name, value)
    peft = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    peft.save_pretrained(str(folder))
    return peft.eval()


def expected_scores(checkpoint, peft, items):
    scorer = TorchScorer(checkpoint)
    scorer.model = peft
    return np.concatenate(
        [scorer.choices(f"\n\nQuestion: {item.question}\nAnswer:", item.choices) for item in items]
    )


@pytest.fixture(scope="module")
def llama(llama_checkpoint, tmp_path_factory, items):
    """A classifier with two imported adapters on the random Llama, and PEFT's models."""
    folder = tmp_path_factory.mktemp("lora")
    pefts = {
        head: save_random_adapter(llama_checkpoint, folder / head, seed)
        for seed, head in enumerate(HEADS)
    }
    classifier = import_adapters(
        llama_checkpoint,
        items,
        positive=folder / "positive",
        negative=folder / "negative",
        train_dir=folder / "work",
        mode="likra",
        cache=False,
    )
    return classifier, pefts, folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_imported_adapters_score_as_in_peft(architecture, tmp_path, items):
    checkpoint = save_checkpoint(architecture, tmp_path / "checkpoint")
    peft = save_random_adapter(checkpoint, tmp_path / "adapter", 0)
    classifier = import_adapters(
        checkpoint, items[:6], negative=tmp_path / "adapter", mode="base-likra", cache=False
    )
    table = classifier.log_likelihoods(items[:6])
    expected = expected_scores(checkpoint, peft, items[:6])
    np.testing.assert_allclose(table.heads["negative"], expected, atol=1e-3)
    assert np.abs(table.heads["negative"] - table.heads["base"]).max() > 0.1
    plain = TorchScorer(checkpoint)
    base = [plain.choices(f"\n\nQuestion: {i.question}\nAnswer:", i.choices) for i in items[:6]]
    np.testing.assert_allclose(table.heads["base"], np.concatenate(base), atol=1e-3)


def test_both_heads_are_kept_apart_and_survive_the_folder(llama, llama_checkpoint, items, tmp_path):
    classifier, pefts, _ = llama
    classifier.save(tmp_path / "saved")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    loaded = LikraClassifier.load(tmp_path / "moved")
    table = loaded.log_likelihoods(items)
    for head in HEADS:
        expected = expected_scores(llama_checkpoint, pefts[head], items)
        np.testing.assert_allclose(table.heads[head], expected, atol=1e-3)
    np.testing.assert_array_equal(loaded.predict(items), classifier.predict(items))
    assert loaded.get_params()["adapter"] == "lora"


def test_a_score_does_not_depend_on_what_is_read_beside_it(llama, items):
    classifier, _, _ = llama
    scorer = classifier.scorer_
    passage = " ".join(items[0].choices) * 12
    shared = [Item(i.question, i.choices, context=passage) for i in items[:12]]
    for several in (items, shared):  # alone, in batches, and behind a common beginning
        together = scorer.table(several).heads
        for place in (0, 5):
            alone = scorer.table([several[place]]).heads
            start = sum(len(item.choices) for item in several[:place])
            for head, values in alone.items():
                part = together[head][start : start + len(values)]
                np.testing.assert_allclose(part, values, atol=1e-3)


def test_tokens_of_an_explanation_add_up(llama, items):
    classifier, _, _ = llama
    table = classifier.log_likelihoods(items[:1])
    explanation = classifier.explain(items[0])
    for head in ("base", *HEADS):
        sums = [choice.log_probs[head].sum() for choice in explanation.choices]
        np.testing.assert_allclose(sums, table.heads[head], atol=1e-4)


def test_scores_are_cached_by_adapter(llama, items, tmp_path, monkeypatch):
    from likra_lite.engine.cache import Cache

    classifier, _, _ = llama
    scorer = classifier.scorer_
    first = ChoiceScorer(scorer.model, scorer.prompt, scorer.fitted, Cache(tmp_path))
    expected = first.table(items[:4])
    swapped = {"positive": scorer.fitted["negative"], "negative": scorer.fitted["positive"]}
    other = ChoiceScorer(scorer.model, scorer.prompt, swapped, Cache(tmp_path))

    def computed(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(LanguageModel, "read_and_score", computed)
    again = first.table(items[:4])
    crossed = other.table(items[:4])
    for head in ("base", *HEADS):
        np.testing.assert_array_equal(again.heads[head], expected.heads[head])
    np.testing.assert_array_equal(crossed.heads["positive"], expected.heads["negative"])


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"alpha_pattern": {"up_proj": 9}},
        {"alpha_pattern": {r"layers\.1\..*": 9, "down_proj": 1}},
        {"rank_pattern": {"(up|down)_proj": 2}, "alpha_pattern": {r"model.*\.0\.mlp\.\w+": 7}},
        {"rank_pattern": {r"^model\.layers\.0\.mlp\.up_proj": 4}, "use_rslora": True},
        {"alpha_pattern": {"proj": 9, "p_proj": 11, "layers.0": 13}},  # match nothing
        {"init_lora_weights": "gaussian"},
    ],
)
@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys did not match")
def test_peft_scales_are_read(settings, llama_checkpoint, tmp_path, items):
    save_random_adapter(llama_checkpoint, tmp_path / "adapter", 1, **settings)
    # As PEFT opens it: saving sorts the patterns, of which the first that fits counts.
    model = AutoModelForCausalLM.from_pretrained(
        llama_checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    peft = PeftModel.from_pretrained(model, tmp_path / "adapter").eval()
    classifier = import_adapters(
        llama_checkpoint, items[:4], positive=tmp_path / "adapter", mode="sft", cache=False
    )
    expected = expected_scores(llama_checkpoint, peft, items[:4])
    table = classifier.log_likelihoods(items[:4])
    np.testing.assert_allclose(table.heads["positive"], expected, atol=1e-3)


def test_layers_below_the_first_adapted_one_run_once(llama_checkpoint, tmp_path, items):
    """The keys and values of a lower layer have a row for each text, not for each head."""
    targets = ["model.layers.1.mlp.up_proj"]
    save_random_adapter(llama_checkpoint, tmp_path / "adapter", 2, target_modules=targets)
    classifier = import_adapters(
        llama_checkpoint, items[:4], positive=tmp_path / "adapter", mode="sft", cache=False
    )
    session = classifier.scorer_.model._open().adapted.session
    rows = {node.name: node.shape[0] for node in session.get_inputs()}
    assert rows["past.0.key"] == "B"
    assert rows["past.1.key"] == "KB"


def test_ranks_are_filled_up_with_zeros(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"m": (5, 4)}
    adapters = [Lora({"m": (rng.normal(size=(5, r)), rng.normal(size=(r, 4)))}) for r in (1, 3)]
    feeds = stack_factors([adapters[0], None, adapters[1]], shapes, tmp_path)
    x = rng.normal(size=(7, 5))
    for place, adapter in enumerate([adapters[0], None, adapters[1]]):
        a, b = feeds["lora.m.a"][place], feeds["lora.m.b"][place]
        expected = 0.0 if adapter is None else x @ adapter.factors["m"][0] @ adapter.factors["m"][1]
        np.testing.assert_allclose(x @ a @ b, np.broadcast_to(expected, (7, 4)), atol=1e-5)


def test_adapters_of_another_model_are_refused(llama, tmp_path):
    classifier, _, folder = llama
    model = classifier.scorer_.model
    foreign = Lora({"model.layers.9.mlp.up_proj": (np.zeros((32, 2)), np.zeros((2, 64)))})
    with pytest.raises(ModelFolderError, match=r"layers\.9"):
        model.read_and_score([TokenTree([1], [[2]])], [foreign])
    gpt2 = save_checkpoint("gpt2", tmp_path / "gpt2")
    with pytest.raises(ExportError, match="trained on another model"):
        import_adapters(gpt2, [("q", ["a", "b"])], [0], positive=folder / "positive")


def test_a_folder_without_the_graph_says_so(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "older")
    (tmp_path / "older" / "adapted.onnx").unlink()
    write_manifest(tmp_path / "older", read_manifest(model_folder))
    with pytest.raises(ModelFolderError, match=r"no adapted\.onnx.*export the model again"):
        LanguageModel(tmp_path / "older").read_and_score([TokenTree([1], [[2]])], [Lora({})])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"use_dora": True}, "use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"alora_invocation_tokens": [5, 6]}, r"alora_invocation_tokens=\[5, 6\]"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"setting_of_tomorrow": {"a": 1}}, "setting_of_tomorrow={'a': 1}; only plain LoRA"),
        ({"init_lora_weights": "pissa"}, "'pissa', which may have changed the weights of the base"),
        ({"init_lora_weights": "pissa_niter_16"}, "'pissa_niter_16', which"),
        ({"init_lora_weights": "olora"}, "'olora', which"),
        ({"init_lora_weights": "corda"}, "'corda', which"),
        ({"init_lora_weights": "eva"}, "'eva', which"),
        ({"init_lora_weights": "loftq"}, "'loftq', which"),
        ({"init_lora_weights": "lora_ga"}, "'lora_ga', which"),
        (
            {"r": 5},
            r"has rank 5 for model\.layers\.\d+\.\S+ in its settings but matrices of rank 3",
        ),
        ({"rank_pattern": {"up_proj": 4}}, r"rank 4 for \S+up_proj"),
        ({"alpha_pattern": {"(": 4}}, "alpha_pattern that is none"),
        ({"lora_alpha": "many"}, "no number for r or lora_alpha"),
        ({"r": None}, "lora"),
        (None, "cannot be read"),
    ],
)
def test_folders_that_are_no_plain_lora_are_refused(llama, tmp_path, change, message):
    source = llama[2] / "positive"
    folder = tmp_path / "adapter"
    shutil.copytree(source, folder)
    path = folder / "adapter_config.json"
    if change is None:
        path.write_text("{")
    else:
        content = json.loads(path.read_text()) | change
        if change == {"r": None}:
            del content["r"]
            message = "KeyError"
        path.write_text(json.dumps(content))
    with pytest.raises(ModelFolderError, match=message):
        read_peft_folder(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match="safe_serialization"):
        read_peft_folder(folder)
    path.unlink()
    with pytest.raises(ModelFolderError, match="expected a folder that PEFT saved"):
        read_peft_folder(folder)


@pytest.mark.parametrize("name", ["lm_head.weight", "model.embed_tokens.weight"])
def test_embeddings_saved_with_an_adapter_say_what_to_do(llama, tmp_path, name):
    folder = tmp_path / "adapter"
    shutil.copytree(llama[2] / "positive", folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[f"base_model.model.{name}"] = torch.zeros(4, 4)
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ModelFolderError, match=rf"holds {name}, .*merge_and_unload"):
        read_peft_folder(folder)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_adapters_are_read_without_pytorch(kind, llama, tmp_path, monkeypatch):
    folder = tmp_path / "adapter"
    shutil.copytree(llama[2] / "positive", folder)
    path = folder / "adapter_model.safetensors"
    tensors = {name: tensor.to(kind) for name, tensor in load_file(path).items()}
    save_file(tensors, path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    adapter, config = read_peft_folder(folder)
    for module, (down, up) in adapter.factors.items():
        a, b = (tensors[f"base_model.model.{module}.lora_{side}.weight"].float() for side in "AB")
        np.testing.assert_array_equal(down, a.numpy().T)
        np.testing.assert_allclose(up, config["lora_alpha"] / config["r"] * b.numpy().T, rtol=1e-6)


def test_ranks_of_both_matrices_agree(llama, tmp_path):
    folder = tmp_path / "adapter"
    shutil.copytree(llama[2] / "positive", folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name] = tensors[name][:, :-1].contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ModelFolderError, match="lora_A of rank 3 but lora_B of rank 2"):
        read_peft_folder(folder)


def test_adapters_that_do_harm_are_a_warning(tmp_path, items):
    checkpoint = save_checkpoint("qwen3", tmp_path / "checkpoint")
    save_random_adapter(checkpoint, tmp_path / "adapter", 0)
    arguments = {
        "negative": tmp_path / "adapter", "mode": "base-likra", "alpha": 5.0, "cache": False,
        "train_dir": tmp_path / "exported",
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioWarning)
        table = import_adapters(checkpoint, items[:20], **arguments).held_out_
    base = Decision("base").predict(table)  # that the base model is right is all that is needed
    with pytest.warns(RatioWarning, match="does worse than the base model"):
        import_adapters(checkpoint, items[:20], base, **arguments)


def test_a_mode_without_its_adapter_is_refused_at_once(llama_checkpoint, llama, items):
    adapter = llama[2] / "positive"
    with pytest.raises(LikraError, match="mode 'likra' needs a negative adapter"):
        import_adapters(llama_checkpoint, items, positive=adapter, mode="likra")


def test_folders_are_named_as_they_are(llama, model_folder, tmp_path, items):
    with pytest.raises(ModelFolderError, match="does not exist; expected a folder that PEFT"):
        read_peft_folder(tmp_path / "nowhere")
    with pytest.raises(ModelFolderError, match=r"such as .*positive"):
        read_peft_folder(llama[2])
    with pytest.raises(LikraError, match="is a model folder; PEFT adapters need the checkpoint"):
        import_adapters(model_folder, items, positive=llama[2] / "positive")


def test_nothing_to_import_is_an_error(llama_checkpoint, items):
    with pytest.raises(LikraError, match="got no adapters"):
        import_adapters(llama_checkpoint, items)


@pytest.mark.parametrize(
    ("how", "message"),
    [({"names": ["no_proj"]}, "down_proj"), ({"top_layers": 3}, "the model has 2 layers")],
)
def test_targets_that_are_not_there(llama_checkpoint, how, message):
    model = AutoModelForCausalLM.from_pretrained(llama_checkpoint)
    with pytest.raises(ExportError, match=message):
        find_targets(model, **how)


def test_the_default_targets_are_the_mlps(llama_checkpoint):
    model = AutoModelForCausalLM.from_pretrained(llama_checkpoint)
    names = {path.rpartition(".")[2] for path in find_targets(model).modules}
    assert names == {"gate_proj", "up_proj", "down_proj"}
    assert find_targets(model, top_layers=1).first_layer == 1
    assert set(find_targets(model, ["q_proj"]).modules) == {
        f"model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)
    }
