"""Comparisons of modes and their sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from likra_lite.errors import LikraError
from likra_lite.experiments.text import comparison_text
from likra_lite.scoring.comparisons import (
    Comparison,
    compare_modes,
    findings,
    remaining_share_sentence,
    sentence,
)
from likra_lite.scoring.statistics import (
    bootstrap_interval,
    detectable_difference,
    mcnemar_test,
    paired_difference,
)

FOUND = Comparison(
    "base-likra", "sft", 1871, 1, 0.079, 0.014, 0.052, 0.107, 1e-8, 4e-8, detectable=0.04
)
NOT_FOUND = Comparison("likra", "base", 977, 1, 0.003, 0.015, -0.026, 0.032, 0.84, 0.84, 0.042)


def test_every_mode_with_every_reference():
    rng = np.random.default_rng(0)
    correct = {
        "base": rng.random(500) < 0.5,
        "likra": rng.random((3, 500)) < 0.6,
        "sft": rng.random((3, 500)) < 0.52,
    }
    found = compare_modes(correct, ["base", "sft"])
    pairs = [("likra", "base"), ("sft", "base"), ("likra", "sft")]
    assert [(c.mode, c.reference) for c in found] == pairs, "each pair once"
    p_values = [mcnemar_test(correct[mode], correct[other]) for mode, other in pairs]
    assert [c.p_value for c in found] == p_values
    assert [c.p_adjusted for c in found] == pytest.approx(multipletests(p_values, method="holm")[1])
    for comparison in found:
        pair = correct[comparison.mode], correct[comparison.reference]
        assert (comparison.n_items, comparison.n_seeds) == (500, 3)
        assert (comparison.difference, comparison.standard_error) == paired_difference(*pair)
        assert (comparison.low, comparison.high) == bootstrap_interval(*pair)
        means = np.atleast_2d(pair[0]).mean(axis=0) - np.atleast_2d(pair[1]).mean(axis=0)
        assert comparison.detectable == pytest.approx(
            detectable_difference(500, np.mean(means**2), level=0.05 / 3)
        )
    assert "likra beats base by" in sentence(found[0])
    assert "on 500 items, mean of 3 seeds (p < .001)" in sentence(found[0])


def test_only_the_modes_asked_for_are_compared_and_corrected_for():
    rng = np.random.default_rng(1)
    correct = {
        name: rng.random(200) < share
        for name, share in zip("abcd", (0.4, 0.5, 0.6, 0.55), strict=True)
    }
    found = compare_modes(correct, ["a", "b", "d"], modes=["c", "d"])
    assert [(c.mode, c.reference) for c in found] == [
        ("c", "a"), ("d", "a"), ("c", "b"), ("d", "b"), ("c", "d"),
    ]  # fmt: skip
    p_values = [mcnemar_test(correct[c.mode], correct[c.reference]) for c in found]
    assert [c.p_adjusted for c in found] == pytest.approx(multipletests(p_values, method="holm")[1])


def test_a_single_mode_has_nothing_to_be_compared_with():
    assert compare_modes({"base": np.ones(3, bool)}, ["base"]) == []


def test_an_unknown_reference_is_named():
    with pytest.raises(LikraError, match="got the reference 'sft'; expected one of base, likra"):
        compare_modes({"base": np.ones(3, bool), "likra": np.ones(3, bool)}, ["base", "sft"])
    with pytest.raises(LikraError, match="got the mode 'sft'; expected one of base"):
        compare_modes({"base": np.ones(3, bool)}, ["base"], modes=["sft"])


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (FOUND, "base-likra beats sft by 7.9 +- 1.4 points on 1,871 items (p < .001)"),
        (
            replace(FOUND, difference=-0.079, p_adjusted=0.0304),
            "base-likra does worse than sft by 7.9 +- 1.4 points on 1,871 items (p = .030)",
        ),
        (
            NOT_FOUND,
            "no difference between likra and base was found: +0.3 +- 1.5 points on 977 items "
            "(p = .84); only differences of 4.2 points or more would have been seen",
        ),
        (
            replace(NOT_FOUND, n_items=4, detectable=np.inf, p_adjusted=1.0, difference=-0.25),
            "no difference between likra and base was found: -25.0 +- 1.5 points on 4 items "
            "(p = 1); with so few items none would have been seen",
        ),
        (
            replace(NOT_FOUND, p_adjusted=0.0501, n_seeds=5),
            "no difference between likra and base was found: +0.3 +- 1.5 points on 977 items, "
            "mean of 5 seeds (p = .050); only differences of 4.2 points or more would have been "
            "seen",
        ),
    ],
)
def test_sentences(comparison, expected):
    assert sentence(comparison) == expected


def test_all_that_show_no_difference_share_a_sentence():
    other = replace(NOT_FOUND, reference="sft", detectable=0.06)
    assert findings([NOT_FOUND]) == [sentence(NOT_FOUND)]
    assert findings([FOUND, NOT_FOUND]) == [sentence(FOUND), sentence(NOT_FOUND)]
    assert findings([NOT_FOUND, FOUND, replace(other, n_seeds=3)]) == [
        sentence(FOUND),
        "no difference was found in the other 2 comparisons on 977 items, mean of 3 seeds; "
        "only differences of 6.0 points or more would have been seen",
    ]
    few = [replace(each, n_items=20, detectable=np.inf) for each in (NOT_FOUND, other, other)]
    (told,) = findings(few)
    assert told == (
        "no difference was found in any of the 3 comparisons on 20 items; with so few items none "
        "would have been seen"
    )
    assert findings([*few[:2], replace(other, n_items=20)])[0].endswith(
        "hardly any would have been seen"
    )


def test_what_rounds_to_nothing_has_no_minus():
    nearly = replace(NOT_FOUND, difference=-0.0004, low=-0.0004, high=-0.0004)
    assert "was found: +0.0 +- 1.5 points" in sentence(nearly)
    tiny = replace(nearly, difference=-4e-5, low=-3e-4, high=-4e-5)
    correct = {name: np.array([True, False]) for name in ("base", "likra")}
    text = comparison_text(correct, [tiny])
    assert "+0.000 +- 0.015" in text
    assert "+0.000 to +0.000" in text
    assert "-0.0" not in text


@pytest.mark.parametrize(
    ("gain", "hidden", "expected"),
    [
        (0.079, 0.047, "about 60 % of the gain over sft remains when the question is hidden "),
        (0.079, 0.082, "all of the gain over sft remains when the question is hidden "),
        (0.079, 0.005, "less than 10 % of the gain over sft remains when the question is hidden"),
        (0.079, -0.03, "the gain over sft becomes a loss when the question is hidden "),
        (-0.079, 0.03, "no gain over sft was found of which a part could remain: -7.9 +- 1.4 p"),
    ],
)
def test_what_remains_when_the_question_is_hidden(gain, hidden, expected):
    shown = replace(FOUND, difference=gain)
    said = remaining_share_sentence(shown, replace(FOUND, difference=hidden, standard_error=0.01))
    assert said.startswith(expected)
    if gain > 0:
        assert said.endswith(f"({100 * hidden:+.1f} +- 1.0 of +7.9 +- 1.4 points)")


def test_no_share_of_what_was_not_found():
    said = remaining_share_sentence(NOT_FOUND, FOUND)
    assert said == "no gain over base was found of which a part could remain: +0.3 +- 1.5 points"
    said = remaining_share_sentence(FOUND, NOT_FOUND)
    assert said == (
        "nothing of the gain over sft was found when the question is hidden "
        "(+0.3 +- 1.5 of +7.9 +- 1.4 points)"
    )


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.00099, "p < .001"),
        (0.001, "p = .001"),
        (0.0994, "p = .099"),
        (0.1, "p = .10"),
        (0.994, "p = .99"),
        (0.996, "p = 1"),
    ],
)
def test_how_p_is_shown(p, shown):
    assert f"({shown});" in sentence(replace(NOT_FOUND, p_adjusted=p), level=0)


def test_seeds_are_told_of_if_there_are_several():
    assert "on 1,871 items, mean of 2 seeds (" in sentence(replace(FOUND, n_seeds=2))
    assert "on 1,871 items (" in sentence(replace(FOUND, n_seeds=1))


def test_evidence_is_below_the_level_and_not_at_it():
    assert "beats" in sentence(replace(FOUND, p_adjusted=0.0499))
    assert "no difference" in sentence(replace(FOUND, p_adjusted=0.05))
    for gain, hidden, beginning in (
        ({"p_adjusted": 0.05}, {}, "no gain over sft was found"),
        ({"difference": 0.0}, {}, "no gain over sft was found"),
        ({}, {"p_adjusted": 0.05}, "nothing of the gain"),
        ({}, {"difference": 0.0}, "less than 10 % of the gain"),
        ({"difference": 0.1}, {"difference": 0.0099}, "less than 10 % of the gain"),
        ({"difference": 0.5}, {"difference": 0.05}, "about 10 % of the gain"),
        ({"difference": 0.5}, {"difference": 0.474}, "about 90 % of the gain"),
        ({"difference": 1.0}, {"difference": 0.95}, "all of the gain"),
    ):
        said = remaining_share_sentence(replace(FOUND, **gain), replace(FOUND, **hidden))
        assert said.startswith(beginning), (gain, hidden)


def test_a_difference_of_every_item_can_be_detectable():
    assert "only differences of 100.0 points or more" in sentence(
        replace(NOT_FOUND, detectable=1.0)
    )
    assert "none would have been seen" in sentence(replace(NOT_FOUND, detectable=1.0001))


def test_intervals_are_of_the_confidence_asked_for():
    random = np.random.default_rng(2)
    correct = {"base": random.random(300) < 0.5, "likra": random.random(300) < 0.55}
    (found,) = compare_modes(correct, ["base"], confidence=0.8)
    pair = correct["likra"], correct["base"]
    assert (found.low, found.high) == bootstrap_interval(*pair, 0.8)
    difference = correct["likra"].astype(float) - correct["base"]
    expected = detectable_difference(300, np.mean(difference**2), level=0.2)
    assert found.detectable == pytest.approx(expected)


def test_how_large_differences_must_be_in_all_comparisons():
    for detectable, seen in (
        ((1.0, 0.3), "only differences of 100.0 points or more would have been seen"),
        ((0.2, 0.3), "only differences of 30.0 points or more would have been seen"),
        ((1.1, 1.0), "with so few items hardly any would have been seen"),
        ((1.1, 1.2), "with so few items none would have been seen"),
    ):
        shown = [replace(NOT_FOUND, p_adjusted=0.05, detectable=each) for each in detectable]
        (said,) = findings(shown)
        where = "in any of the 2 comparisons on 977 items"
        assert said == f"no difference was found {where}; {seen}"
    two = replace(NOT_FOUND, n_seeds=2)
    assert findings([FOUND, two]) == [sentence(FOUND), sentence(two)]
    assert (
        "in the other 2 comparisons on 977 items, mean of 2 seeds;"
        in findings([FOUND, two, NOT_FOUND])[1]
    )


@pytest.mark.parametrize("confidence", [0, 1, 1.5])
def test_confidence_is_between_0_and_1(confidence):
    with pytest.raises(LikraError, match="got confidence="):
        compare_modes({"base": np.ones(3, bool)}, ["base"], confidence)
