"""What was computed once is not computed again, and never wrong."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
import sqlite3

import numpy as np
import pytest
from command_line import run

from likra_lite import Item, LanguageModel, LikraClassifier, LogLikelihoods
from likra_lite.engine.cache import Cache, cache_key, default_cache
from likra_lite.engine.features import Features
from likra_lite.engine.forward import TrunkRunner
from likra_lite.engine.head import OutputMatrix
from likra_lite.engine.pairs import PairScorer
from likra_lite.engine.sessions import open_sessions
from likra_lite.errors import CacheWarning, LikraError, TruncationWarning
from likra_lite.export import export_model
from likra_lite.export.parity import random_adapter
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Number of trees of every trunk pass that is really made."""
    made: list[int] = []
    read = TrunkRunner.run

    def count(self, trees, *rest, **named):
        made.append(len(trees))
        return read(self, trees, *rest, **named)

    monkeypatch.setattr(TrunkRunner, "run", count)
    return made


def same(first: LogLikelihoods, second: LogLikelihoods) -> None:
    for name in ("offsets", "n_tokens", "n_chars", "n_bytes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.heads.keys() == second.heads.keys()
    for head, column in first.heads.items():
        np.testing.assert_array_equal(column, second.heads[head])


def test_a_second_table_needs_no_pass(model, items, cache, passes):
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    first = scorer.table(items)
    assert sum(passes) == 2 * len(items)  # with and without the question
    passes.clear()
    same(scorer.table(items), first)
    same(scorer.table(items[::-1]), first.take(np.arange(len(items))[::-1]))
    assert passes == []


def test_only_chunks_that_are_new_are_computed(model, items, cache, passes, monkeypatch):
    monkeypatch.setattr("likra_lite.scoring.scorer.chunk_size", lambda manifest: 16)
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    scorer.table(items[:40], ["base"])
    assert passes == [16, 16, 8]
    passes.clear()
    same(
        scorer.table(items, ["base"]),
        ChoiceScorer(model, as_prompt("question")).table(items, ["base"]),
    )
    assert passes == [16, 16, 16, 16]  # the last one with the cache, and all without


def test_what_else_is_in_the_cache_moves_no_bit(model, items, cache):
    random = np.random.default_rng(0)
    head = OutputMatrix(random.normal(scale=0.1, size=(model.hidden_size,) * 2).astype(np.float32))
    fresh = ChoiceScorer(model, as_prompt("question"), {"negative": head})
    scorer = dataclasses.replace(fresh, cache=cache)
    for some in (items[:5], items[3:20], [items[0]] * 2, items[::2], items):
        for heads in (["base"], ["neutral"], ["negative", "base"], ["base", "negative", "neutral"]):
            same(scorer.table(some, heads), fresh.table(some, heads))


def test_the_model_as_it_is_beside_lora_heads_has_a_place_of_its_own(model, items, cache):
    """Another graph reads it, which may round otherwise; whichever was first."""
    lora = random_adapter(open_sessions(model.folder, model.manifest, 1).adapted.shapes)
    fresh = ChoiceScorer(model, as_prompt("question"), {"positive": lora})
    for fitted in ({}, {"positive": lora}, {}, {"positive": lora}):
        scorer = dataclasses.replace(fresh, fitted=fitted, cache=cache)
        same(
            scorer.table(items[:9], ["base", "neutral"]),
            dataclasses.replace(scorer, cache=None).table(items[:9], ["base", "neutral"]),
        )


def changed_window(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40}))


def changed_beginning(checkpoint):
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("change", [changed_window, changed_beginning])
@pytest.mark.filterwarnings("ignore::likra_lite.errors.TruncationWarning")
def test_twins_with_other_windows_or_tokens_share_nothing(
    change, model, llama_checkpoint, items, cache, tmp_path
):
    """Their graphs and weights are the same files."""
    checkpoint = shutil.copytree(llama_checkpoint, tmp_path / "checkpoint")
    change(checkpoint)
    export_model(checkpoint, tmp_path / "twin")
    twin = LanguageModel(tmp_path / "twin")
    for name in ("trunk.onnx", "weights.safetensors", "tokenizer.json"):
        assert twin.manifest.files[name] == model.manifest.files[name]
    prompt = as_prompt("question")
    ChoiceScorer(model, prompt, cache=cache).table(items, ["base"])
    same(
        ChoiceScorer(twin, prompt, cache=cache).table(items, ["base"]),
        ChoiceScorer(twin, prompt).table(items, ["base"]),
    )


