"""Experiments on many subsets give what single fits give."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item, LikraError
from likra_lite.experiments import (
    Experiment,
    HeldOut,
    OutputBench,
    Point,
    Results,
    curve_sizes,
    observations,
    points_of_claims,
    run,
    trajectories,
)
from likra_lite.heads.negatives import draw_negatives
from likra_lite.heads.settings import FITTED_HEADS, FitSettings
from likra_lite.heads.training_set import fit_heads, training_set
from likra_lite.prompts import as_prompt
from likra_lite.questions.inputs import answer_indices
from likra_lite.questions.roles import roles_of, shared_roles
from likra_lite.report.measured import Measured
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.lengths import mode_name
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.selection import DecisionRule
from likra_lite.scoring.statistics import paired_difference


@pytest.fixture(scope="module")
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


@pytest.fixture(scope="module")
def bench(scorer, items) -> OutputBench:
    return OutputBench(scorer, items[:24], {"test": HeldOut.read(scorer, items[24:])})


@pytest.fixture(scope="module")
def experiment(scorer, items) -> Experiment:
    return Experiment(scorer, items[:24], {"test": items[24:]}, unrelated=None)


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory) -> Results:
    """Everything that the paper's claims need, at the sizes 1 to 16 with two seeds."""
    found = experiment.create(tmp_path_factory.mktemp("claims") / "r")
    run(experiment, points_of_claims(experiment.items, curve_sizes(24), range(2)), found, n_jobs=1)
    return found


@pytest.mark.parametrize("kind", ["own", "all", "hardest", "easiest", "other"])
def test_a_fit_on_everything_is_the_classifiers_fit(kind, bench, scorer):
    heads = bench.fit(Point("none", 24, 3, kind)).fitted
    y = answer_indices(bench.items)
    training = training_set(
        scorer, bench.items, y, FitSettings(DecisionRule("likra"), kind, seed=3)
    )
    expected = fit_heads(scorer, training, FITTED_HEADS, bench.penalty)
    for name in FITTED_HEADS:
        np.testing.assert_allclose(heads[name].matrix, expected.fitted[name].matrix, atol=1e-4)


def test_a_fit_on_a_subset_sees_nothing_else(bench, scorer, items):
    kept = bench.subset(10, seed=1)
    alone = OutputBench(scorer, [i for i, k in zip(bench.items, kept, strict=True) if k], {})
    head = bench.fit(Point("none", 10, 1)).fitted["positive"]
    expected = alone.fit(Point("none", 10, 0)).fitted["positive"]
    np.testing.assert_allclose(head.matrix, expected.matrix, atol=1e-4)


def test_subsets_of_a_seed_are_nested_and_seeds_differ(bench):
    small, large = bench.subset(5, seed=2), bench.subset(12, seed=2)
    assert (small.sum(), large.sum()) == (5, 12)
    assert not np.any(small & ~large)
    assert np.any(small != bench.subset(5, seed=3))
    with pytest.raises(LikraError, match="subset of 25 items but there are 24"):
        bench.subset(25, seed=0)


def test_the_test_table_is_the_scorers(bench):
    fitted = bench.fit(Point("none", 12, 0))
    expected = fitted.table(bench.held_out["test"].items)
    table = bench.held_out["test"].score(fitted)
    assert set(table.heads) == {"base", "neutral", "positive", "negative"}
    for name in table.heads:
        np.testing.assert_allclose(table.heads[name], expected.heads[name], atol=1e-3)


def test_with_the_question_hidden_questions_do_not_matter(experiment, scorer, items):
    shown, control = experiment.bench("none"), experiment.bench("hidden")
    np.testing.assert_allclose(
        control.held_out["test"].table.heads["base"],
        shown.held_out["test"].table.heads["neutral"],
        atol=1e-4,
    )
    asked = [Item("Something else?", i.choices, i.answer, context="And more.") for i in items]
    other = Experiment(scorer, asked[:24], {"test": asked[24:]}).bench("hidden")
    one, two = (
        bench.held_out["test"].score(bench.fit(Point("hidden", 16, 0)))
        for bench in (control, other)
    )
    for name in one.heads:
        np.testing.assert_allclose(one.heads[name], two.heads[name], atol=1e-3)


def test_negatives_of_a_role(scorer, items, tmp_path):
    roles = {"roles": ("right", "bad", "worse")}
    two = [Item("Q?", ("good", f"bad{i}", f"worse{i}"), 0, metadata=roles) for i in range(6)]
    y = answer_indices(two)
    assert draw_negatives(two, y, "role worse").choice.tolist() == [2] * 6
    both = draw_negatives(two, y, "role bad or worse").choice
    assert set(both.tolist()) == {1, 2}
    assert shared_roles(two) == ["bad", "worse"]
    experiment = Experiment(scorer, two, {"test": items[:4]})
    results = experiment.create(tmp_path / "r")
    run(experiment, [Point("none", 4, 0, "role bad")], results, n_jobs=1)
    (row,) = observations(results, ["likra"])
    assert row["negatives"] == "role bad", "not to be taken for a kind of the same name"
    with pytest.raises(LikraError, match=r"in the roles \['good'\]; every item has"):
        draw_negatives(two, y, "role good")


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


