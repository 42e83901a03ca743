"""int8: close to float32, and independent of the batch."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from checkpoints import needs_pytorch, save_checkpoint
from command_line import run
from likra_lite.cli.quantize import report
from safetensors import safe_open

from likra_lite import LanguageModel, LikraClassifier, LoraRecipe, read_items
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import ExportError, LikraError, ModelFolderError
from likra_lite.export import export_model, quantize_model
from likra_lite.export.quantization import column_scales, rounded_to
from likra_lite.prompts import as_prompt
from likra_lite.scoring.agreement import Agreement, compare_scores
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.table import LogLikelihoods

# Of the last one the head has a bias; it is traced.
KINDS = ["llama", "gpt2", "gemma2", "granite", pytest.param("phi", marks=needs_pytorch)]


@pytest.fixture(scope="module")
def rounded(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "model"
    quantize_model(model_folder, folder)
    return folder


def table(folder, items) -> LogLikelihoods:
    return ChoiceScorer(LanguageModel(folder), as_prompt("question")).table(items, ["base"])


def test_weights_are_rounded_to_the_nearest_step():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(40, 7)).astype(np.float32) * np.logspace(-3, 3, 7, dtype=np.float32)
    weight[:, 2] = 0
    scale = column_scales(weight)
    values = rounded_to(scale, weight)
    assert values.dtype == np.int8
    assert scale.shape == (7,)
    assert np.all(np.abs(values * scale - weight) <= scale / 2 * (1 + 1e-5))


@pytest.mark.parametrize("size", [40, 41])
def test_products_of_neighbours_fit_in_16_bits(size):
    """Which is all that processors without VNNI have for them."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(size, 50)).astype(np.float32)
    values = rounded_to(column_scales(weight), weight)
    sums = np.add.reduceat(np.abs(values.astype(int)), np.arange(0, size, 2))
    assert 255 * sums.max() <= 2**15 - 1
    assert sums.max(axis=0).min() >= 126  # and nothing is given away


@pytest.mark.parametrize("kind", KINDS)
def test_scores_stay_close(kind, tmp_path, items):
    export_model(save_checkpoint(kind, tmp_path / "checkpoint"), tmp_path / "exact")
    quantize_model(tmp_path / "exact", tmp_path / "int8")
    exact, other = (table(tmp_path / name, items) for name in ("exact", "int8"))
    spread = np.std(exact.heads["base"])
    assert compare_scores(exact, other).mean_difference < 0.05 * spread
    assert compare_scores(exact, other).mean_difference > 0


def test_no_matrix_product_with_weights_is_left_in_float(rounded):
    import onnx

    for name in ("trunk.onnx", "head.onnx", "adapted.onnx"):
        graph = onnx.load(str(rounded / name), load_external_data=False).graph
        weights = {tensor.name for tensor in graph.initializer}
        kinds = [n.op_type for n in graph.node if len(n.input) > 1 and n.input[1] in weights]
        assert "MatMulIntegerToFloat" in kinds
        assert not {"MatMul", "Gemm"} & set(kinds)


def test_a_tokens_result_does_not_depend_on_the_batch(rounded):
    model = LanguageModel(rounded)
    rng = np.random.default_rng(0)
    trees = [
        TokenTree(rng.integers(2, 300, n).tolist(), rng.integers(2, 300, (3, 4)).tolist())
        for n in (5, 9, 30, 31, 70)
    ]
    together = model.log_likelihoods(model.features(trees), [None])
    alone = [model.log_likelihoods(model.features([tree]), [None]) for tree in trees]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-5)


def test_what_is_shared_is_read_once_in_int8_too(rounded):
    model = LanguageModel(rounded)
    prefix = list(range(2, 200))
    trees = [TokenTree([*prefix, n, n + 1], [[5, 6], [7]]) for n in range(24)]
    together = model.log_likelihoods(model.features(trees), [None])
    alone = [model.log_likelihoods(model.features([tree]), [None]) for tree in trees]
    spread = np.std(together)
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=0.1 * spread)


def test_tinystories_on_arc_easy(tinystories, tmp_path, shared_data):
    items = read_items(shared_data / "arc_easy" / "official" / "test.jsonl")[:300]
    quantize_model(tinystories, tmp_path / "int8")
    agreement = compare_scores(table(tinystories, items), table(tmp_path / "int8", items))
    assert agreement.flips <= 0.03 * len(items)
    assert agreement.divergence < 0.01


def test_heads_are_fitted_and_saved(rounded, items, tmp_path):
    classifier = LikraClassifier(rounded, adapter="output", mode="likra").fit(items)
    classifier.save(tmp_path / "fitted")
    found = LikraClassifier.load(tmp_path / "fitted").predict_proba(items)
    np.testing.assert_allclose(found, classifier.predict_proba(items), atol=1e-9)


@pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")
def test_lora_heads_are_fitted_and_saved(rounded, items, tmp_path):
    recipe = LoraRecipe(rank=2, learning_rate=1e-2)
    classifier = LikraClassifier(rounded, adapter="lora", recipe=recipe).fit(items)
    classifier.save(tmp_path / "fitted")
    found = LikraClassifier.load(tmp_path / "fitted").predict_proba(items)
    np.testing.assert_allclose(found, classifier.predict_proba(items), atol=1e-9)
    scored = classifier.log_likelihoods(items)
    right = scored.offsets[:-1] + [item.answer for item in items]
    assert scored.heads["positive"][right].mean() > scored.heads["base"][right].mean()


def test_every_graph_reads_the_same_rounded_weights(rounded):
    with safe_open(rounded / "weights.safetensors", framework="numpy") as weights:
        names = weights.offset_keys()
        slices = {name: weights.get_slice(name) for name in names}
        large = [name for name in names if len(slices[name].get_shape()) == 2]
        bytes_of = {name: weights.get_tensor(name).tobytes() for name in large}
    assert len(set(bytes_of.values())) == len(large)
    kinds = [slices[name].get_dtype() for name in large]
    assert kinds.count("I8") > 10
    assert kinds.count("F32") == 2  # the embedding, and the projection, which is not tied to it


def test_a_tied_embedding_stays_in_float_and_is_stored_once(tmp_path):
    checkpoint = save_checkpoint("llama", tmp_path / "checkpoint", tie_word_embeddings=True)
    model_folder, rounded = tmp_path / "exact", tmp_path / "int8"
    export_model(checkpoint, model_folder)
    quantize_model(model_folder, rounded)
    manifest = json.loads((rounded / "likra.json").read_text())
    assert manifest["precision"] == "int8"
    shape = [manifest["vocab_size"], manifest["hidden_size"]]
    with safe_open(rounded / "weights.safetensors", framework="numpy") as weights:
        found = [n for n in weights.offset_keys() if weights.get_slice(n).get_shape() == shape]
    assert len(found) == 1
    np.testing.assert_array_equal(
        LanguageModel(rounded).projection.weight, LanguageModel(model_folder).projection.weight
    )


def test_weights_shared_by_hard_links_can_be_read(model_folder, tmp_path):
    (tmp_path / "linked").mkdir()
    for path in model_folder.iterdir():
        os.link(path, tmp_path / "linked" / path.name)
    quantize_model(tmp_path / "linked", tmp_path / "int8")
    assert LanguageModel(tmp_path / "int8").manifest.precision == "int8"


def test_what_cannot_be_quantized(rounded, model_folder, items, tmp_path):
    with pytest.raises(ExportError, match="is int8 already; expected float32"):
        quantize_model(rounded, tmp_path / "out")
    LikraClassifier(model_folder, adapter="output", mode="sft").fit(items).save(tmp_path / "fitted")
    with pytest.raises(ExportError, match=r"has fitted heads.* quantize the model without heads"):
        quantize_model(tmp_path / "fitted", tmp_path / "out")
    with pytest.raises(ModelFolderError, match="does not exist"):
        quantize_model(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_agreement_by_hand():
    def scores(values: list[float]) -> LogLikelihoods:
        lengths = np.ones(5, dtype=int)
        return LogLikelihoods(
            np.array([0, 2, 5]),
            {"base": np.array(values)},
            {"tokens": lengths, "chars": lengths, "bytes": lengths},
        )

    exact, other = scores([0.0, -1.0, -2.0, -4.0, -3.0]), scores([-1.0, -0.5, -2.0, -4.0, -3.0])
    found = compare_scores(exact, other)
    p = np.exp([0.0, -1.0]) / np.exp([0.0, -1.0]).sum()
    q = np.exp([-1.0, -0.5]) / np.exp([-1.0, -0.5]).sum()
    assert found == Agreement(2, 1, 0.3, 1.0, -0.75, 0.75, pytest.approx(p @ np.log(p / q) / 2))
    assert str(found).startswith("1 of 2 answers differ (50.0%); log-likelihoods by 0.3 nats")
    short = exact.take(np.array([0]))
    with pytest.raises(LikraError, match="not of the same items"):
        compare_scores(exact, short)


def test_commands(llama_checkpoint, model_folder, tmp_path, capsys):
    command = f"export {llama_checkpoint} --out {tmp_path}/a --precision int8 --items handwritten"
    status, out, err = run(*command.split(), capsys=capsys)
    assert (status, err) == (0, "")
    assert "of 36 answers differ" in out
    assert "in float32" in out
    status, out, _ = run(*f"quantize {model_folder} --out {tmp_path}/b".split(), capsys=capsys)
    assert status == 0
    assert "pass --items FILE" in out
    for name in "ab":
        assert LanguageModel(tmp_path / name).manifest.precision == "int8"
    for arguments, message in {
        f"quantize {tmp_path}/b --out {tmp_path}/b": "--out is .* itself",
        f"export {llama_checkpoint} --out {tmp_path}/c --items demo": "add --precision int8",
    }.items():
        status, out, err = run(*arguments.split(), capsys=capsys)
        assert status != 0
        assert re.search(message, err)


def test_a_report_is_of_what_was_written(rounded, model_folder):
    """Not of what another process has put there meanwhile."""
    with pytest.raises(LikraError, match="was replaced by another process"):
        report(str(model_folder), str(rounded), "another fingerprint", None)
