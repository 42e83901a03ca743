"""Which wrong answers are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item
from likra_lite.errors import LikraError
from likra_lite.heads.negatives import (
    NEGATIVES,
    Negatives,
    draw_elsewhere,
    draw_negatives,
    kind_of,
)
from likra_lite.prompts import as_prompt

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


def test_what_may_be_left_out():
    one, other = draw_negatives(ITEMS, Y), draw_negatives(ITEMS, Y, "own", 1, 0.0, 0, None)
    np.testing.assert_array_equal(one.choice, other.choice)
    assert len(one) == len(ITEMS)
    assert (one.choice != draw_negatives(ITEMS, Y, seed=1).choice).any()


@pytest.mark.parametrize(("name", "value"), [("n_negatives", 0), ("contamination", 1.1)])
def test_arguments_out_of_range(name, value):
    with pytest.raises(LikraError, match=name):
        draw_negatives(ITEMS, Y, **{name: value})


@pytest.mark.parametrize("kind", ["hardest", "easiest"])
def test_kinds_that_compare_scores_need_them(kind):
    with pytest.raises(LikraError, match=f"negatives='{kind}' needs the base model's scores"):
        draw_negatives(ITEMS, Y, kind)


def test_kinds_that_depend_on_which_items_there_are():
    """What is drawn from the first half of the items is the beginning of what is drawn from all."""
    for kind in NEGATIVES:
        whole = draw_negatives(ITEMS, Y, kind, 2, base_scores=SCORES)
        half = draw_negatives(ITEMS[:20], Y[:20], kind, 2, base_scores=SCORES[:20])
        same = np.array_equal(np.array(half.source), whole.source[whole.item < 20])
        assert kind_of(kind).nested == same == (kind != "other")
    assert kind_of("role far").nested


def test_drawn_answers_as_texts():
    prompt = as_prompt("question")
    drawn = Negatives(np.array([0, 0, 3]), np.array([0, 2, 3]), np.array([1, 0, 4]))
    assert drawn.borrowed.tolist() == [False, True, False]
    pairs = drawn.pairs(ITEMS, prompt)
    assert [texts for _, texts in pairs] == [[" c01"], [" c20"], [" c34"]]
    assert ["q0" in context for context, _ in pairs] == [True, True, False]
    assert drawn.take(np.array([1])).source.tolist() == [2]


def test_an_answer_stands_in_its_own_context_and_under_its_own_letter():
    places = Item("", ("north", "south"), 0, contexts=("It is cold in the", "It is warm in the"))
    drawn = Negatives(np.array([0]), np.array([0]), np.array([1]))
    ((context, texts),) = drawn.pairs([places], as_prompt("completion"))
    assert context.endswith("It is warm in the")
    assert texts == [" south"]
    ((_, texts),) = drawn.pairs([Item("Where?", ("a", "b"), 0)], as_prompt("letters"))
    assert texts == [" B"]


def in_roles(*roles):
    names = tuple(f"{place}" for place in range(len(roles)))
    return Item("q", names, roles.index("right"), metadata={"roles": roles})


def test_choices_in_roles():
    items = [in_roles("far", "right", "near", "odd"), in_roles("right", "near", "near", "far")]
    y = np.array([1, 0])
    found = {
        kind: draw_negatives(items, y, kind, 3)
        for kind in ("role far", "role near", "role near or far")
    }
    places = {
        kind: sorted(zip(drawn.item.tolist(), drawn.choice.tolist(), strict=True))
        for kind, drawn in found.items()
    }
    assert places["role far"] == [(0, 0), (1, 3)]
    assert places["role near"] == [(0, 2), (1, 1), (1, 2)]
    assert places["role near or far"] == [(0, 0), (0, 2), (1, 1), (1, 2), (1, 3)]
    for kind in ("role odd", "role right", "role near or odd"):
        with pytest.raises(LikraError, match=r"every item has \['far', 'near'\]"):
            draw_negatives(items, y, kind)


def test_drawing_elsewhere_ends_after_a_hundred_tries():
    class Always:
        def __init__(self):
            self.drawn = []

        def integers(self, high):
            self.drawn.append(high)
            return 1

    same = Always()
    assert draw_elsewhere(["a", "b", "c"], [], 2, same) == [1]
    assert same.drawn == [3] * 100
