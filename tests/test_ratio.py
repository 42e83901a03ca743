"""Scores, predictions and probabilities against plain loops; the temperature against a grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from likra_lite.errors import LikraError
from likra_lite.scoring.decision import Decision, fit_temperature, log_loss
from likra_lite.scoring.lengths import LENGTHS, NORMALIZATIONS, lengths_of, mode_name
from likra_lite.scoring.modes import MODES, supported_modes
from likra_lite.scoring.selection import ALPHAS, choose
from likra_lite.scoring.table import LogLikelihoods


def make_table(counts, seed=0) -> LogLikelihoods:
    rng = np.random.default_rng(seed)
    total = sum(counts)
    return LogLikelihoods(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        heads={h: rng.normal(-9, 3, total) for h in ("base", "positive", "negative", "neutral")},
        lengths={
            "tokens": rng.integers(1, 5, total),
            "chars": rng.integers(1, 20, total),
            "bytes": rng.integers(1, 25, total),
        },
    )


def test_lengths_and_their_names():
    found = lengths_of(["na\u00efve", "so"], [2, 1])
    assert {name: values.tolist() for name, values in found.items()} == {
        "chars": [5, 2], "bytes": [6, 2], "tokens": [2, 1],
    }  # fmt: skip
    assert mode_name("base", "none") == "base"
    for name, length in LENGTHS.items():
        assert mode_name("pmi", name) == f"pmi per {length.unit}"


FORMULAS = {
    "base": lambda t, i, alpha: t["base"][i],
    "pmi": lambda t, i, alpha: t["base"][i] - t["neutral"][i],
    "sft": lambda t, i, alpha: t["positive"][i],
    "likra": lambda t, i, alpha: t["positive"][i] - alpha * t["negative"][i],
    "base-likra": lambda t, i, alpha: t["base"][i] - alpha * t["negative"][i],
    "pos-base": lambda t, i, alpha: t["positive"][i] - t["base"][i],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    alpha=st.floats(0, 2),
)
def test_decision_equals_a_loop(mode, normalization, counts, seed, alpha):
    table = make_table(counts, seed)
    decision = Decision(mode, alpha, normalization, temperature=2.5)
    length = np.ones(len(table.n_tokens))
    if normalization != "none":
        length = getattr(table, f"n_{normalization}")
    expected = np.array(
        [FORMULAS[mode](table.heads, i, alpha) / length[i] for i in range(len(length))]
    )
    np.testing.assert_allclose(decision.scores(table), expected)
    items = np.split(expected, table.offsets[1:-1])
    assert decision.predict(table).tolist() == [int(np.argmax(item)) for item in items]
    np.testing.assert_allclose(
        decision.probabilities(table), np.concatenate([softmax(item / 2.5) for item in items])
    )


def test_first_of_equal_choices_is_predicted():
    table = make_table([3])
    table.heads["base"][:] = [-4.0, -2.0, -2.0]
    assert Decision("base").predict(table).tolist() == [1]


def test_what_is_nearly_equal_is_no_tie():
    table = make_table([2])
    for ahead in (1e-3, 1e-6, 1e-12):
        table.heads["base"][:] = [-2.0 - ahead, -2.0]
        assert Decision("base").predict(table).tolist() == [1]


def test_missing_head_is_named():
    table = make_table([2])
    del table.heads["negative"]
    with pytest.raises(LikraError, match="no 'negative' head, only base, positive, neutral"):
        Decision("likra").predict(table)


def test_take_and_concatenate_are_inverse():
    table = make_table([2, 5, 3, 1])
    parts = [table.take(np.array([i])) for i in range(4)]
    joined = LogLikelihoods.concatenate(parts)
    np.testing.assert_array_equal(joined.offsets, table.offsets)
    for head in table.heads:
        np.testing.assert_array_equal(joined.heads[head], table.heads[head])
    order = np.array([3, 1, 1])
    assert table.take(order).n_choices.tolist() == [1, 5, 5]


def test_temperature_is_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 6, 400)
    table = make_table(counts)
    scores = Decision("base").scores(table)
    true = 4.0
    y = np.array([rng.choice(len(s), p=softmax(s / true)) for s in table.split(scores)])
    fitted = fit_temperature(scores, table.offsets, y)
    losses = {t: log_loss(scores / t, table.offsets, y).mean() for t in np.geomspace(0.1, 100, 400)}
    assert log_loss(scores / fitted, table.offsets, y).mean() <= min(losses.values()) + 1e-9
    assert 0.7 * true < fitted < 1.4 * true


def test_temperature_has_bounds():
    """From a thousandth of the scores' spread to ten thousand times it."""
    scores, offsets = np.tile([0.0, 2.0], 20), np.arange(0, 41, 2)
    never = fit_temperature(scores, offsets, np.zeros(20, np.int64))
    assert never == pytest.approx(1e4, rel=0.01)
    always = fit_temperature(scores, offsets, np.ones(20, np.int64))
    assert 1e-3 * 0.99 < always < 0.1
    alike = fit_temperature(np.zeros(40), offsets, np.zeros(20, np.int64))
    assert 1e-3 * 0.99 < alike < 1e4 * 1.01


def test_what_a_decision_may_leave_out():
    assert Decision("likra") == Decision("likra", 1.0, "none", 1.0)
    assert Decision("likra", 0.9, "chars").reference == Decision("base", normalization="chars")
    assert str(Decision("likra", 0.9)) == "mode likra, alpha 0.9, normalization none"
    assert str(Decision("sft", 0.9, "chars")) == "mode sft, normalization chars"
    assert Decision(**Decision("pmi", 0.3, "bytes", 2.0).to_json()) == Decision(
        "pmi", 0.3, "bytes", 2.0
    )


def test_scores_that_are_none_are_an_error():
    table = make_table([2, 3])
    for broken in (np.nan, np.inf, -np.inf):
        table.heads["base"][1] = broken
        with pytest.raises(LikraError, match=f"a score is {broken} by mode base, norm"):
            Decision("base").predict(table)


def test_choose_is_the_best_of_a_loop():
    rng = np.random.default_rng(0)
    table = make_table(rng.integers(2, 6, 200))
    y = np.array(
        [
            rng.choice(len(s), p=softmax(s))
            for s in table.split(Decision("likra", 0.5, "tokens").scores(table))
        ]
    )
    losses = {}
    for alpha in ALPHAS:
        for normalization in NORMALIZATIONS:
            scores = Decision("likra", alpha, normalization).scores(table)
            losses[alpha, normalization] = min(
                log_loss(scores / t, table.offsets, y).mean() for t in np.geomspace(0.1, 100, 300)
            )
    chosen = choose(table, y, "likra")
    assert (chosen.alpha, chosen.normalization) == min(losses, key=losses.get) == (0.5, "tokens")


def test_heads_that_modes_read():
    assert {name: mode.heads for name, mode in MODES.items()} == {
        "base": ("base",),
        "pmi": ("base", "neutral"),
        "sft": ("positive",),
        "likra": ("positive", "negative"),
        "base-likra": ("base", "negative"),
        "pos-base": ("positive", "base"),
    }
    assert supported_modes(["base", "neutral"]) == ["base", "pmi"]
    assert supported_modes(["negative", "base"]) == ["base", "base-likra"]
    assert supported_modes([]) == []
