"""Items that are shown with their answers before every question, in place of being fitted to."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from command_line import run
from sklearn.base import clone

from likra_lite import LikraClassifier, LoraRecipe
from likra_lite.errors import ItemError, LikraError
from likra_lite.prompts import as_prompt
from likra_lite.questions.item import content_hashes

QUESTIONS = "examples/questions.jsonl"


@pytest.fixture(autouse=True)
def _no_warnings_of_a_random_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def drawn(items, count, seed):
    order = np.random.default_rng(seed).permutation(len(items))[:count].tolist()
    return [items[i] for i in order], [i for i in range(len(items)) if i not in order]


@pytest.mark.parametrize("adapter", ["none", "output"])
def test_shown_items_stand_in_the_prompt_and_are_not_fitted(adapter, model_folder, items):
    how = {"adapter": adapter, "negatives": "other", "random_state": 7}
    few = LikraClassifier(model_folder, n_examples=3, **how).fit(items)
    shown, others = drawn(items, 3, 7)
    prompt = as_prompt("question").with_examples(shown)
    by_hand = LikraClassifier(model_folder, prompt=prompt, **how).fit([items[i] for i in others])
    assert few.scorer_.prompt == prompt
    assert few.n_items_ == len(items) - 3
    for head, column in by_hand.held_out_.heads.items():
        np.testing.assert_array_equal(few.held_out_.heads[head], column)
    np.testing.assert_array_equal(few.held_out_y_, by_hand.held_out_y_)
    np.testing.assert_array_equal(few.predict_proba(items), by_hand.predict_proba(items))
    # What is known of items is known by their places among all, and all have been seen.
    places = np.array(others)
    np.testing.assert_array_equal(few.negatives_.item, places[by_hand.negatives_.item])
    np.testing.assert_array_equal(few.negatives_.source, places[by_hand.negatives_.source])
    np.testing.assert_array_equal(few.training_hashes_, content_hashes(items))


def test_answers_that_are_given_beside_the_items_are_shown(model_folder, items):
    bare = [replace(item, answer=None) for item in items]
    y = [len(item.choices) - 1 for item in items]
    few = LikraClassifier(model_folder, adapter="none", n_examples=2).fit(bare, y)
    (first, second), _ = drawn(items, 2, 0)
    for item in (first, second):
        assert f"{item.question}\nAnswer: {item.choices[-1]}" in few.scorer_.prompt.examples


def test_a_saved_classifier_keeps_them_and_is_fitted_again_alike(model_folder, items, tmp_path):
    few = LikraClassifier(model_folder, adapter="none", n_examples=3).fit(items)
    few.save(tmp_path / "few")
    loaded = LikraClassifier.load(tmp_path / "few")
    assert loaded.n_examples == 3
    np.testing.assert_array_equal(loaded.predict_proba(items), few.predict_proba(items))
    again = clone(loaded).fit(items)
    assert again.scorer_.prompt == few.scorer_.prompt


def test_lora_heads_learn_behind_them_too(model_folder, llama_checkpoint, items):
    recipe = LoraRecipe(learning_rate=1e-3, rank=2)
    shown, _ = drawn(items[:12], 2, 0)
    tables = []
    for model in (model_folder, llama_checkpoint):
        how = {"adapter": "lora", "recipe": recipe, "mode": "sft", "n_examples": 2}
        few = LikraClassifier(model, **how).fit(items[:12])
        assert few.scorer_.prompt.examples == as_prompt("question").with_examples(shown).examples
        tables.append(few.held_out_.heads["positive"])
    np.testing.assert_allclose(*tables, atol=1e-3)


def test_too_many_are_refused(model_folder, items):
    with pytest.raises(ItemError, match="got n_examples=9 of 10 items; fit needs at least 2 other"):
        LikraClassifier(model_folder, n_examples=9).fit(items[:10])
    with pytest.raises(LikraError, match="n_examples=-1; expected an integer of at least 0"):
        LikraClassifier(model_folder, n_examples=-1).fit(items)


def test_the_command_line_shows_them(model_folder, tmp_path, capsys):
    out = str(tmp_path / "few")
    arguments = ("--limit", "20", "--n-examples", "5", "--out", out, "--model", str(model_folder))
    status, text, told = run("fit", QUESTIONS, *arguments, capsys=capsys)
    assert status == 0
    assert "fitted the decision on 15 items, 5 others shown before every question" in text
    assert "no heads are tried: that takes 40 items" in told
    assert "n_examples" not in told
    status, text, _ = run("evaluate", QUESTIONS, "--model", out, capsys=capsys)
    assert status == 0
    few = LikraClassifier.load(out)
    assert few.scorer_.prompt.examples.count("Question:") == 5

    plain = ("--limit", "20", "--out", f"{out}2", "--model", str(model_folder))
    _, _, told = run("fit", QUESTIONS, *plain, capsys=capsys)
    assert "n_examples=5" in told
