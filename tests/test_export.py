"""Traced graphs: every architecture against PyTorch, through text and the whole engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import ARCHITECTURES, needs_pytorch, save_checkpoint, save_drawn
from reference import difference
from safetensors import safe_open

from likra_lite import LanguageModel, read_items
from likra_lite.engine.forward import LONGEST, TOKEN_BUDGET
from likra_lite.engine.prefixes import plan
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import ExportError, LikraError
from likra_lite.export import export_model
from likra_lite.export.built.families import FAMILIES
from likra_lite.export.exporters import TRACERS, default_tracer, missing_packages
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer

INSTALLED = [name for name in TRACERS if not missing_packages(name)]
EXPORTERS = ["built", *INSTALLED]
needs_tracer = pytest.mark.skipif(not INSTALLED, reason="no tracer is installed")
# What is special about one: windows with soft caps, attention of its own, a bias behind the
# vocabulary, rotary embeddings of neighbours in a part of each head, parallel branches.
KINDS = ["llama", "gemma2", "gpt_neo", "phi", "glm", "gpt_neox"]
TRACED = ARCHITECTURES if "optimum" in INSTALLED else KINDS  # torch.export takes 15 s for one


@pytest.fixture(scope="module", params=TRACED)
def exported(request, tmp_path_factory) -> tuple[Path, Path]:
    """Checkpoint and traced model folder of one architecture."""
    if not INSTALLED:
        pytest.skip("no tracer is installed")
    root = tmp_path_factory.mktemp(request.param)
    checkpoint = save_checkpoint(request.param, root / "checkpoint")
    export_model(checkpoint, root / "model", exporter=default_tracer())
    return checkpoint, root / "model"


def test_every_architecture_agrees_with_pytorch(exported, items):
    assert difference(*exported, items[:8]) < 1e-4


@needs_pytorch
def test_tinystories_agrees_with_pytorch_on_arc_easy(
    tinystories, tinystories_checkpoint, shared_data
):
    items = read_items(shared_data / "arc_easy" / "official" / "test.jsonl")[:100]
    assert difference(tinystories_checkpoint, tinystories, items) < 1e-4


def test_built_graphs_agree_with_traced_ones(exported, tmp_path, items):
    checkpoint, folder = exported
    if json.loads((checkpoint / "config.json").read_text())["model_type"] not in FAMILIES:
        pytest.skip("traced only")
    export_model(checkpoint, tmp_path / "model", exporter="built")
    prompt = as_prompt("question")
    traced, built = (
        ChoiceScorer(LanguageModel(path), prompt).table(items[:8], ["base"]).heads["base"]
        for path in (folder, tmp_path / "model")
    )
    assert np.abs(built - traced).max() < 1e-4


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_beginning_of_text_is_the_tokenizers_own(exporter, tmp_path, items):
    checkpoint = save_drawn("llama", tmp_path / "checkpoint", prepend_bos=True)
    manifest = export_model(checkpoint, tmp_path / "model", exporter=exporter)
    assert manifest.tokens == {"prefix": [0], "empty": 0}
    assert difference(checkpoint, tmp_path / "model", items[:6]) < 1e-4


@needs_tracer
def test_separate_output_embedding_with_bias(tmp_path, items):
    checkpoint = save_checkpoint("phi", tmp_path / "checkpoint")  # phi's head has a bias
    manifest = export_model(checkpoint, tmp_path / "model")
    projection = LanguageModel(tmp_path / "model").projection
    assert projection.weight.shape == (manifest.vocab_size, manifest.hidden_size)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("tied", [True, False])
def test_tied_embedding_is_stored_once(tmp_path, tied, exporter):
    checkpoint = save_checkpoint("llama", tmp_path / "checkpoint", tie_word_embeddings=tied)
    manifest = export_model(checkpoint, tmp_path / "model", exporter=exporter)
    with safe_open(tmp_path / "model" / "weights.safetensors", framework="numpy") as weights:
        shape = [manifest.vocab_size, manifest.hidden_size]
        found = [
            name for name in weights.offset_keys() if weights.get_slice(name).get_shape() == shape
        ]
    assert len(found) == (1 if tied else 2)


def test_shared_prefix_equals_scoring_everything_alone(exported):
    """The graph's past inputs, in a window and out of it, with a row of several trees behind."""
    _, folder = exported
    model = LanguageModel(folder)
    rng = np.random.default_rng(0)
    prefix = rng.integers(2, 300, 90).tolist()
    trees = [
        TokenTree([*prefix, *rng.integers(2, 300, 5)], rng.integers(2, 300, (3, 4)).tolist())
        for _ in range(24)
    ]
    (branch,) = plan(trees, TOKEN_BUDGET // 2, LONGEST * TOKEN_BUDGET).branches
    assert branch.stop >= len(prefix)
    together = model.log_likelihoods(model.features(trees), [None])
    alone = [model.log_likelihoods(model.features([tree]), [None]) for tree in trees]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-4)