def test_equal_pairs_are_computed_once(model, items, passes):
    scorer = ChoiceScorer(model, as_prompt("question"))
    table = scorer.table([items[0], items[1], items[0]], ["base"])
    assert passes == [2]
    same(table.take(np.array([0])), table.take(np.array([2])))


def test_another_prompt_head_model_or_text_has_another_key(model, items, cache, passes):
    size = model.hidden_size
    rng = np.random.default_rng(0)
    deltas = rng.normal(scale=0.1, size=(2, size, size)).astype(np.float32)
    variants = [
        ChoiceScorer(model, as_prompt("question"), {}, cache),
        ChoiceScorer(model, as_prompt("completion"), {}, cache),
        *(
            ChoiceScorer(model, as_prompt("question"), {"negative": OutputMatrix(d)}, cache)
            for d in deltas
        ),
    ]
    results = [scorer.table(items[:3], scorer.heads[:-1]) for scorer in variants]
    assert passes == [3] * 4
    values = [np.sum([*result.heads.values()][-1]) for result in results]
    assert len(set(values)) == 4
    assert cache_key("a", "bc") != cache_key("ab", "c") != cache_key("abc")


def test_features_are_kept(model, items, cache, passes):
    pairs = ChoiceScorer(model, as_prompt("question")).pairs([*items, items[3]])
    first = PairScorer(model, cache).features(pairs)
    assert sum(passes) == len(items)
    passes.clear()
    second = PairScorer(model, cache).features(pairs)
    assert passes == []
    expected = PairScorer(model).features(pairs)
    for features in (second.features, expected.features):
        np.testing.assert_array_equal(features.targets, first.features.targets)
        np.testing.assert_array_equal(features.lengths, first.features.lengths)
        np.testing.assert_allclose(
            features.hidden[features.rows], first.features.hidden[first.features.rows], atol=1e-4
        )


def test_a_second_fit_gives_the_same_heads_without_a_pass(
    model_folder, items, tmp_path, monkeypatch, passes
):
    monkeypatch.setenv("LIKRA_LITE_CACHE", str(tmp_path))
    first = LikraClassifier(model_folder, adapter="output", mode="likra").fit(items)
    passes.clear()
    second = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=0.5).fit(items)
    assert passes == []
    for head, fitted in first.scorer_.fitted.items():
        np.testing.assert_array_equal(second.scorer_.fitted[head].matrix, fitted.matrix)
    LikraClassifier(model_folder, adapter="output", mode="likra", cache=False).fit(items)
    assert sum(passes) > 0


def test_truncation_is_told_from_the_cache_too(model, cache):
    items = [Item("Short?", ("yes", "no")), Item("the soil " * 2000, ("water", "ice"))]
    scorer = ChoiceScorer(model, as_prompt("question"), cache=cache)
    for _ in range(2):
        with pytest.warns(TruncationWarning, match="1 of 2 .* first item 1"):
            scorer.table(items, ["base"])


def test_hidden_states_beyond_the_memory_are_in_a_file(model, items, monkeypatch):
    pairs = ChoiceScorer(model, as_prompt("question")).pairs(items)
    expected = PairScorer(model).features(pairs).features
    monkeypatch.setattr("likra_lite.engine.features.MEMORY_BYTES", 5000)
    monkeypatch.setattr("likra_lite.engine.features.ROWS_AT_A_TIME", 7)
    monkeypatch.setattr("likra_lite.engine.pairs.PAIRS_PER_CHUNK", 10)
    found = PairScorer(model).features(pairs).features
    assert isinstance(found.hidden, np.memmap)
    np.testing.assert_allclose(found.hidden[found.rows], expected.hidden[expected.rows], atol=1e-4)
    chosen = np.array([3, 0, 11])
    part, whole = found.take(chosen), expected.take(chosen)
    np.testing.assert_allclose(part.hidden[part.rows], whole.hidden[whole.rows], atol=1e-4)


