"""Items that are shown with their answers before every question, in place of being fitted to."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from command_line import run
from sklearn.base import clone

from likra_lite import LikraClassifier, LoraRecipe
from likra_lite.errors import ItemError, LikraError, TruncationWarning
from likra_lite.prompts import as_prompt
from likra_lite.questions.item import content_hashes
from likra_lite.scoring.selection import item_losses

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


@pytest.mark.parametrize("count", [12, 39])
def test_a_fit_to_few_items_shows_some_if_the_others_are_answered_better(
    count, model_folder, items
):
    few = LikraClassifier(model_folder).fit(items[:count])
    shown, others = drawn(items[:count], 5, 0)
    plain, behind = few.trials_
    assert (plain.n_examples, behind.n_examples) == (0, 5)
    used = [items[i] for i in others]
    tables = [
        LikraClassifier(model_folder, adapter="none", prompt=prompt).fit(used)
        for prompt in (None, as_prompt("question").with_examples(shown))
    ]
    for trial, alone in zip(few.trials_, tables, strict=True):
        losses = item_losses(alone.held_out_decision_, alone.held_out_, alone.held_out_y_)
        assert trial.loss == pytest.approx(losses.mean(), abs=1e-4)
        assert trial.n_items == len(used)
    assert few.n_examples_ == (5 if behind.loss < plain.loss else 0)
    assert few.scorer_.prompt.has_examples == bool(few.n_examples_)
    assert few.n_items_ == count - few.n_examples_


def test_whichever_is_kept_is_what_predicts(model_folder, items, monkeypatch, tmp_path):
    """The lower loss stays, whichever it is; and so it does in a folder."""
    from likra_lite.heads import fit_few

    measured = fit_few.try_heads
    for gain, count in ((1e9, 5), (-1e9, 0)):

        def measure(adapter, rule, table, y, without=None, gain=gain):
            trial, losses = measured(adapter, rule, table, y, without)
            return (trial if without is None else replace(trial, loss=-gain)), losses

        monkeypatch.setattr(fit_few, "try_heads", measure)
        few = LikraClassifier(model_folder).fit(items[:20])
        fixed = LikraClassifier(model_folder, n_examples=count, adapter="none").fit(items[:20])
        assert few.n_examples_ == count
        np.testing.assert_array_equal(few.predict_proba(items), fixed.predict_proba(items))
        few.save(tmp_path / "few")
        loaded = LikraClassifier.load(tmp_path / "few")
        assert (loaded.n_examples_, loaded.trials_) == (count, few.trials_)
        np.testing.assert_array_equal(loaded.predict_proba(items), few.predict_proba(items))


def test_nothing_is_tried_where_it_could_not_be(model_folder, items):
    few = LikraClassifier(model_folder).fit(items[:9])
    assert (few.trials_, few.n_examples_) == ((), 0)
    own = as_prompt("question").with_examples(items[40:42])
    few = LikraClassifier(model_folder, prompt=own).fit(items[:20])
    assert (few.trials_, few.scorer_.prompt) == ((), own)
    for how in ({"n_examples": 0}, {"mode": "base"}, {"adapter": "none"}):
        few = LikraClassifier(model_folder, **how).fit(items[:20])
        assert (few.trials_, few.n_examples_) == ((), 0)
    long = [replace(item, context="A long story. " * 40) for item in items[:12]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        few = LikraClassifier(model_folder).fit(long)
    assert (few.trials_, few.n_examples_) == ((), 0)


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
    status, text, _ = run("evaluate", QUESTIONS, "--model", out, capsys=capsys)
    assert status == 0
    few = LikraClassifier.load(out)
    assert few.scorer_.prompt.examples.count("Question:") == 5

    tried = ("--limit", "20", "--out", f"{out}2", "--model", str(model_folder))
    _, text, _ = run("fit", QUESTIONS, *tried, capsys=capsys)
    assert "tried on 15 held-out items:" in text
    (kept,) = [line for line in text.splitlines() if line.endswith("kept")]
    assert kept.startswith("none, 5 shown") == ("5 others shown" in text)
    status, _, told = run("fit", QUESTIONS, *tried, "--n-examples", "2.5", capsys=capsys)
    assert status == 2
    assert "'2.5' is neither a whole number nor 'auto'" in told
