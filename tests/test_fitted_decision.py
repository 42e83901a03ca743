"""Fitted weights: the conditional logit, its prior around plain ratios, and its words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from scipy.special import logsumexp, softmax
from test_ratio import make_table

from likra_lite.errors import LikraError
from likra_lite.scoring.conditional_logit import ConditionalLogit
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.fitted import FittedDecision, feature_names, features_of
from likra_lite.scoring.lengths import LENGTHS
from likra_lite.scoring.modes import HEADS, MODES
from likra_lite.scoring.selection import FOLDS, DecisionRule, worse_than_base
from likra_lite.scoring.table import LogLikelihoods
from likra_lite.scoring.weighing import fit_decision, plain_ratios


def answered_by(scores, table, seed=0):
    """Draw right answers with the probabilities that scores give."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(len(s), p=softmax(s)) for s in table.split(scores)])


def problem(n_items, n_features=3, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 6, n_items)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    features = rng.normal(size=(offsets[-1], n_features))
    y = rng.integers(0, counts)
    return features, offsets, y


def log_posterior(weights, features, offsets, y, mean, precision):
    """Return the same as a loop over the items."""
    total = 0.0
    for start, end, right in zip(offsets[:-1], offsets[1:], y, strict=True):
        scores = features[start:end] @ weights
        total += scores[right] - logsumexp(scores)
    return total - 0.5 * (weights - mean) @ precision @ (weights - mean)