def test_differences_are_paired(results):
    table, y = results.table("test", Point("none", 8, 0)), results.y("test")
    one, other = Decision("likra", 0.5), Decision("base")
    right = [(d.predict(table) == y).astype(float) for d in (one, other)]
    difference, error = paired_difference(*(values > 0 for values in right))
    assert difference == pytest.approx(right[0].mean() - right[1].mean())
    assert error == pytest.approx(np.std(right[0] - right[1]) / np.sqrt(len(y)))


def test_mean_log_likelihoods(results):
    table = results.table("test")
    groups = np.array(["a", "b"] * (table.offsets[-1] // 2) + ["a"] * (table.offsets[-1] % 2))
    means = {
        row["group"]: row
        for row in trajectories(results, roles=groups)
        if (row["control"], row["head"]) == ("none", "base")
    }
    picked = [v for v, g in zip(table.heads["base"], groups, strict=True) if g == "b"]
    assert means["b"]["log_likelihood"] == pytest.approx(sum(picked) / len(picked), abs=1e-4)
    assert means["b"]["n_answers"] == len(picked)
    assert set(means) == {"a", "b"}


def test_claims_are_complete(results, experiment):
    sizes = curve_sizes(24)
    assert sizes == [1, 2, 4, 8, 16]
    points = points_of_claims(experiment.items, sizes, range(2))
    assert points == results.points()
    assert len(points) == 2 * (2 * 5 + 4 - 1), "own is on the curve and among the kinds"
    measured = Measured.of_claims(results, experiment.tests["test"], 0.9)
    assert list(measured.free) == ["base", "base per character", "pmi"]
    assert {"sft", "pos-base", "base-likra", "likra"} < {row["mode"] for row in measured.rows}
    shares = {name: measured.free_row(rule)["accuracy"] for name, rule in measured.free.items()}
    assert shares[measured.best_free] == max(shares.values())
    assert mode_name("base", "chars") in shares
    assert measured.chance == pytest.approx(
        np.mean([1 / len(item.choices) for item in experiment.tests["test"]])
    )
    assert {row["negatives"] for row in measured.kinds_rows} == {
        "own", "hardest", "easiest", "other",
    }  # fmt: skip
    assert {row["n_items"] for row in measured.kinds_rows} == {16}
    assert measured.kinds_alpha is None, "16 of 24 items leave too few to choose alpha on"
    rows = measured.trajectory_rows
    assert {row["group"] for row in rows} == {"right", "near-miss"}
    table = results.table("test")
    right = table.offsets[:-1] + results.y("test")
    expected = table.heads["base"][right].mean()
    base = [row for row in rows if row["head"] == "base"]
    assert next(r["log_likelihood"] for r in base if r["group"] == "right") == pytest.approx(
        expected, abs=1e-4
    )


def test_every_kind_gets_an_alpha_where_enough_items_are_left(scorer, items, tmp_path):
    experiment = Experiment(scorer, items[:24], {"test": items[24:]}, unrelated=None)
    results = experiment.create(tmp_path / "r")
    run(experiment, points_of_claims(experiment.items, [12], [0]), results, n_jobs=1)
    measured = Measured.of_claims(results, experiment.tests["test"], 0.5)
    assert measured.kinds_alpha == "auto"
    rows = {row["negatives"]: row for row in measured.kinds_rows if row["mode"] == "likra"}
    for kind, row in rows.items():
        chosen = results.decision(Point("none", 12, 0, kind), "likra", "auto")
        assert row["alpha"] == chosen.alpha
        correct = chosen.predict(results.table("test", Point("none", 12, 0, kind)))
        assert row["accuracy"] == pytest.approx(np.mean(correct == results.y("test")))


def test_what_claims_refuse(scorer, items):
    with pytest.raises(LikraError, match="nothing to fit"):
        points_of_claims(items, [], [0])
    with pytest.raises(LikraError, match="nothing to fit"):
        points_of_claims(items, [8], [])
    with pytest.raises(LikraError, match="at least two training items; got 1"):
        OutputBench(scorer, items[:1], {})


def test_yes_and_no_are_nobody_elses_answers():
    asked = [Item(f"Is {n} even?", ("yes", "no"), n % 2) for n in range(8)]
    kinds = {point.negatives for point in points_of_claims(asked, [4], [0])}
    assert kinds == {"own", "hardest", "easiest"}


def test_curve_sizes():
    assert curve_sizes(1024) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert curve_sizes(5) == [1, 2, 4]
