"""Intervals and tests against SciPy, statsmodels and simulations with a known truth."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from likra_lite.errors import LikraError
from likra_lite.scoring.statistics import (
    accuracy,
    bootstrap_interval,
    detectable_difference,
    holm,
    mcnemar_test,
    paired_difference,
)


def simulate(rng, n_items, both, ours, theirs, size=()):
    """Draw whether each of two got an item right, from the chances of three of four outcomes."""
    cell = rng.choice(4, p=[both, ours, theirs, 1 - both - ours - theirs], size=(*size, n_items))
    return cell <= 1, (cell == 0) | (cell == 2)


def most_by_chance(chance, n_runs):
    """Return how many of the runs show something of that chance, at most, but once in 1000."""
    return stats.binom.ppf(0.999, n_runs, chance)


def test_accuracy_and_its_standard_error():
    share, error = accuracy(np.array([True] * 30 + [False] * 70))
    assert share == pytest.approx(0.3)
    assert error == pytest.approx(np.sqrt(0.3 * 0.7 / 100))


def test_seeds_of_an_item_are_one_cluster():
    """Ten copies of the same fit tell no more than one."""
    rng = np.random.default_rng(0)
    ours, theirs = simulate(rng, 200, 0.4, 0.2, 0.1)
    copies = np.tile(ours, (10, 1)), np.tile(theirs, (10, 1))
    assert accuracy(copies[0]) == pytest.approx(accuracy(ours))
    for many in (copies, (copies[0], theirs)):
        assert paired_difference(*many) == pytest.approx(paired_difference(ours, theirs))
        assert mcnemar_test(*many) == pytest.approx(mcnemar_test(ours, theirs))
        assert bootstrap_interval(*many) == pytest.approx(bootstrap_interval(ours, theirs))
    noisy = np.stack([rng.permutation(ours) for _ in range(10)])
    assert accuracy(noisy)[1] < 0.5 * accuracy(ours)[1], "independent seeds do tell more"


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    chances = [(0.5, 0.0, 0.0), (0.5, 0.1, 0.1), (0.3, 0.2, 0.05), (0.1, 0.02, 0.3)]
    for n_items, outcome in product((3, 20, 301, 5000), chances):
        ours, theirs = simulate(rng, n_items, *outcome)
        table = [
            [np.sum(ours & theirs), np.sum(ours & ~theirs)],
            [np.sum(~ours & theirs), np.sum(~ours & ~theirs)],
        ]
        expected = mcnemar(table, exact=True).pvalue
        # Without discordant items statsmodels divides nothing by nothing.
        expected = 1.0 if np.isnan(expected) else expected
        assert mcnemar_test(ours, theirs) == pytest.approx(expected, rel=1e-8, abs=1e-300)
        assert mcnemar_test(theirs, ours) == pytest.approx(expected, rel=1e-8, abs=1e-300)


def test_sign_flips_of_several_seeds_are_counted_right():
    """Against all sign patterns of a few items, and SciPy's random ones of many."""
    rng = np.random.default_rng(1)
    ours, theirs = rng.random((3, 10)) < 0.7, rng.random((3, 10)) < 0.4
    sums = ours.sum(axis=0) - theirs.sum(axis=0)
    flipped = np.array(list(product([-1, 1], repeat=10))) @ sums
    assert mcnemar_test(ours, theirs) == pytest.approx(np.mean(abs(flipped) >= abs(sums.sum())))

    ours, theirs = rng.random((3, 400)) < 0.60, rng.random((3, 400)) < 0.53
    expected = stats.permutation_test(
        (ours.mean(axis=0), theirs.mean(axis=0)),
        lambda x, y, axis: np.round(np.mean(x - y, axis=axis), 9),
        permutation_type="samples",
        vectorized=True,
        rng=0,
    ).pvalue
    assert 0.01 < expected < 0.5
    assert mcnemar_test(ours, theirs) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(("n_items", "discordance"), [(40, 0.2), (400, 0.3)])
def test_no_more_false_findings_than_the_level(n_items, discordance):
    rng = np.random.default_rng(n_items)
    runs = simulate(rng, n_items, 0.4, discordance / 2, discordance / 2, (2000,))
    rejected = sum(mcnemar_test(*run) <= 0.05 for run in zip(*runs, strict=True))
    assert 0 < rejected <= most_by_chance(0.05, 2000)


def test_no_more_false_findings_with_several_seeds():
    """Three fits with answers of their own against one model, all equally accurate.

    Item for item the two cannot be exchanged: the differences have mean 0, but are skewed.
    """
    rng = np.random.default_rng(0)
    n_runs, n_items = 2000, 300
    easy = rng.random((n_runs, n_items)) < 0.7
    reference = easy
    right = np.where(easy, 0.94, 0.14)[:, None, :]  # .7 on average
    ours = rng.random((n_runs, 3, n_items)) < right
    rejected = sum(mcnemar_test(*run) <= 0.05 for run in zip(ours, reference, strict=True))
    # A sum of whole numbers takes few values near the limit: the level is .04, not .05.
    assert stats.binom.ppf(0.001, n_runs, 0.035) <= rejected <= most_by_chance(0.05, n_runs)