def test_derivatives_are_those_of_finite_differences():
    features, offsets, y = problem(30)
    logit = ConditionalLogit(features, offsets, y)
    weights = np.array([0.5, -1.0, 2.0])
    nothing = np.zeros(3), np.zeros((3, 3))
    value, gradient, information = logit.derivatives(weights)
    assert value == pytest.approx(log_posterior(weights, features, offsets, y, *nothing))
    slopes = approx_fprime(weights, lambda w: logit.derivatives(w)[0], 1e-6)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)
    for index in range(3):
        slopes = approx_fprime(weights, lambda w, i=index: logit.derivatives(w)[1][i], 1e-6)
        np.testing.assert_allclose(-information[index], slopes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_items", [1, 5, 200])
def test_posterior_is_that_of_a_general_optimiser(n_items):
    features, offsets, y = problem(n_items)
    mean, precision = np.array([1.0, 0.0, -1.0]), np.diag([1.0, 4.0, 0.1]) + 0.05
    found = ConditionalLogit(features, offsets, y).posterior(mean, precision)
    arguments = (features, offsets, y, mean, precision)
    other = minimize(lambda w: -log_posterior(w, *arguments), np.zeros(3), tol=1e-12)
    np.testing.assert_allclose(found.weights, other.x, atol=1e-5)
    start = np.array([9.0, -9.0, 9.0])
    again = ConditionalLogit(features, offsets, y).posterior(mean, precision, start)
    np.testing.assert_allclose(again.weights, found.weights, atol=1e-7)


def test_evidence_is_the_integral_over_the_prior():
    features, offsets, y = problem(12, n_features=1)
    mean, precision = np.array([0.5]), np.array([[2.0]])
    found = ConditionalLogit(features, offsets, y).posterior(mean, precision)
    grid = np.linspace(-6, 7, 4001)
    values = [log_posterior(np.array([w]), features, offsets, y, mean, precision) for w in grid]
    integral = logsumexp(values) + np.log(grid[1] - grid[0]) - 0.5 * np.log(2 * np.pi / 2.0)
    assert found.log_evidence == pytest.approx(integral, abs=0.05), "Laplace's approximation"


def test_weights_are_those_of_statsmodels():
    discrete = pytest.importorskip("statsmodels.discrete.conditional_models")
    features, offsets, y = problem(300)
    right = np.zeros(len(features))
    right[offsets[:-1] + y] = 1
    groups = np.repeat(np.arange(300), np.diff(offsets))
    expected = discrete.ConditionalLogit(right, features, groups=groups).fit(disp=False).params
    flat = 1e-10 * np.eye(3)
    found = ConditionalLogit(features, offsets, y).posterior(np.zeros(3), flat)
    np.testing.assert_allclose(found.weights, expected, atol=1e-4)


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    alpha=st.floats(0, 2),
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("per", ["none", "chars"])
def test_every_mode_raw_and_per_character_is_a_special_case(mode, per, counts, seed, alpha):
    table = make_table(counts, seed)
    fixed = Decision(mode, alpha, per)
    plus, minus, weighted = MODES[mode]
    suffix = "" if per == "none" else "/chars"
    weights = dict.fromkeys(feature_names(HEADS), 0.0) | {plus + suffix: 1.0}
    if minus is not None:
        weights[minus + suffix] = -alpha if weighted else -1.0
    fitted = FittedDecision(weights)
    np.testing.assert_allclose(fitted.scores(table), fixed.scores(table), atol=1e-12)


def test_scores_are_features_times_weights():
    table = make_table([3, 2, 5])
    names = feature_names(HEADS)
    weights = np.random.default_rng(0).normal(size=len(names))
    decision = FittedDecision(dict(zip(names, weights.tolist(), strict=True)))
    np.testing.assert_allclose(decision.scores(table), features_of(table, names) @ weights)
    assert set(decision.heads) == set(HEADS)
    shares = [p.sum() for p in table.split(decision.probabilities(table))]
    np.testing.assert_allclose(shares, 1.0)


def test_many_items_lead_to_the_weights_that_drew_them():
    table = make_table([4] * 3000)
    true = FittedDecision({"base": 0.6, "negative": -0.4, "chars": 0.1, "base/chars": 0.0})
    y = answered_by(true.scores(table), table)
    found = fit_decision(table, y)
    fresh = make_table([4] * 2000, seed=1)
    np.testing.assert_allclose(found.probabilities(fresh), true.probabilities(fresh), atol=0.12)
    assert found.weights["base"] == pytest.approx(0.6, abs=0.1)
    assert found.weights["negative"] == pytest.approx(-0.4, abs=0.1)
    assert found.weights["chars"] == pytest.approx(0.1, abs=0.02)


def test_few_items_change_little():
    """Two items that speak for the longest answer do not make it the rule."""
    table = make_table([4] * 400)
    prior = fit_decision(table.take(np.arange(2)), np.array([0, 0]))
    ratio = FittedDecision({"base": 1.0, "neutral": -0.5})
    free = LogLikelihoods(
        table.offsets, {h: table.heads[h] for h in ("base", "neutral")}, table.lengths
    )
    two = fit_decision(free.take(np.arange(2)), np.array([0, 0]))
    agreement = np.mean(two.predict(free) == ratio.predict(free))
    assert agreement > 0.6, "of four choices"
    assert np.isfinite(list(prior.weights.values())).all()


@pytest.mark.parametrize("n_items", [1, 2, 16])
def test_separable_items_give_finite_weights(n_items):
    table = make_table([3] * n_items)
    y = Decision("base").predict(table)
    decision = fit_decision(table, y)
    assert all(abs(w) < 100 for w in decision.weights.values())
    if n_items == 16:
        assert np.mean(decision.predict(table) == y) > 0.8


def test_constant_features_have_no_weight():
    """Letters: every choice has one character and one token."""
    table = make_table([4] * 50)
    same = {name: np.ones(200, np.int64) for name in LENGTHS}
    flat = {**table.heads, "neutral": np.full(200, -3.3)}
    letters = LogLikelihoods(table.offsets, flat, same)
    y = answered_by(0.5 * letters.heads["base"], letters)
    weights = fit_decision(letters, y).weights
    assert {weights[name] for name in ("chars", "tokens", "neutral", "neutral/chars")} == {0.0}
    assert weights["base"] > 0


def test_items_without_a_difference_give_a_decision():
    table = LogLikelihoods(
        np.array([0, 2, 4]), {"base": np.zeros(4)}, {n: np.ones(4, np.int64) for n in LENGTHS}
    )
    decision = fit_decision(table, np.array([0, 1]))
    np.testing.assert_allclose(decision.probabilities(table), 0.5)


def test_the_order_of_items_does_not_matter_and_nothing_is_drawn():
    table = make_table(np.random.default_rng(0).integers(2, 6, 40))
    y = answered_by(0.3 * table.heads["base"], table)
    order = np.random.default_rng(1).permutation(40)
    one, two = fit_decision(table, y), fit_decision(table.take(order), y[order])
    for name, weight in one.weights.items():
        assert two.weights[name] == pytest.approx(weight, rel=1e-6, abs=1e-9)
    assert fit_decision(table, y) == one


def test_units_of_the_log_likelihoods_do_not_matter():
    table = make_table([4] * 60)
    y = answered_by(0.3 * table.heads["base"], table)
    bits = {head: column / np.log(2) for head, column in table.heads.items()}
    other = LogLikelihoods(table.offsets, bits, table.lengths)
    one, two = fit_decision(table, y), fit_decision(other, y)
    np.testing.assert_allclose(two.scores(other), one.scores(table), atol=1e-6)


def test_heads_that_learnt_nothing_change_nothing():
    """They differ from the model by rounding, and no ratio is made of that."""
    table = make_table([4] * 60, seed=3)
    base, noise = table.head("base"), np.random.default_rng(0).normal(size=(2, 240))
    untrained = LogLikelihoods(
        table.offsets,
        {"base": base, "positive": base + 1e-5 * noise[0], "negative": base + 1e-5 * noise[1]},
        table.lengths,
    )
    y = answered_by(0.3 * base, table)
    decision = fit_decision(untrained, y)
    alone = fit_decision(LogLikelihoods(table.offsets, {"base": base}, table.lengths), y)
    assert max(map(abs, decision.weights.values())) < 10
    np.testing.assert_allclose(
        decision.probabilities(untrained), alone.probabilities(untrained), atol=0.15
    )


def test_log_likelihoods_that_are_not_finite_are_an_error():
    table = make_table([2, 2])
    table.heads["base"][1] = -np.inf
    with pytest.raises(LikraError, match="hold numbers that are none"):
        fit_decision(table, np.array([0, 1]))


def test_the_prior_has_every_mode_that_there_are_heads_for():
    free = plain_ratios(["base", "neutral"])
    assert free[0] == {"base": 1.0, "neutral": -0.5}, "midway between base and pmi"
    assert len(free) == 2, "and per character"
    ratios = plain_ratios(HEADS)
    for mode in ("sft", "likra", "base-likra", "pos-base"):
        assert any(set(ratio) == set(MODES[mode].heads) for ratio in ratios)


def test_cross_fitted_decisions_have_not_seen_what_they_decide():
    table = make_table([3] * 45)
    y = answered_by(0.3 * table.heads["base"], table)
    rule = DecisionRule()
    crossed = rule.cross_fit(table, y)
    assert np.bincount(crossed.folds).tolist() == [5] * 5 + [4] * 5
    for fold in range(FOLDS):
        kept, out = np.flatnonzero(crossed.folds != fold), np.flatnonzero(crossed.folds == fold)
        expected = rule.decide(table.take(kept), y[kept]).probabilities(table.take(out))
        where = np.isin(np.repeat(np.arange(45), 3), out)
        np.testing.assert_allclose(crossed.probabilities(table)[where], expected)


def test_noise_is_not_taken_for_knowledge():
    """Held-out accuracy of weights fitted on answers drawn at random is that of a guess."""
    table = make_table([4] * 400)
    y = np.random.default_rng(0).integers(0, 4, 400)
    crossed = DecisionRule().cross_fit(table, y)
    assert np.mean(crossed.predict(table) == y) < 0.25 + 3 * np.sqrt(0.25 * 0.75 / 400)
    probabilities = fit_decision(table, y).probabilities(table)
    assert probabilities.max() < 0.5, "and it is not sure of any"


def test_the_loss_is_that_of_held_out_items():
    table = make_table([3] * 30)
    y = answered_by(0.3 * table.heads["base"], table)
    rule = DecisionRule("likra", normalization="auto")
    shares = rule.cross_fit(table, y).probabilities(table)[table.offsets[:-1] + y]
    assert rule.loss(table, y) == pytest.approx(-np.log(shares).mean())


def test_a_rule_reads_what_it_may():
    table = make_table([3] * 20)
    y = np.zeros(20, np.int64)
    assert DecisionRule(heads=("base", "neutral")).decide(table, y).heads == ("base", "neutral")
    assert DecisionRule("sft").read == {"positive"}
    assert DecisionRule().read == set(HEADS)
    del table.heads["negative"]
    assert "negative" not in DecisionRule().decide(table, y).heads
    with pytest.raises(LikraError, match="no 'negative' head"):
        DecisionRule("likra").decide(table, y)


def test_worse_than_base_is_told_with_its_name():
    table = make_table([2] * 100)
    y = Decision("base").predict(table)
    text = worse_than_base("sft", Decision("sft"), Decision("base"), table, y)
    assert text.startswith("mode 'sft' does worse than the base model on held-out items")
    assert worse_than_base("base", Decision("base"), Decision("base"), table, y) is None


def test_words_tell_alpha_and_what_length_does():
    weights = {"positive": 2.0, "negative": -1.8, "negative/chars": -2.0, "chars": 0.03}
    typical = {"positive": -10.0, "negative": -12.0, "chars": 20.0, "bytes": 20.0, "tokens": 4.0}
    decision = FittedDecision(weights, typical)
    assert decision.per_nat == {"positive": 2.0, "negative": pytest.approx(-1.9)}
    assert decision.alphas == {"negative": pytest.approx(0.95)}
    longer = -2.0 * -12.0 * (1 / 30 - 1 / 20) + 10 * 0.03
    assert decision.per_length == pytest.approx(longer)
    assert str(decision) == "mode auto: 2.00 positive - 1.90 negative - 0.10 per 10 characters"
    assert "alpha of the negative head: 0.95 (0 is sft and 1 is likra)" in decision.in_words()


@pytest.mark.parametrize("weights", [{"base": np.nan}, {"base": np.inf}, {"nonsense": 1.0}])
def test_damaged_weights_are_an_error(weights):
    with pytest.raises(LikraError, match=r"got a weight \w+="):
        FittedDecision(weights)