def test_manifest(model_folder):
    content = json.loads((model_folder / "likra.json").read_text())
    assert content["format_version"] == 2
    assert content["base_model"] == {
        "id": "checkpoint",
        "revision": None,
        "architecture": "LlamaForCausalLM",
    }
    assert content["parity"]["max_difference_nats"] < 1e-4
    assert set(content["files"]) == {
        "trunk.onnx",
        "adapted.onnx",
        "lora_gradient.onnx",
        "head.onnx",
        "gradient.onnx",
        "weights.safetensors",
        "tokenizer.json",
    }
    assert {path.stat().st_mode & 0o777 for path in model_folder.iterdir()} == {
        (model_folder / "likra.json").stat().st_mode & 0o777
    }


REFUSED = {
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
}


@needs_tracer
@pytest.mark.parametrize("model_type", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_architectures_that_cannot_be_exported_are_refused(model_type, tmp_path):
    checkpoint = save_checkpoint(model_type, tmp_path / "checkpoint", **REFUSED[model_type])
    with pytest.raises(ExportError, match="cannot be exported"):
        export_model(checkpoint, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("tracer", INSTALLED)
def test_untraceable_model_leaves_nothing_and_prints_no_graph(
    tracer, tmp_path, llama_checkpoint, monkeypatch, capfd
):
    def refuse(*_):
        raise RuntimeError("no such operator")

    how = {"dynamo": "_attention_node", "optimum": "_Attention.symbolic"}[tracer]
    monkeypatch.setattr(f"likra_lite.export.traced.operators.{how}", refuse)
    with pytest.raises(ExportError, match="LlamaForCausalLM cannot be traced to ONNX"):
        export_model(llama_checkpoint, tmp_path / "model", exporter=tracer)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


@needs_tracer
def test_wrong_graphs_are_not_written(tmp_path, llama_checkpoint, monkeypatch):
    from likra_lite.export.traced import trace as module

    monkeypatch.setattr(module, "logit_transform", lambda config: (1.5, None))
    with pytest.raises(ExportError, match="differ from PyTorch by"):
        export_model(llama_checkpoint, tmp_path / "model", exporter=default_tracer())
    assert not (tmp_path / "model").exists()


@needs_tracer
def test_mixture_of_experts_is_not_traced(llama_checkpoint, tmp_path):
    checkpoint = Path(shutil.copytree(llama_checkpoint, tmp_path / "checkpoint"))
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "num_local_experts": 8}))
    with pytest.raises(ExportError, match="is a mixture of experts; only dense models"):
        export_model(checkpoint, tmp_path / "model", exporter=default_tracer())


def test_encoder_decoder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')
    with pytest.raises(ExportError, match="only decoder-only"):
        export_model(tmp_path, tmp_path / "model")


def test_missing_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ExportError, match=r"cannot load .*nowhere"):
        export_model(tmp_path / "nowhere", tmp_path / "model")


def test_hub_id_with_revision(llama_checkpoint, tmp_path):
    """A hub cache laid out by hand: the loading code is the real one, the network is not."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "home" / "hub" / "models--likra--tiny"
    shutil.copytree(llama_checkpoint, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit)
    program = "from likra_lite.cli.main import main; main()"
    arguments = ["export", "likra/tiny", "--revision", "v1", "--out", tmp_path / "model"]
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
    )
    content = json.loads((tmp_path / "model" / "likra.json").read_text())
    assert content["base_model"]["id"] == "likra/tiny"
    assert content["base_model"]["revision"] == commit


def test_out_that_is_something_else_is_kept(tmp_path, llama_checkpoint):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(LikraError, match="exists and is not a model folder"):
        export_model(llama_checkpoint, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_existing_model_folder_is_replaced(tmp_path, llama_checkpoint):
    export_model(llama_checkpoint, tmp_path / "model")
    export_model(llama_checkpoint, tmp_path / "model")
    assert LanguageModel(tmp_path / "model").hidden_size == 32
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(len(INSTALLED) < 2, reason="one tracer is installed")
def test_tracers_agree(tmp_path, items):
    checkpoint = save_checkpoint("gemma2", tmp_path / "checkpoint")
    scores = []
    for tracer in INSTALLED:
        export_model(checkpoint, tmp_path / tracer, exporter=tracer)
        scorer = ChoiceScorer(LanguageModel(tmp_path / tracer), as_prompt("question"))
        scores.append(scorer.table(items[:8], ["base"]).heads["base"])
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_a_tracer_that_is_not_installed_says_what_brings_it(
    llama_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "likra_lite.export.exporters.importlib.util.find_spec",
        lambda name: None if name == "optimum" else object(),
    )
    monkeypatch.setitem(sys.modules, "optimum", None)
    monkeypatch.setitem(sys.modules, "optimum.exporters", None)
    monkeypatch.setitem(sys.modules, "optimum.exporters.onnx", None)
    with pytest.raises(LikraError, match=r'pip install "likra-lite\[optimum\]"'):
        export_model(llama_checkpoint, tmp_path / "model", exporter="optimum")


@needs_pytorch
def test_a_local_checkpoint_is_read_without_bars(llama_checkpoint, capfd):
    from likra_lite.export.traced.loading import load_checkpoint

    load_checkpoint(str(llama_checkpoint))
    assert capfd.readouterr().err == ""
