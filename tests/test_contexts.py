"""Choices that complete texts of their own, as in WinoGrande and BLiMP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import TorchScorer

from likra_lite import Item, LikraClassifier
from likra_lite.errors import LikraError, UnscorableItemError
from likra_lite.heads.lora_task import LoraTask
from likra_lite.heads.negatives import draw_negatives
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.heads.settings import FitSettings
from likra_lite.heads.training_set import training_set
from likra_lite.prompts import as_prompt
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.explain import explain_item
from likra_lite.scoring.margin import margin_of, margin_text
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.selection import DecisionRule

PRONOUNS = [  # partial evaluation: one continuation after different contexts
    Item(
        "",
        ["was too big.", "was too big."],
        answer,
        contexts=[
            f"The {thing} did not fit into the {room} because the {x}" for x in (thing, room)
        ],
    )
    for answer, (thing, room) in enumerate([("desk", "room"), ("dog", "basket")])
]
SENTENCES = [
    Item("", ["The bees make honey.", "The bees makes honey."], 0, contexts=["", ""]),
    Item("", ["The sun shine.", "The sun shines.", "The sun shone."], 1, contexts=["", "", ""]),
]
MIXED = [
    *PRONOUNS,
    Item("What do bees make?", ["honey", "wax", "water"], 0),
    *SENTENCES,
    Item("", ["warm.", "cold."], 0, context="The sun is"),
]


def settings_of(negatives: str) -> FitSettings:
    return FitSettings(DecisionRule("base-likra"), negatives=negatives)


@pytest.fixture
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


def expected_of(torch_scorer: TorchScorer, item: Item) -> np.ndarray:
    if item.contexts is None:
        context = item.context or f"\n\nQuestion: {item.question}\nAnswer:"
        return torch_scorer.choices(context, item.choices)
    return np.concatenate(
        [
            torch_scorer.choices(c, [choice])
            for c, choice in zip(item.contexts, item.choices, strict=True)
        ]
    )


def test_scores_equal_pytorch(scorer, llama_checkpoint):
    torch_scorer = TorchScorer(llama_checkpoint)
    table = scorer.table(MIXED, ["base"])
    expected = np.concatenate([expected_of(torch_scorer, item) for item in MIXED])
    np.testing.assert_allclose(table.heads["base"], expected, atol=1e-4)
    assert table.n_choices.tolist() == [2, 2, 3, 2, 3, 2]


def test_nothing_is_left_to_ask_without_the_context(scorer, llama_checkpoint):
    torch_scorer = TorchScorer(llama_checkpoint)
    table = scorer.table(MIXED)
    for item, neutral in zip(MIXED, table.split(table.heads["neutral"]), strict=True):
        bare = "" if not item.question else "\nAnswer:"
        np.testing.assert_allclose(neutral, torch_scorer.choices(bare, item.choices), atol=1e-4)


words = st.lists(st.sampled_from(["bees", "make", "the", "honey", "sun"]), max_size=4).map(" ".join)
choices = st.lists(words.filter(bool), min_size=2, max_size=4)
items_with_contexts = choices.flatmap(
    lambda given: st.builds(
        Item,
        st.just(""),
        st.just(given),
        contexts=st.lists(words, min_size=len(given), max_size=len(given)),
    )
)
plain_items = st.builds(Item, words.filter(bool), choices)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=st.lists(items_with_contexts | plain_items, min_size=1, max_size=6))
def test_every_choice_is_scored_after_its_own_context(items, scorer):
    table = scorer.table(items, ["base"])
    alone = []
    for item in items:
        for index, choice in enumerate(item.choices):
            context = scorer.prompt.context(item, index)
            (score,) = scorer.pair_scorer.scores([(context, [" " + choice])], [None])[0][0]
            alone.append(score)
            if item.contexts is not None:
                assert context == item.contexts[index]
    np.testing.assert_allclose(table.heads["base"], alone, atol=1e-4)


def test_every_number_of_items_is_told(scorer):
    done: list[int] = []
    scorer.table(MIXED, ["base"], done.append)
    assert sum(done) == len(MIXED)


def test_negatives_go_with_their_own_contexts(scorer):
    y = np.array([item.answer for item in MIXED])
    training = training_set(scorer, MIXED, y, settings_of("own"))
    base = scorer.model.log_likelihoods(training.features.take(training.negative), [None])[0]
    drawn = training.negatives
    expected = [
        training.table.split(training.table.heads["base"])[item][choice]
        for item, choice in zip(drawn.item, drawn.choice, strict=True)
    ]
    np.testing.assert_allclose(base, expected, atol=1e-4)
    assert (drawn.choice != y[drawn.item]).all()
    other = training_set(scorer, MIXED, y, settings_of("other"))
    borrowed = scorer.model.log_likelihoods(other.features.take(other.negative), [None])[0]
    pairs = [
        (
            scorer.prompt.context(MIXED[i], y[i]),
            [" " + MIXED[j].choices[c]],
        )
        for i, j, c in zip(
            other.negatives.item, other.negatives.source, other.negatives.choice, strict=True
        )
    ]
    found = scorer.pair_scorer.scores(pairs, [None]).log_likelihoods[0]
    np.testing.assert_allclose(borrowed, found, atol=1e-4)


def test_a_classifier_on_such_items(model_folder):
    items = MIXED * 3
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", cv=2).fit(items)
    assert classifier.predict(items).shape == (len(items),)
    assert classifier.score(items) > 0.6


def test_explanations(scorer):
    for item in MIXED:
        explained = explain_item(scorer, Decision("base"), item)
        table = scorer.table([item], ["base"])
        sums = [choice.log_probs["base"].sum() for choice in explained.choices]
        np.testing.assert_allclose(sums, table.heads["base"], atol=1e-4)
        margin = margin_of(explained)
        total = margin.shares[margin.chosen].sum() + margin.shares[margin.rival].sum()
        assert total == pytest.approx(1.0, abs=1e-3)
    text = margin_text(explain_item(scorer, Decision("base"), PRONOUNS[0]))
    assert "into the room because the room was too big." in " ".join(text.split())


def test_training_tells_which_item_cannot_be_read(scorer):
    long = Item("Long?", ["ice", "water " * 3000], 0, source="exam.csv, line 7")
    with pytest.raises(UnscorableItemError, match=r"^exam\.csv, line 7: the choice 'water"):
        scorer.check([*MIXED, long])
    scorer.check(MIXED)


def test_training_texts_of_lora_heads():
    y = np.array([item.answer for item in MIXED])
    drawn = draw_negatives(MIXED, y, "own")
    prompt = as_prompt("question")
    keep = np.ones(len(MIXED), dtype=bool)
    task = LoraTask(MIXED, y, prompt, ["negative"], drawn, LoraRecipe())
    first = PRONOUNS[0].contexts
    assert task.pairs("positive", keep)[0] == (first[0], [" was too big."])
    assert task.pairs("negative", keep)[0] == (first[1], [" was too big."])
    rival = LoraRecipe(objective="unlikelihood")
    with pytest.raises(LikraError, match="choices of item 0 complete different ones"):
        LoraTask(MIXED, y, prompt, ["positive"], drawn, rival).pairs("positive", keep)
