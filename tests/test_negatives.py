"""Which wrong answers are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item
from likra_lite.errors import LikraError
from likra_lite.heads.negatives import draw_negatives

ITEMS = [Item(f"q{i}", tuple(f"c{i}{j}" for j in range(2 + i % 4)), i % 2) for i in range(40)]
Y = np.array([item.answer for item in ITEMS])
SCORES = [np.random.default_rng(i).normal(size=len(item.choices)) for i, item in enumerate(ITEMS)]


@pytest.mark.parametrize("kind", ["own", "all", "hardest", "easiest", "other"])
def test_drawn_answers_are_wrong_and_repeatable(kind):
    drawn = draw_negatives(ITEMS, Y, kind, 2, seed=3, base_scores=SCORES)
    again = draw_negatives(ITEMS, Y, kind, 2, seed=3, base_scores=SCORES)
    np.testing.assert_array_equal(np.array(drawn.choice), np.array(again.choice))
    for item, source, choice in zip(drawn.item, drawn.source, drawn.choice, strict=True):
        text = ITEMS[source].choices[choice]
        assert text != ITEMS[item].choices[Y[item]]
        if kind == "other":
            assert source != item
            assert choice == Y[source]
            assert text not in ITEMS[item].choices
        else:
            assert source == item
    pairs = list(zip(drawn.item, drawn.source, drawn.choice, strict=True))
    assert len(set(pairs)) == len(pairs), "no answer twice for an item"
    wanted = [len(i.choices) - 1 if kind == "all" else min(2, len(i.choices) - 1) for i in ITEMS]
    if kind == "other":
        wanted = [2] * len(ITEMS)
    assert np.bincount(drawn.item, minlength=len(ITEMS)).tolist() == wanted


def test_own_is_uniform_over_the_wrong_choices():
    item = Item("q", ("a", "b", "c", "d"), 1)
    counts = np.zeros(4)
    for seed in range(600):
        counts[draw_negatives([item], np.array([1]), "own", seed=seed).choice] += 1
    assert counts[1] == 0
    assert (np.abs(counts[[0, 2, 3]] - 200) < 5 * np.sqrt(600 * 2 / 9)).all()


def test_hardest_and_easiest_are_the_ends_of_the_base_scores():
    for kind, pick in (("hardest", np.argmax), ("easiest", np.argmin)):
        drawn = draw_negatives(ITEMS, Y, kind, base_scores=SCORES)
        for item, choice in zip(drawn.item, drawn.choice, strict=True):
            wrong = [c for c in range(len(ITEMS[item].choices)) if c != Y[item]]
            assert choice == wrong[pick(SCORES[item][wrong])]


def test_contamination_replaces_the_given_share_by_right_answers():
    items = [Item("q", ("a", "b"), 0)] * 2000
    drawn = draw_negatives(items, np.zeros(2000, int), contamination=0.3)
    assert np.mean(drawn.choice == 0) == pytest.approx(0.3, abs=0.05)
    for kind in ("own", "other"):
        everything = draw_negatives(ITEMS, Y, kind, contamination=1.0)
        assert (everything.choice == Y[everything.item]).all()
        assert (everything.source == everything.item).all()


def test_a_copy_of_the_right_choice_is_not_wrong():
    item = Item("q", ("yes", "yes", "no"), 0)
    for seed in range(20):
        assert draw_negatives([item], np.array([0]), "own", 5, seed=seed).choice.tolist() == [2]


def test_nothing_to_draw():
    with pytest.raises(LikraError, match="no wrong answer could be drawn"):
        draw_negatives([Item("q", ("yes", "yes"), 0)], np.array([0]))


def test_other_gives_up_where_every_answer_is_a_choice():
    items = [Item("q", ("a", "b"), 0), Item("r", ("a", "b"), 1)]
    with pytest.raises(LikraError, match="no wrong answer"):
        draw_negatives(items, np.array([0, 1]), "other")
