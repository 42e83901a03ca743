"""Choosing a decision on held-out items, and telling how well it does: plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from test_ratio import FORMULAS, make_table

from likra_lite.scoring.decision import Decision, fit_temperature
from likra_lite.scoring.fitted import FittedDecision
from likra_lite.scoring.modes import HEADS, MODES
from likra_lite.scoring.selection import (
    ALPHAS,
    CrossFittedDecision,
    DecisionRule,
    choose,
    evaluate_modes,
    mean_loss,
    worse_than_base,
)


def test_alphas_that_are_tried():
    """Every one is found where it is the one that answers are drawn with."""
    assert ALPHAS == (0.25, 0.5, 0.75, 0.9, 1.0, 1.1)
    table = make_table([4] * 1500)
    rng = np.random.default_rng(0)
    for alpha in (0.25, 0.5, 0.75):
        scores = 3 * (table.heads["positive"] - alpha * table.heads["negative"])
        y = np.array([rng.choice(4, p=softmax(s)) for s in table.split(scores)])
        assert choose(table, y, "likra", normalizations=["none"]).alpha == alpha
        assert DecisionRule("likra").decide(table, y).alpha == alpha
        given = DecisionRule("likra", 0.33).decide(table, y)
        assert (given.alpha, given.normalization) == (0.33, "none")
        fitted = fit_temperature(given.scores(table), table.offsets, y)
        assert given.temperature == pytest.approx(fitted)


def test_the_first_of_equals_is_chosen():
    table = make_table([3] * 20)
    for name in table.lengths:
        table.lengths[name][:] = 1
    assert choose(table, np.zeros(20, np.int64), "base").normalization == "none"


def test_a_normalization_that_is_given_is_not_chosen():
    table = make_table([3] * 30)
    y = np.zeros(30, np.int64)
    for name in ("none", "chars", "bytes", "tokens"):
        decision = DecisionRule("sft", normalization=name).decide(table, y)
        assert (decision.normalization, decision.alpha) == (name, 1.0)
    best = DecisionRule("sft", normalization="auto").decide(table, y)
    losses = {
        name: mean_loss(DecisionRule("sft", normalization=name).decide(table, y), table, y)
        for name in ("none", "chars", "bytes", "tokens")
    }
    assert best.normalization == min(losses, key=losses.get)


def test_what_rules_read():
    for mode in MODES:
        assert DecisionRule(mode).read == set(MODES[mode].heads)
    assert DecisionRule("auto").read == set(HEADS)
    assert DecisionRule("auto", heads=("base",)).read == {"base"}


def test_scores_of_each_fold_are_those_of_its_own_decision():
    table = make_table([2, 3, 4, 2, 3])
    decisions = [Decision("base", temperature=2.0), Decision("sft", temperature=0.5)]
    crossed = CrossFittedDecision(np.array([0, 1, 1, 0, 1]), decisions)
    expected = [
        (table.heads["base"] / 2.0, table.heads["positive"] / 0.5)[fold][place]
        for fold, start, end in zip(
            [0, 1, 1, 0, 1], table.offsets[:-1], table.offsets[1:], strict=True
        )
        for place in range(start, end)
    ]
    np.testing.assert_allclose(crossed.scores(table), expected)
    assert crossed.heads == ("base", "positive")
    assert crossed.temperature == 1.0


@pytest.mark.parametrize("n_items", [1, 2, 7, 10, 23])
def test_folds_of_the_cross_fit(n_items):
    table = make_table([3] * n_items)
    y = np.random.default_rng(0).integers(0, 3, n_items)
    found = DecisionRule("sft").cross_fit(table, y)
    if n_items == 1:
        assert isinstance(found, Decision)
        return
    assert len(found.decisions) == min(10, n_items)
    sizes = np.bincount(found.folds)
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == min(10, n_items)
    left = np.flatnonzero(found.folds != 1)
    expected = DecisionRule("sft").decide(table.take(left), y[left])
    assert found.decisions[1].temperature == expected.temperature


def test_the_loss_is_a_mean_over_items():
    table = make_table([2, 5, 3])
    y = np.array([1, 4, 0])
    decision = Decision("likra", 0.5, "chars", temperature=0.3)
    scores = decision.scores(table)
    parts = [scores[a:b] for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)]
    losses = [-np.log(softmax(s / 0.3)[right]) for s, right in zip(parts, y, strict=True)]
    assert mean_loss(decision, table, y) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(
    ("lost", "won", "told"),
    [(0, 0, False), (2, 0, True), (10, 8, False), (30, 8, True), (2, 30, False)],
)
def test_worse_than_the_base_model_by_more_than_chance(lost, won, told):
    """Of 100 items, the base model alone is right on `lost`, and the other one on `won`."""
    table = make_table([2] * 100)
    for head in ("base", "positive"):
        table.heads[head][:] = np.tile([-1.0, -2.0], 100)
    y = np.zeros(100, np.int64)
    for item in range(lost):
        table.heads["positive"][2 * item : 2 * item + 2] = [-2.0, -1.0]
    for item in range(lost, lost + won):
        table.heads["base"][2 * item : 2 * item + 2] = [-2.0, -1.0]
    text = worse_than_base("sft", Decision("sft"), Decision("base"), table, y)
    assert (text is not None) == told
    if told:
        ours, theirs = (100 - lost) / 100, (100 - won) / 100
        assert (
            f"accuracy {ours:.3f} against {theirs:.3f}, difference {ours - theirs:.3f} +-" in text
        )
        assert " on 100 items; fit on more items" in text


def test_accuracy_of_every_mode():
    table = make_table([3, 2, 4, 5] * 10)
    y = np.random.default_rng(3).integers(table.n_choices)
    rows = evaluate_modes(table, y, 0.5, ("none", "tokens"))
    assert [(row.mode, row.normalization) for row in rows] == [
        (mode, name) for mode in MODES for name in ("none", "tokens")
    ]
    for row in rows:
        length = np.ones(len(table.n_tokens)) if row.normalization == "none" else table.n_tokens
        scores = np.array(
            [FORMULAS[row.mode](table.heads, i, 0.5) / length[i] for i in range(len(length))]
        )
        right = [np.argmax(s) == a for s, a in zip(table.split(scores), y, strict=True)]
        assert row.accuracy == np.mean(right)
        assert row.standard_error == pytest.approx(np.std(right) / np.sqrt(40), rel=0.02)
        assert row.alpha == (0.5 if row.mode in ("likra", "base-likra") else None)
        assert row.n_items == 40
    first = evaluate_modes(table, y)
    assert [row.normalization for row in first[:2]] == ["none", "chars"]
    assert {row.alpha for row in first} == {None, 1.0}


def test_fitted_weights_read_what_they_may():
    table = make_table([3] * 20)
    rule = DecisionRule(heads=("base", "neutral"))
    decision = rule.decide(table, np.zeros(20, np.int64))
    assert isinstance(decision, FittedDecision)
    assert decision.heads == ("base", "neutral")
