"""Coverage, error rates and calibration: brute force, scikit-learn, and simulated truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from test_ratio import make_table

from likra_lite import LanguageModel
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.errors import AbstentionWarning, LikraError
from likra_lite.prompts import Prompt
from likra_lite.scoring.calibration import reliability, risk_coverage
from likra_lite.scoring.conformal import (
    abstention_threshold,
    predict_or_abstain,
    prediction_sets,
    set_threshold,
)
from likra_lite.scoring.decision import Decision, fit_temperature
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.table import LogLikelihoods


def simulate(n_items, seed, temperature=2.0):
    """Items of two to five choices, whose right one is drawn with the model's probability."""
    counts = np.random.default_rng(seed).integers(2, 6, n_items)
    table = make_table(counts.tolist(), seed)
    decision = Decision("base", temperature=temperature)
    return table, decision, draw_answers(table, decision, seed)


def draw_answers(table, decision, seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(len(p), p=p) for p in table.split(decision.probabilities(table))])


@pytest.fixture(scope="module")
def demo_scores():
    """Half of the demo's test items under the bundled model, with and without the question."""
    items, y = load_demo("test")
    model = LanguageModel(bundled_model())
    table = ChoiceScorer(model, Prompt(model.manifest.prompt)).table(items[:600])
    return table, y[:600]


def covered(sets, y):
    return np.mean([right in chosen for right, chosen in zip(y, sets, strict=True)])


@pytest.mark.parametrize("mode", ["base", "pmi"])
def test_coverage_on_the_demo(mode, demo_scores):
    """Mean coverage over 100 random halves is within two points of the target."""
    table, y = demo_scores
    decision = Decision(mode)
    temperature = fit_temperature(decision.scores(table), table.offsets, y)
    decision = replace(decision, temperature=temperature)
    for target in (0.8, 0.9, 0.95):
        coverages, sizes = [], []
        for seed in range(100):
            one, other = np.array_split(np.random.default_rng(seed).permutation(len(table)), 2)
            threshold = set_threshold(table.take(one), decision, y[one], target)
            sets = prediction_sets(table.take(other), decision, threshold)
            coverages.append(covered(sets, y[other]))
            sizes.append(np.mean([len(each) for each in sets]))
        assert target - 0.01 < np.mean(coverages) < target + 0.02
        assert np.mean(sizes) < 2.6, "of four"


def test_coverage_does_not_need_a_model_that_knows_anything():
    """Answers that have nothing to do with the scores, and a temperature that is far off."""
    table, decision, _ = simulate(1000, 0, temperature=0.3)
    y = np.random.default_rng(9).integers(table.n_choices)
    coverages = []
    for seed in range(100):
        one, other = np.array_split(np.random.default_rng(seed).permutation(1000), 2)
        threshold = set_threshold(table.take(one), decision, y[one], 0.9)
        coverages.append(covered(prediction_sets(table.take(other), decision, threshold), y[other]))
    assert np.mean(coverages) == pytest.approx(0.9, abs=0.01)


def test_threshold_is_the_conformal_quantile():
    table, decision, y = simulate(157, 1)
    right = [p[a] for p, a in zip(table.split(decision.probabilities(table)), y, strict=True)]
    for coverage in (0.1, 0.5, 0.9, 0.99):
        threshold = set_threshold(table, decision, y, coverage)
        expected = np.quantile(
            1 - np.array(right), np.ceil(158 * coverage) / 157, method="inverted_cdf"
        )
        assert 1 - threshold == pytest.approx(expected)


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.7, 3), (0.9, 9), (0.95, 19)])
def test_too_few_items_for_the_coverage(coverage, needed):
    table, decision, y = simulate(needed, 2)
    right = decision.probabilities(table)[table.offsets[:-1] + y]
    assert set_threshold(table, decision, y, coverage) == right.min(), "the last that is enough"
    if needed > 1:
        fewer = np.arange(needed - 1)
        with pytest.raises(LikraError, match=f"{needed - 1} held-out items; .* least {needed}, "):
            set_threshold(table.take(fewer), decision, y[fewer], coverage)


