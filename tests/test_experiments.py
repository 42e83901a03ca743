"""Experiments on many subsets give what single fits give."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item, LikraError
from likra_lite.experiments import (
    Bench,
    check_claims,
    compare,
    curve_sizes,
    learning_curve,
    mean_log_likelihoods,
    name_of,
    number_of_fits,
    roles_of,
)
from likra_lite.heads.settings import FITTED_HEADS, FitSettings
from likra_lite.heads.training_set import fit_heads, training_set
from likra_lite.prompts import as_prompt
from likra_lite.questions.item import answer_indices
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.selection import ALPHAS, choose


@pytest.fixture(scope="module")
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


@pytest.fixture(scope="module")
def bench(scorer, items) -> Bench:
    return Bench(scorer, items[:24], items[24:])


@pytest.mark.parametrize("kind", ["own", "all", "hardest", "easiest", "other"])
def test_a_fit_on_everything_is_the_classifiers_fit(kind, bench, scorer):
    heads = bench.fit(24, draw=3, negatives=kind).fitted
    y = answer_indices(bench.items)
    training = training_set(
        scorer, bench.items, y, FitSettings(("likra",), (1.0,), ("none",), kind, seed=3)
    )
    expected = fit_heads(scorer, training, FITTED_HEADS, bench.penalty)
    for name in FITTED_HEADS:
        np.testing.assert_allclose(heads[name].matrix, expected.fitted[name].matrix, atol=1e-4)


def test_a_fit_on_a_subset_sees_nothing_else(bench, scorer, items):
    kept = bench.subset(10, draw=1)
    alone = Bench(scorer, [i for i, k in zip(bench.items, kept, strict=True) if k], items[24:26])
    head = bench.fit(10, draw=1).fitted["positive"]
    np.testing.assert_allclose(head.matrix, alone.fit(10).fitted["positive"].matrix, atol=1e-4)


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


def test_with_the_question_hidden_questions_do_not_matter(bench, scorer, items):
    control = bench.without_question()
    assert (bench.hidden, control.hidden) == (False, True)
    np.testing.assert_allclose(
        control.test_table.heads["base"], bench.test_table.heads["neutral"], atol=1e-4
    )
    asked = [Item("Something else?", i.choices, i.answer, context="And more.") for i in items]
    other = Bench(scorer, asked[:24], asked[24:]).without_question()
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
    assert bench.roles == ["bad", "worse"]
    row = next(learning_curve(bench, [4], negatives=frozenset({"bad"})))
    assert row.negatives == "role bad", "not to be taken for a kind of the same name"
    with pytest.raises(LikraError, match=r"in the roles \['good'\]; every item has"):
        bench.draw_negatives(frozenset({"good"}), 0)


@pytest.mark.parametrize(
    "roles",
    [
        None,
        "right",
        ["right", "bad"],
        ["user", "bad", "bad"],
        ["bad", "right", "bad"],
        ["right", "right", "bad"],
        ["right", 1, 2],
    ],
)
def test_another_field_called_roles_is_no_role(roles):
    sound = Item("Q?", ("a", "b", "c"), 0, metadata={"roles": ["right", "bad", "worse"]})
    assert roles_of([sound]).tolist() == ["right", "bad", "worse"]
    assert roles_of([sound, Item("Q?", ("a", "b", "c"), 0, metadata={"roles": roles})]) is None


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
    hidden = list(learning_curve(bench.without_question(), [6]))
    assert all(row.hidden for row in hidden)


def test_differences_are_paired(bench):
    table = bench.test(bench.fit(12))
    one, other = Decision("likra", 0.5), Decision("base")
    row = compare(bench, table, 12, 0, one, other)
    right = [(d.predict(table) == bench.test_y).astype(float) for d in (one, other)]
    assert row.difference == pytest.approx(right[0].mean() - right[1].mean())
    assert row.standard_error == pytest.approx(
        np.std(right[0] - right[1]) / np.sqrt(len(bench.test_y))
    )


def test_mean_log_likelihoods(bench):
    table = bench.test_table
    groups = np.array(["a", "b"] * (table.offsets[-1] // 2) + ["a"] * (table.offsets[-1] % 2))
    means = mean_log_likelihoods(table, groups)
    picked = [v for v, g in zip(table.heads["base"], groups, strict=True) if g == "b"]
    assert means["b"]["base"] == pytest.approx(sum(picked) / len(picked))
    assert set(means["a"]) == {"base", "neutral"}


def test_claims_are_complete_and_every_fit_is_told(bench):
    control = bench.without_question()
    steps = []
    sizes = curve_sizes(24)
    assert sizes == [1, 2, 4, 8, 16]
    claims = check_claims(bench, control, sizes, range(2), advance=lambda: steps.append(1))
    assert len(steps) == number_of_fits(bench, sizes, range(2)) == 2 * (2 * 5 + 4)
    assert [(row.mode, row.normalization) for row in claims.free] == [
        ("base", "none"),
        ("base", "chars"),
        ("pmi", "none"),
    ]
    assert {row.mode for row in claims.curve} == {"sft", "pos-base", "base-likra", "likra"}
    best = name_of(claims.best_free.mode, claims.best_free.normalization)
    assert max(row.accuracy for row in claims.free) == claims.best_free.accuracy
    references = {row.reference for row in claims.differences}
    assert references == {"base", best, "sft"}
    assert len(claims.differences) == 2 * 5 * 2 * len(references)
    assert claims.chance == pytest.approx(
        np.mean([1 / len(item.choices) for item in bench.test_items])
    )
    assert all(row.hidden for row in (*claims.control, *claims.control_free))
    assert {row.negatives for row in claims.kinds} == {"own", "hardest", "easiest", "other"}
    assert {row.n_items for row in claims.kinds} == {16}
    assert {row.group for row in claims.trajectories} == {"right", "wrong"}
    base = [row for row in claims.trajectories if row.head == "base"]
    right = bench.test_table.offsets[:-1] + bench.test_y
    expected = bench.test_table.heads["base"][right].mean()
    assert next(r.log_likelihood for r in base if r.group == "right") == pytest.approx(expected)


def test_what_claims_refuse(bench, scorer, items):
    with pytest.raises(LikraError, match="the control asks its questions"):
        check_claims(bench, bench, [8])
    with pytest.raises(LikraError, match=r"got alpha='auto'; expected a number of at least 0$"):
        check_claims(bench, bench.without_question(), [8], alpha="auto")
    with pytest.raises(LikraError, match="no sizes or no draws"):
        check_claims(bench, bench.without_question(), [])
    with pytest.raises(LikraError, match="at least two training items; got 1"):
        Bench(scorer, items[:1], items[1:])


def test_curve_sizes():
    assert curve_sizes(1024) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert curve_sizes(5) == [1, 2, 4]


def test_alpha_is_chosen_on_items_that_the_fit_has_not_seen(bench):
    fitted = bench.fit(12, draw=1)
    unused = [i for i, used in zip(bench.items, bench.subset(12, 1), strict=True) if not used]
    table = fitted.table(unused, ["base", "positive", "negative"])
    expected, _ = choose(table, answer_indices(unused), ["likra"], ALPHAS, ["none"])
    assert bench.choose_alphas(fitted, 12, 1, ["likra"]) == {"likra": expected.alpha}
    rows = list(learning_curve(bench, [12], [1], modes=("sft", "likra"), alpha="auto"))
    assert [row.alpha for row in rows] == [None, expected.alpha]
    with pytest.raises(LikraError, match="none is left to choose alpha on"):
        bench.choose_alphas(fitted, 24, 1, ["likra"])