@pytest.mark.parametrize("seeds", [1, 3])
def test_bootstrap_is_that_of_scipy(seeds):
    rng = np.random.default_rng(seeds)
    ours, theirs = rng.random((seeds, 500)) < 0.66, rng.random((seeds, 500)) < 0.6
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    expected = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=9999, rng=0
    ).confidence_interval
    found = bootstrap_interval(ours, theirs)
    assert found == pytest.approx((expected.low, expected.high), abs=0.003)
    wider = bootstrap_interval(ours, theirs, confidence=0.99)
    assert wider[0] < found[0] < differences.mean() < found[1] < wider[1]
    assert bootstrap_interval(ours, theirs) == found, "the seed is fixed"


def test_bootstrap_covers_the_truth():
    rng = np.random.default_rng(3)
    n_runs, truth = 600, 0.06
    runs = simulate(rng, 300, 0.4, 0.16, 0.10, (n_runs,))
    covered = 0
    for run in zip(*runs, strict=True):
        low, high = bootstrap_interval(*run)
        covered += low <= truth <= high
    # Differences come in steps of 1 / 300, and the ends belong to the interval.
    missed = n_runs - covered
    assert stats.binom.ppf(0.001, n_runs, 0.04) <= missed <= most_by_chance(0.05, n_runs)


def test_what_never_differs_has_no_spread():
    same = np.array([True, False, True])
    assert bootstrap_interval(same, same) == (0.0, 0.0)
    assert mcnemar_test(same, same) == 1.0


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 30):
        p = rng.random(size) ** 3
        p[-1] = p[0]
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert holm([]).shape == (0,)


def test_holm_makes_no_false_finding_too_often():
    """Of ten comparisons three are real; any of the other seven is found in 5 % of the runs."""
    rng = np.random.default_rng(4)
    z = rng.normal(size=(4000, 10)) + np.array([3.0] * 3 + [0.0] * 7)
    found = np.array([holm(p) <= 0.05 for p in 2 * stats.norm.sf(abs(z))])
    assert found[:, 3:].any(axis=1).sum() <= most_by_chance(0.05, 4000)
    assert found[:, :3].mean() > 0.5


@pytest.mark.parametrize(
    ("n_items", "discordance", "level", "power"),
    [(1000, 0.2, 0.05, 0.8), (400, 0.5, 0.01, 0.9), (2000, 0.03, 0.05, 0.8)],
)
def test_a_detectable_difference_is_detected(n_items, discordance, level, power):
    rng = np.random.default_rng(n_items)
    difference = detectable_difference(n_items, discordance, level, power)
    shares = (discordance + difference) / 2, (discordance - difference) / 2
    runs = simulate(rng, n_items, 0.3, *shares, (1500,))
    found = np.mean([mcnemar_test(*run) <= level for run in zip(*runs, strict=True)])
    # The exact test is a little weaker than the formula's; where few items differ, by more.
    assert power - 0.06 < found < power + 0.04


def test_detectable_difference_solves_connors_equation():
    a, b = stats.norm.ppf([0.975, 0.8])
    for n_items, discordance in product((6, 20, 977, 10**6), (0.05, 0.3, 1.0)):
        d = detectable_difference(n_items, discordance)
        psi = max(discordance, d)
        assert np.sqrt(n_items) * d == pytest.approx(a * np.sqrt(psi) + b * np.sqrt(psi - d**2))
    assert detectable_difference(977, 0.0) == pytest.approx((a + b) ** 2 / 977, rel=0.02)
    assert detectable_difference(5, 0.4) == np.inf
    assert mcnemar_test(np.ones(5, bool), np.zeros(5, bool)) > 0.05, "five of five are no evidence"
    assert detectable_difference(12, 0.4, level=1e-10) == np.inf
    assert detectable_difference(1, 0.4) == np.inf
    # So strict a level that 42 items are about what it takes: the normal quantile is their root.
    for power, square, finds in ((0.9999, 42.3, False), (0.9999, 41.7, True), (0.2, 42.3, True)):
        a, b = np.sqrt(square), stats.norm.ppf(power)
        d = detectable_difference(42, 1.0, level=2 * stats.norm.sf(a), power=power)
        assert np.isfinite(d) == finds
        if finds:
            assert np.sqrt(42) * d == pytest.approx(a + b * np.sqrt(1 - d**2))


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (np.ones(3, bool), np.ones(4, bool), r"shapes \(3,\) and \(4,\); expected the same items"),
        (np.ones((2, 3), bool), np.ones((3, 3), bool), "the same seeds or one seed"),
        (np.ones((1, 3, 1), bool), np.ones(3, bool), r"shapes \(1, 3, 1\) and \(3,\); expected"),
        (np.ones(3, bool), np.ones((1, 3, 1), bool), r"shapes \(3,\) and \(1, 3, 1\); expected"),
        (np.ones(3), np.ones(3, bool), "dtypes float64 and bool; expected bool"),
        (np.ones(0, bool), np.ones(0, bool), "no items"),
    ],
)
def test_predictions_that_cannot_be_compared(ours, theirs, message):
    for call in (paired_difference, bootstrap_interval, mcnemar_test):
        with pytest.raises(LikraError, match=message):
            call(ours, theirs)


def test_shares_out_of_range():
    right = np.ones(3, bool)
    with pytest.raises(LikraError, match="got confidence=1; expected a share between 0 and 1"):
        bootstrap_interval(right, right, confidence=1)
    with pytest.raises(LikraError, match="got discordance=2"):
        detectable_difference(10, 2)
    with pytest.raises(LikraError, match=r"got power=0.0; expected .* neither of them"):
        detectable_difference(10, 0.2, power=0.0)