def test_sets_are_what_a_loop_gives():
    table, decision, _ = simulate(300, 3)
    table.heads["base"][table.offsets[7] : table.offsets[8]] = -3.0  # all alike
    for threshold in (0.0, 0.2, 0.6, 1.1):
        sets = prediction_sets(table, decision, threshold)
        for scores, chosen in zip(table.split(decision.scores(table)), sets, strict=True):
            p = softmax(scores / decision.temperature)
            ranked = sorted(range(len(p)), key=lambda i, p=p: -p[i])
            assert chosen.tolist() == [i for i in ranked if p[i] >= threshold or i == ranked[0]]
        assert [s[0] for s in sets] == decision.predict(table).tolist()


def test_the_error_rate_is_kept_as_often_as_promised():
    """The true error rate of what is answered, on many new items, after 400 calibrations."""
    table, decision, y = simulate(40_000, 4)
    top = np.maximum.reduceat(decision.probabilities(table), table.offsets[:-1])
    wrong = decision.predict(table) != y
    broken, answered = 0, []
    rng = np.random.default_rng(5)
    for _ in range(400):
        items = rng.integers(len(table), size=1000)
        threshold = abstention_threshold(table.take(items), decision, y[items], 0.2, 0.9)
        sure = top >= threshold
        broken += wrong[sure].sum() > 0.2 * sure.sum()
        answered.append(sure.mean())
    assert 0 < broken <= stats.binom.ppf(0.999, 400, 0.1)
    oracle = risk_coverage(table, decision, y)
    assert np.mean(answered) > 0.8 * oracle.coverage[oracle.error_rate <= 0.2].max()


def test_clopper_and_pearson_certify_the_threshold():
    """SciPy's upper bound on the error rate is low enough at every threshold down to the one."""
    table, decision, y = simulate(500, 6)
    threshold = abstention_threshold(table, decision, y, 0.25, 0.95)
    top = np.maximum.reduceat(decision.probabilities(table), table.offsets[:-1])
    wrong = decision.predict(table) != y

    def upper(at):
        result = stats.binomtest(int(wrong[top >= at].sum()), int((top >= at).sum()))
        return result.proportion_ci(0.9, method="exact").high  # two-sided, .05 on each side

    assert all(upper(at) <= 0.25 for at in np.arange(0.75, threshold - 1e-9, -0.01))
    assert upper(threshold - 0.01) > 0.25
    answers = predict_or_abstain(table, decision, threshold)
    np.testing.assert_array_equal(answers == -1, top < threshold)
    np.testing.assert_array_equal(answers[answers >= 0], decision.predict(table)[answers >= 0])


def test_nothing_is_answered_where_nothing_is_certain():
    table, decision, _ = simulate(200, 7)
    y = np.random.default_rng(8).integers(table.n_choices)
    with pytest.warns(AbstentionWarning, match=r"200 held-out items .* no answers with error_rate"):
        threshold = abstention_threshold(table, decision, y, 0.1)
    assert (predict_or_abstain(table, decision, threshold) == -1).all()


def test_everything_is_answered_where_all_is_right():
    table, decision, _ = simulate(200, 7, temperature=0.1)
    threshold = abstention_threshold(table, decision, decision.predict(table), 0.05)
    assert (predict_or_abstain(table, decision, threshold) >= 0).all()


def test_too_few_items_for_the_error_rate():
    table, decision, _ = simulate(22, 8)
    y = decision.predict(table)
    decision = replace(decision, temperature=1e-3)
    assert abstention_threshold(table, decision, y, 0.1) < 0.5, ".9 ** 22 is below .1"
    with pytest.raises(LikraError, match=r"21 held-out items; .* confidence 0.9 .* at least 22"):
        abstention_threshold(table.take(np.arange(21)), decision, y[:21], 0.1)


def test_risk_coverage_is_what_a_loop_gives():
    table, decision, y = simulate(120, 10)
    copy = LogLikelihoods.concatenate([table, table])  # every probability occurs twice
    y = np.concatenate([y, draw_answers(table, decision, 99)])
    curve = risk_coverage(copy, decision, y)
    top = np.maximum.reduceat(decision.probabilities(copy), copy.offsets[:-1])
    wrong = decision.predict(copy) != y
    assert len(curve.threshold) == 120
    for threshold, coverage, error in zip(*curve, strict=True):
        assert coverage == np.mean(top >= threshold)
        assert error == pytest.approx(wrong[top >= threshold].mean())
    assert curve.coverage[-1] == 1.0


