"""Nothing silent: numbers that are none, damage to the cache, and what leaves a machine."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from likra_lite import LikraClassifier, LogLikelihoods
from likra_lite.engine.cache import Cache
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.head import OutputMatrix
from likra_lite.errors import CacheWarning, LikraError, ModelFolderError
from likra_lite.prompts import as_prompt
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer

QUESTIONS = Path(__file__).resolve().parent.parent / "examples" / "questions.jsonl"


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def change(cache: Cache, content: object) -> None:
    with sqlite3.connect(cache.path) as connection:
        rows = connection.execute("SELECT key, value FROM entries").fetchall()
        for key, value in rows:
            new = content(value) if callable(content) else content
            connection.execute("UPDATE entries SET value = ? WHERE key = ?", (new, key))


def flipped(value: bytes, bit: int) -> bytes:
    place = bit % (8 * len(value))
    flip = 1 << place % 8
    return value[: place // 8] + bytes([value[place // 8] ^ flip]) + value[place // 8 + 1 :]


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bit=st.integers(0, 10**6))
def test_a_flipped_bit_changes_no_score(bit, model, items, tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    expected = scorer.table(items[:3])
    change(cache, lambda value: flipped(value, bit))
    with pytest.warns(CacheWarning, match="holds damaged entries; they are computed again"):
        found = scorer.table(items[:3])
    for head, column in expected.heads.items():
        np.testing.assert_allclose(found.heads[head], column, atol=1e-5)
    scorer.table(items[:3])  # as good as new: a warning would be an error here


@pytest.mark.parametrize("content", ["a text", None, 7, 1.5, b"", b"short", b"x" * 1000])
def test_malformed_entries(content, model, items, cache):
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    expected = scorer.table(items[:3], ["base"]).heads["base"]
    features = scorer.pair_scorer.features(scorer.pairs(items[:3])).features
    with sqlite3.connect(cache.path) as connection:  # a table that takes anything
        connection.execute("ALTER TABLE entries RENAME TO old")
        connection.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value, used)")
        connection.execute("INSERT INTO entries SELECT key, ?, 'never' FROM old", (content,))
    with pytest.warns(CacheWarning, match="holds damaged entries"):
        found = scorer.table(items[:3], ["base"]).heads["base"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.warns(CacheWarning, match="holds damaged entries"):
        again = scorer.pair_scorer.features(scorer.pairs(items[:3])).features
    np.testing.assert_array_equal(again.targets, features.targets)


def test_entries_do_not_stand_for_each_other(model, items, cache):
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    expected = [scorer.table([item], ["base"]).heads["base"] for item in items[:2]]
    with sqlite3.connect(cache.path) as connection:
        (one, a), (two, b) = connection.execute("SELECT key, value FROM entries").fetchall()
        connection.execute("UPDATE entries SET value = ? WHERE key = ?", (b, one))
        connection.execute("UPDATE entries SET value = ? WHERE key = ?", (a, two))
    with pytest.warns(CacheWarning, match="damaged"):
        found = [scorer.table([item], ["base"]).heads["base"] for item in items[:2]]
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))


def test_a_pickled_cache_is_off_where_the_cache_is_off(cache, monkeypatch):
    pickled = pickle.dumps(cache)
    assert pickle.loads(pickled) is None  # the tests run without one
    monkeypatch.setenv("LIKRA_LITE_CACHE", "elsewhere")
    assert pickle.loads(pickled) == cache


def test_numbers_of_a_head_that_are_none(model, items):
    broken = np.zeros((model.hidden_size,) * 2, np.float32)
    broken[3, 4] = np.nan
    scorer = ChoiceScorer(model, as_prompt("question"), {"positive": OutputMatrix(broken)})
    with pytest.raises(LikraError, match="gave nan for the log of a probability") as caught:
        scorer.table(items[:2])
    assert "\n" not in str(caught.value)
    scorer.table(items[:2], ["base", "neutral"])


def test_log_probabilities_above_zero(model, items, monkeypatch):
    class Graph:
        def run(self, names, feeds):
            return [np.full((1, len(feeds["targets"])), self.value)]

    graph = Graph()
    sessions = type("Sessions", (), {"head": graph})()
    scorer = ChoiceScorer(model, as_prompt("question"))
    trees, _ = model.encoder.trees(scorer.pairs(items[:2]))
    features = model.features(trees)
    monkeypatch.setattr(type(model), "_open", lambda self: sessions)
    graph.value = 1e-6  # what rounding may leave
    np.testing.assert_array_equal(model.token_log_probs(features, [None]), 0.0)
    for graph.value in (0.1, np.inf, -np.inf):
        with pytest.raises(LikraError, match=f"gave {graph.value} for the log"):
            model.token_log_probs(features, [None])


def test_scores_that_are_none():
    one = np.array([1, 1])
    lengths = {"tokens": one, "chars": one, "bytes": one}
    table = LogLikelihoods(np.array([0, 2]), {"base": np.array([-1.0, np.nan])}, lengths)
    with pytest.raises(LikraError, match="a score is nan by mode base"):
        Decision("base").predict(table)


@pytest.fixture
def fitted_copy(model_folder, items, tmp_path) -> Path:
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=0.9, cv=2)
    classifier.fit(items).save(tmp_path / "fitted")
    return tmp_path / "fitted"


@pytest.mark.parametrize("name", ["positive.safetensors", "held_out.safetensors"])
def test_folders_with_numbers_that_are_none(name, fitted_copy, capsys):
    from safetensors.numpy import load_file, save_file

    (path,) = fitted_copy.rglob(name)
    tensors = load_file(path)
    chosen = next(key for key, value in tensors.items() if value.dtype.kind == "f")
    tensors[chosen].flat[0] = np.nan
    path.unlink()  # a file of a model folder may be shared
    save_file(tensors, path)
    write_manifest(fitted_copy, read_manifest_unchecked(fitted_copy))
    with pytest.raises(ModelFolderError, match=f"{chosen} in {name} holds numbers that are none"):
        LikraClassifier.load(fitted_copy)
    option = ["--coverage", "0.8"] if name.startswith("held") else []
    status, out, err = run("score", QUESTIONS, "--model", fitted_copy, *option, capsys=capsys)
    assert (status, out, err.count("\n")) == (1, "", 1)


def read_manifest_unchecked(folder: Path):
    from likra_lite.engine.manifest import MANIFEST, Manifest

    content = json.loads((folder / MANIFEST).read_text())
    del content["format_version"]
    return Manifest(**content)


def test_an_alpha_that_is_none(fitted_copy, capsys):
    path = fitted_copy / "classifier.json"
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace("0.9", "NaN"))
    write_manifest(fitted_copy, read_manifest_unchecked(fitted_copy))
    assert read_manifest(fitted_copy)
    status, out, err = run("score", QUESTIONS, "--model", fitted_copy, capsys=capsys)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "NaN is no number" in err


@pytest.mark.parametrize("how", ["no parameters", "no alpha", "alpha of words"])
def test_parameters_that_are_not_there(how, fitted_copy, capsys):
    path = fitted_copy / "classifier.json"
    settings = json.loads(path.read_text())
    if how == "no parameters":
        del settings["parameters"]
    elif how == "no alpha":
        del settings["parameters"]["alpha"]
    else:
        settings["parameters"]["alpha"] = "much"
    path.unlink()
    path.write_text(json.dumps(settings))
    write_manifest(fitted_copy, read_manifest_unchecked(fitted_copy))
    status, out, err = run("score", QUESTIONS, "--model", fitted_copy, capsys=capsys)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "holds a classifier that cannot be read" in err


PROGRAM = """
import os, sys
import likra_lite
from likra_lite.cli.main import main
try: main(sys.argv[1:])
except SystemExit as stop: assert not stop.code, stop.code
import onnxruntime
print(os.environ["ORT_DISABLE_TELEMETRY"])
links = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
         if os.path.islink(f"/proc/self/fd/{n}")]
print([link for link in links if link.startswith("socket:")])
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open sockets are seen in /proc")
@pytest.mark.parametrize("wish", [None, "0"])
def test_nothing_leaves_the_machine_unasked(wish, model_folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))
    }
    environment |= {"HOME": str(home), "TMPDIR": str(home), "LIKRA_LITE_CACHE": "off"}
    if wish is not None:
        environment["ORT_DISABLE_TELEMETRY"] = wish
    out = tmp_path / "scores.jsonl"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "score", QUESTIONS, "--model", model_folder, "--out", out],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    setting, sockets = result.stdout.splitlines()
    assert setting == (wish or "1")
    if wish is None:
        assert sockets == "[]"
        assert list(home.rglob("*")) == []
