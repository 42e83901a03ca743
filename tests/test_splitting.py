"""Large trees are read piece by piece, in memory that does not grow with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import TorchScorer

from likra_lite import Item, LanguageModel
from likra_lite.engine.forward import LONGEST, TrunkRunner
from likra_lite.engine.trees import TokenTree, pieces
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def predictions(tree: TokenTree) -> list[tuple[list[int], int]]:
    """Return what stands before every target, and the target."""
    found = []
    for targets in np.split(tree.targets, np.cumsum(tree.lengths)[:-1]):
        before = tree.context.tolist()
        for target in targets.tolist():
            found.append(([*before], target))
            before.append(target)
    return found


@given(
    context=tokens,
    continuations=st.lists(tokens, min_size=1, max_size=9),
    size=st.integers(0, 15),
)
def test_pieces_predict_what_the_tree_does(context, continuations, size):
    tree = TokenTree(context, continuations)
    parts = pieces(tree, size)
    assert [p for part in parts for p in predictions(part)] == predictions(tree)
    assert all(len(part) - part.context_length <= size for part in parts)


def test_a_small_tree_is_one_piece():
    tree = TokenTree([1, 2], [[3, 4, 5], [3, 6, 7]])
    assert pieces(tree, 3) == [tree]
    assert len(pieces(tree, 2)) == 2


WORDS = ["bees", "make", "honey", "ice", "sun", "soil", "water", "the", "warm", "window"]


def large_item(choices: int, words: int, context: int) -> Item:
    rng = np.random.default_rng(0)
    drawn = rng.choice(WORDS, (choices, words))
    question = " ".join(rng.choice(WORDS, context))
    return Item(question, [f"{i} {' '.join(row)}" for i, row in enumerate(drawn)], 0)


ITEMS = [
    large_item(40, 5, 10),  # many choices
    large_item(3, 100, 10),  # long ones
    large_item(2, 3, 200),  # a long question
    large_item(12, 40, 150),
    large_item(3, 2, 4),
]


@pytest.mark.parametrize("budget", [1, 7, 32, 100])
def test_scores_do_not_depend_on_the_pieces(budget, model):
    scorer = ChoiceScorer(model, as_prompt("question"))
    trees, _ = model.encoder.trees(scorer.pairs(ITEMS))
    runner = model._open().trunk
    runner.forget()
    whole = model.log_likelihoods(model.features(trees, 10_000), [None])[0]
    runner.forget()
    done: list[int] = []
    features = model.features(trees, budget, done.append)
    np.testing.assert_allclose(model.log_likelihoods(features, [None])[0], whole, atol=1e-4)
    assert sum(done) == len(ITEMS)


def test_scores_equal_pytorch(model_folder, llama_checkpoint):
    torch_scorer = TorchScorer(llama_checkpoint)
    scorer = ChoiceScorer(LanguageModel(model_folder), as_prompt("question"))
    trees, _ = scorer.model.encoder.trees(scorer.pairs(ITEMS[:3]))
    features = scorer.model.features(trees, 24)
    expected = [
        torch_scorer.choices(scorer.prompt.context(item), item.choices) for item in ITEMS[:3]
    ]
    np.testing.assert_allclose(
        scorer.model.log_likelihoods(features, [None])[0], np.concatenate(expected), atol=1e-4
    )


def test_no_pass_reads_much_more_than_the_budget(model, monkeypatch):
    read: list[int] = []
    run_pass = TrunkRunner._pass

    def count(self, outputs, past, **inputs):
        read.append(inputs["input_ids"].size)
        return run_pass(self, outputs, past, **inputs)

    monkeypatch.setattr(TrunkRunner, "_pass", count)
    scorer = ChoiceScorer(model, as_prompt("question"))
    trees, _ = model.encoder.trees(scorer.pairs(ITEMS))
    model._open().trunk.forget()
    model.features(trees, 32)
    assert max(map(len, trees)) > 600
    assert max(read) <= LONGEST * 32


def test_hidden_states_are_held_for_few_trees_at_a_time(model, monkeypatch):
    scorer = ChoiceScorer(model, as_prompt("question"))
    expected = scorer.table(ITEMS, ["base"]).heads["base"]
    runs: list[int] = []
    score = LanguageModel.read_and_score

    def count(self, trees, *rest, **named):
        runs.append(sum(len(tree.targets) for tree in trees))
        return score(self, trees, *rest, **named)

    monkeypatch.setattr(LanguageModel, "read_and_score", count)
    monkeypatch.setattr("likra_lite.engine.pairs.TOKENS_IN_MEMORY", 700)
    found = scorer.table(ITEMS, ["base"]).heads["base"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(runs) > 1
    assert len(runs) < len(ITEMS)