def test_reliability_is_that_of_scikit_learn():
    table, decision, y = simulate(3000, 11)
    top = np.maximum.reduceat(decision.probabilities(table), table.offsets[:-1])
    right = decision.predict(table) == y
    for bins in (1, 10, 15):
        found = reliability(table, decision, y, bins)
        expected = calibration_curve(right, top, n_bins=bins)
        np.testing.assert_allclose((found.accuracy, found.confidence), expected)
        assert found.n_items.sum() == 3000
        error = np.average(abs(expected[0] - expected[1]), weights=found.n_items)
        assert found.expected_error == pytest.approx(error)
    assert reliability(table, decision, y).expected_error < 0.02, "answers follow the probabilities"
    cold = replace(decision, temperature=0.5)
    assert reliability(table, cold, y).expected_error > 0.15


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, np.nan, "0.9"])
def test_shares_out_of_range(share):
    table, decision, y = simulate(50, 12)
    with pytest.raises(LikraError, match=r"got coverage=.*; expected a share between 0 and 1"):
        set_threshold(table, decision, y, share)
    with pytest.raises(LikraError, match=r"got error_rate=.*; expected a share"):
        abstention_threshold(table, decision, y, share)
    with pytest.raises(LikraError, match=r"got confidence=.*; expected a share"):
        abstention_threshold(table, decision, y, 0.1, share)
    with pytest.raises(LikraError, match="got bins=0; expected an integer"):
        reliability(table, decision, y, 0)


def test_a_rank_is_not_rounded_up_for_the_last_digit():
    """7 of 10 is the seventh largest, though .7 * 10 may be a little more than 7."""
    table, decision, y = simulate(9, 13)
    right = np.sort(decision.probabilities(table)[table.offsets[:-1] + y])
    for coverage, rank in ((0.1, 1), (0.3, 3), (0.7, 7), (0.9, 9), (0.65, 7), (0.71, 8)):
        assert set_threshold(table, decision, y, coverage) == right[9 - rank]


def test_thresholds_are_tried_in_steps_of_a_hundredth_from_one_less_the_error_rate():
    table, decision, y = simulate(2000, 14)
    found = abstention_threshold(table, decision, y, 0.3)
    top = np.maximum.reduceat(decision.probabilities(table), table.offsets[:-1])
    wrong = decision.predict(table) != y
    expected = None
    for step in range(70):
        at = 0.7 - 0.01 * step
        answered = top >= at
        if stats.binom.cdf(wrong[answered].sum(), answered.sum(), 0.3) > 1 - 0.9:
            break
        expected = at
    assert found == pytest.approx(expected, abs=1e-12)
    assert found == abstention_threshold(table, decision, y, 0.3, 0.9) > 0.02


def test_a_probability_of_one_is_in_the_last_of_ten_bins():
    table = make_table([2] * 20, 15)
    table.heads["base"][:] = np.tile([-1000.0, 0.0], 20)
    table.heads["base"][:2] = np.log([0.05, 0.95])
    found = reliability(table, Decision("base"), np.ones(20, np.int64))
    assert found.n_items.tolist() == [20], ".95 and 1 are in one bin, and no bin is beyond"
    assert found.accuracy.tolist() == [1.0]
    assert found.expected_error == pytest.approx(0.05 / 20)
    table.heads["base"][:2] = np.log([0.11, 0.89])
    assert reliability(table, Decision("base"), np.ones(20, np.int64)).n_items.tolist() == [1, 19]


def test_the_best_choice_is_kept_below_the_threshold_too():
    table = make_table([3, 2], 16)
    table.heads["base"][:] = np.log([0.3, 0.5, 0.2, 0.5, 0.5])
    sets = prediction_sets(table, Decision("base"), 0.9)
    assert [each.tolist() for each in sets] == [[1], [0]]
    sets = prediction_sets(table, Decision("base"), 0.25)
    assert [each.tolist() for each in sets] == [[1, 0], [0, 1]]
    exactly = Decision("base").probabilities(table)[0]
    assert prediction_sets(table, Decision("base"), exactly)[0].tolist() == [1, 0]
    more = np.nextafter(exactly, 1)
    assert prediction_sets(table, Decision("base"), more)[0].tolist() == [1]
