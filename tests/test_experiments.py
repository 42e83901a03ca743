"""Experiments on many subsets give what single fits give."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item, LikraError
from likra_lite.experiments import (
    Bench,
    check_claims,
    curve_sizes,
    learning_curve,
    mean_log_likelihoods,
)
from likra_lite.experiments.claims import number_of_fits
from likra_lite.fitting import FITTED_HEADS, fit_heads, training_set
from likra_lite.items import answer_indices
from likra_lite.prompts import as_prompt
from likra_lite.ratio import Decision
from likra_lite.scoring import ChoiceScorer


@pytest.fixture(scope="module")
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


@pytest.fixture(scope="module")
def bench(scorer, items) -> Bench:
    return Bench(scorer, items[:24], items[24:])


@pytest.mark.parametrize("kind", ["own", "all", "hardest", "easiest", "other"])
def test_a_fit_on_everything_is_the_classifiers_fit(kind, bench, scorer):
    heads = bench.fit(24, draw=3, negatives=kind).deltas
    y = answer_indices(bench.items)
    training = training_set(scorer, bench.items, y, ["base"], kind, "none", seed=3)
    expected = fit_heads(scorer, training, FITTED_HEADS, bench.penalty)
    for name in FITTED_HEADS:
        np.testing.assert_allclose(heads[name], expected.deltas[name], atol=1e-4)


def test_a_fit_on_a_subset_sees_nothing_else(bench, scorer):
    kept = bench.subset(10, draw=1)
    alone = Bench(scorer, [i for i, k in zip(bench.items, kept, strict=True) if k], bench.items[:2])
    heads = bench.fit(10, draw=1).deltas["positive"]
    np.testing.assert_allclose(heads, alone.fit(10).deltas["positive"], atol=1e-4)


def test_subsets_of_a_draw_are_nested_and_draws_differ(bench):
    small, large = bench.subset(5, draw=2), bench.subset(12, draw=2)
    assert (small.sum(), large.sum()) == (5, 12)
    assert not np.any(small & ~large)
    assert np.any(small != bench.subset(5, draw=3))
    with pytest.raises(LikraError, match="subset of 25 items but there are 24"):
        bench.subset(25, draw=0)


def test_the_test_table_is_the_scorers(bench):
    fitted = bench.fit(12)
    expected = fitted.table(bench.test_items)
    table = bench.test(fitted)
    assert set(table.heads) == {"base", "neutral", "positive", "negative"}
    for name in table.heads:
        np.testing.assert_allclose(table.heads[name], expected.heads[name], atol=1e-3)


def test_with_the_question_hidden_questions_do_not_matter(bench, model, items):
    hidden = ChoiceScorer(model, as_prompt("question").without_question())
    control = Bench(hidden, items[:24], items[24:])
    np.testing.assert_allclose(
        control.test_table.heads["base"], bench.test_table.heads["neutral"], atol=1e-4
    )
    asked = [Item("Something else?", item.choices, item.answer) for item in items]
    other = Bench(hidden, asked[:24], asked[24:])
    one, two = control.test(control.fit(16)), other.test(other.fit(16))
    for name in one.heads:
        np.testing.assert_allclose(one.heads[name], two.heads[name], atol=1e-3)


def test_negatives_of_a_role(scorer, items):
    roles = {"roles": ("right", "bad", "worse")}
    two = [Item("Q?", ("good", f"bad{i}", f"worse{i}"), 0, metadata=roles) for i in range(6)]
    bench = Bench(scorer, two, items[:4])
    drawn = bench.draw_negatives(frozenset({"worse"}), 0)
    assert drawn.choice.tolist() == [2] * 6
    both = bench.draw_negatives(frozenset({"bad", "worse"}), 0).choice
    assert set(both.tolist()) == {1, 2}


def test_learning_curve_is_tidy(bench):
    seen = []
    rows = list(
        learning_curve(bench, [6, 12], draws=[0, 1], alpha=0.5, visit=lambda *a: seen.append(a))
    )
    assert len(rows) == 2 * 2 * 3
    assert [(size, draw) for size, draw, _ in seen] == [(6, 0), (12, 0), (6, 1), (12, 1)]
    for row in rows:
        table = next(t for size, draw, t in seen if (size, draw) == (row.n_items, row.draw))
        correct = Decision(row.mode, 0.5).predict(table) == bench.test_y
        assert row.accuracy == pytest.approx(correct.mean())
        assert row.alpha == (None if row.mode == "sft" else 0.5)
        assert (row.negatives, row.hidden) == ("own", False)


def test_mean_log_likelihoods(bench):
    table = bench.test_table
    groups = np.array(["a", "b"] * (table.offsets[-1] // 2) + ["a"] * (table.offsets[-1] % 2))
    means = mean_log_likelihoods(table, groups)
    picked = [v for v, g in zip(table.heads["base"], groups, strict=True) if g == "b"]
    assert means["b"]["base"] == pytest.approx(sum(picked) / len(picked))
    assert set(means["a"]) == {"base", "neutral"}


def test_claims_are_complete_and_every_fit_is_told(bench, model, items):
    hidden = ChoiceScorer(model, as_prompt("question").without_question())
    control = Bench(hidden, items[:24], items[24:])
    steps = []
    sizes = curve_sizes(24)
    assert sizes == [8, 16]
    claims = check_claims(bench, control, sizes, range(2), advance=lambda: steps.append(1))
    assert len(steps) == number_of_fits(bench, sizes, range(2)) == 2 * (2 * 2 + 4)
    assert {row.mode for row in claims.curve} == {"base", "pmi", "sft", "base-likra", "likra"}
    assert all(row.hidden for row in claims.control)
    assert {row.negatives for row in claims.kinds} == {"own", "hardest", "easiest", "other"}
    assert {row.n_items for row in claims.kinds} == {16}
    assert {row.group for row in claims.trajectories} == {"right", "wrong"}
    base = [row for row in claims.trajectories if row.head == "base"]
    right = bench.test_table.offsets[:-1] + bench.test_y
    expected = bench.test_table.heads["base"][right].mean()
    assert next(r.log_likelihood for r in base if r.group == "right") == pytest.approx(expected)


def test_curve_sizes():
    assert curve_sizes(1024) == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert curve_sizes(5) == [5]