def test_joined_features_equal_their_parts(model, items):
    pairs = ChoiceScorer(model, as_prompt("question")).pairs(items[:6])
    scorer = PairScorer(model)
    joined = Features.concatenate(scorer.features([pair]).features for pair in pairs)
    together = scorer.features(pairs).features
    np.testing.assert_array_equal(joined.targets, together.targets)
    np.testing.assert_allclose(
        joined.hidden[joined.rows], together.hidden[together.rows], atol=1e-4
    )


def fill(cache: Cache, start: int) -> int:
    for number in range(start, start + 40):
        cache.put({cache_key(str(number)): str(number).encode()})
        assert cache.get([cache_key(str(number))])
    return start


def test_two_processes_at_once(cache, monkeypatch):
    monkeypatch.setenv("LIKRA_LITE_CACHE", str(cache.folder))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(fill, [(cache, 0), (cache, 1000)])
    keys = {cache_key(str(n)): str(n).encode() for s in (0, 1000) for n in range(s, s + 40)}
    assert cache.get(keys) == keys
    assert cache.usage()[0] == 80


def test_the_least_recently_used_go_first(cache, monkeypatch):
    small = Cache(cache.folder, max_bytes=220_000)
    clock = iter(range(10**6, 10**7, 10**5))
    monkeypatch.setattr("likra_lite.engine.cache.time.time", lambda: next(clock))
    values = {name: cache_key(name) * 3000 for name in "abcde"}
    for name in "abcd":
        small.put({cache_key(name): values[name]})
    assert small.get([cache_key("a")])  # used again, after more than a day
    small.put({cache_key("e"): values["e"]})
    left = {name for name in "abcde" if small.get([cache_key(name)])}
    assert "a" in left
    assert "e" in left
    assert "b" not in left


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("damage", ["no database", "no folder"])
def test_scoring_goes_on_without_a_cache_that_cannot_be_used(model, items, tmp_path, damage):
    place = tmp_path / "cache"
    if damage == "no folder":
        place.write_text("a file")
    else:
        place.mkdir()
        (place / "cache.sqlite").write_text("this is no database" * 100)
    scorer = ChoiceScorer(model, as_prompt("question"), cache=Cache(place))
    with pytest.warns(CacheWarning, match="cannot be used .* likra-lite cache --clear"):
        table = scorer.table(items[:3], ["base"])
    expected = ChoiceScorer(model, as_prompt("question")).table(items[:3], ["base"])
    same(table, expected)


def test_a_locked_cache_is_waited_for_no_longer_than_patience(cache, monkeypatch):
    monkeypatch.setattr("likra_lite.engine.cache.PATIENCE", 0.05)
    cache.put({b"k": b"v"})
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(CacheWarning, match="database is locked"):
        assert cache.get([b"k"]) == {}
    other.close()
    assert cache.get([b"k"]) == {b"k": b"v"}


def test_command(tmp_path, monkeypatch, model_folder, capsys):
    def call(*arguments: str) -> str:
        status, out, _ = run(*arguments, capsys=capsys)
        assert status == 0
        return out

    monkeypatch.setenv("LIKRA_LITE_CACHE", str(tmp_path))
    arguments = ["score", "handwritten", "--model", str(model_folder)]
    first = call(*arguments)
    assert call(*arguments) == first
    assert " 1 entry, 0.0 MB\n" in call("cache")
    assert " 0 entries" in call("cache", "--clear")
    assert call(*arguments, "--no-cache").count("\n") == 36
    assert " 0 entries" in call("cache")
    monkeypatch.setenv("LIKRA_LITE_CACHE", "off")
    assert call("cache") == "the cache is off (LIKRA_LITE_CACHE=off)\n"
    assert default_cache() is None


def test_a_cache_that_cannot_be_cleared(cache, monkeypatch):
    cache.put({b"k": b"v"})

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(LikraError, match=r"cannot clear .*cache.sqlite: Permission denied"):
        cache.clear()


def test_the_user_cache_is_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("LIKRA_LITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / name)
    assert default_cache() == Cache(tmp_path / "likra-lite")
