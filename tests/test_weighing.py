"""Fitted weights, written down a second time: loops, a general optimiser, and numbers in full."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from test_ratio import make_table

from likra_lite.errors import LikraError
from likra_lite.scoring.conditional_logit import ConditionalLogit
from likra_lite.scoring.table import LogLikelihoods
from likra_lite.scoring.weighing import fit_decision, plain_ratios, prior_of

# Weights of the plain ratios, and what each has of the prior: half is the fitted heads' own.
RATIOS = {
    ("base", "negative"): [({"base": 1.0}, 1), ({"base": 1.0, "negative": -0.9}, 1)],
    ("positive", "negative"): [
        ({"base": 1.0}, 1),
        ({"positive": 1.0}, 1),
        ({"positive": 1.0, "negative": -0.9}, 2),
    ],
}


def features_by_hand(heads) -> tuple[str, ...]:
    return (*heads, *(f"{head}/chars" for head in heads), "tokens", "chars")


def item_features(table: LogLikelihoods) -> list[np.ndarray]:
    """Return the features of every item's choices, less their mean."""
    columns = {
        **table.heads,
        **{f"{head}/chars": values / table.n_chars for head, values in table.heads.items()},
        **{"tokens": table.n_tokens, "chars": table.n_chars},
    }
    rows = np.array([columns[name] for name in features_by_hand(table.heads)], float).T
    return [part - part.mean(axis=0) for part in np.split(rows, table.offsets[1:-1])]


def mode_and_evidence(items, y, mean, covariance):
    """Return what makes the answers most likely under a normal prior, and Laplace's evidence."""
    precision = np.linalg.inv(covariance)

    def loss_and_slope(w):
        loss, slope = 0.5 * (w - mean) @ precision @ (w - mean), precision @ (w - mean)
        for rows, right in zip(items, y, strict=True):
            scores = rows @ w
            loss += logsumexp(scores) - scores[right]
            slope = slope + softmax(scores) @ rows - rows[right]
        return loss, slope

    def curvature(w):
        total = precision.copy()
        for rows in items:
            shares = softmax(rows @ w)
            centred = rows - shares @ rows
            total += centred.T @ (shares[:, None] * centred)
        return total

    exact = {"gtol": 1e-9}
    best = minimize(
        loss_and_slope, mean, jac=True, hess=curvature, method="trust-exact", options=exact
    )
    logs = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(curvature(best.x))[1]
    return best.x, -best.fun + 0.5 * logs


@pytest.mark.parametrize("heads", RATIOS)
@pytest.mark.parametrize("n_items", [1, 6])
def test_weights_are_the_mean_of_all_posteriors(n_items, heads):
    table = make_table([3, 2, 4, 5, 2, 3][:n_items], seed=n_items)
    table = LogLikelihoods(table.offsets, {h: table.heads[h] for h in heads}, table.lengths)
    features = features_by_hand(heads)
    ratios = [r for r in RATIOS[heads] if set(r[0]) <= set(heads)]
    y = np.random.default_rng(1).integers(table.n_choices)
    items = item_features(table)
    every = np.concatenate(items)
    spread = every.std(axis=0)
    items = [rows / spread for rows in items]
    weights, evidence = [], []
    per = [({f"{head}/chars": w for head, w in ratio.items()}, part) for ratio, part in ratios]
    for ratio, part in (*ratios, *per):
        plain = np.array([ratio.get(name, 0.0) for name in features])
        centre = plain * spread / (every @ plain).std()
        for scale in (0.1, 0.2, 0.4, 0.8, 1.6):
            for apart in (0.1, 0.3):
                covariance = scale**2 * (
                    apart**2 * np.eye(len(features)) + 0.25 * np.outer(centre, centre)
                )
                found, log_evidence = mode_and_evidence(items, y, scale * centre, covariance)
                weights.append(found / spread)
                evidence.append(log_evidence + np.log(part))
    expected = softmax(evidence) @ np.array(weights)
    decision = fit_decision(table, y)
    assert tuple(decision.weights) == features
    np.testing.assert_allclose([*decision.weights.values()], expected, rtol=1e-4, atol=1e-7)
    assert decision.typical == pytest.approx(
        {name: np.median(column) for name, column in (*table.heads.items(), *table.lengths.items())}
    )


def test_ratios_of_the_prior():
    raw = [
        {"base": 1.0, "neutral": -0.5},
        {"positive": 1.0},
        {"positive": 1.0, "negative": -0.9},
        {"base": 1.0, "negative": -0.9},
        {"positive": 1.0, "base": -1.0},
    ]
    per = [{f"{head}/chars": weight for head, weight in ratio.items()} for ratio in raw]
    every = plain_ratios(["base", "neutral", "positive", "negative"])
    assert every == [*raw, *per]
    place = raw.index({"positive": 1.0, "negative": -0.9})
    shares = np.full(len(every), 0.5 / (len(every) - 2))
    shares[[place, place + len(raw)]] = 0.25
    np.testing.assert_allclose(prior_of(every), shares)
    fewer = plain_ratios(["base", "negative"])
    assert fewer[:2] == [ratio for ratio, _ in RATIOS["base", "negative"]]
    np.testing.assert_allclose(prior_of(fewer), 0.25)


def test_what_is_left_of_a_difference_by_rounding_is_no_ratio():
    """A head that differs from the model by a thousandth counts; by less, it is the model."""
    table = make_table([4] * 30, seed=5)
    base = table.heads["base"]
    y = np.random.default_rng(2).integers(0, 4, 30)
    noise = np.random.default_rng(3).normal(size=len(base))
    counted = []
    for size in (1e-3, 1e-2):  # of log-likelihoods that differ by some 3 nats
        heads = {"base": base, "positive": base + size * noise}
        table = LogLikelihoods(table.offsets, heads, table.lengths)
        fitted = []
        plain = ConditionalLogit.posterior
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                ConditionalLogit,
                "posterior",
                lambda *given, plain=plain, fitted=fitted: fitted.append(1) or plain(*given),
            )
            fit_decision(table, y)
        counted.append(len(fitted))
    assert counted == [4 * 10, 6 * 10], "base and sft, raw and per character; then pos-base too"


@pytest.mark.parametrize(("level", "size"), [(5, 1e-13), (5, 1e-6), (1e6, 1e-10), (1e-6, 1e-6)])
def test_features_that_differ_by_rounding_only_have_no_weight(level, size):
    """By less than a billionth of themselves."""
    table = make_table([4] * 30, seed=6)
    noise = np.random.default_rng(4).normal(size=120)
    heads = {"base": table.heads["base"], "neutral": -level * (1 + size * noise)}
    table = LogLikelihoods(table.offsets, heads, table.lengths)
    weight = fit_decision(table, np.random.default_rng(5).integers(0, 4, 30)).weights["neutral"]
    assert (weight == 0.0) == (size < 1e-9)


def test_scores_of_any_size_have_probabilities():
    features = np.array([[2000.0], [0.0], [-3000.0], [0.0], [-1.0]])
    logit = ConditionalLogit(features, np.array([0, 3, 5]), np.array([0, 0]))
    shares, log_likelihood = logit.probabilities(np.array([1.0]))
    np.testing.assert_allclose(shares, [1, 0, 0, *softmax([0.0, -1.0])])
    assert log_likelihood == pytest.approx(-np.log1p(np.exp(-1.0)))
    assert logit.probabilities(np.array([-1.0]))[1] < -4000


def counted(logit: ConditionalLogit, monkeypatch) -> list[np.ndarray]:
    """Return the weights at which derivatives are taken."""
    places: list[np.ndarray] = []
    plain = logit.derivatives
    monkeypatch.setattr(logit, "derivatives", lambda w: (places.append(w), plain(w))[1])
    return places


def test_newtons_method_takes_few_steps(monkeypatch):
    """And halves one that leads too far until it is worth a part of what it promised."""
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(300, 2)), rng.integers(0, 3, 100)
    logit = ConditionalLogit(features, np.arange(0, 301, 3), y)
    near = counted(logit, monkeypatch)
    found = logit.posterior(np.zeros(2), np.eye(2))
    assert 2 <= len(near) <= 5
    far = counted(logit, monkeypatch)
    start = np.array([40.0, -40.0])
    again = logit.posterior(np.zeros(2), 1e-3 * np.eye(2), start)
    assert len(far) < 60
    steps = [place - start for place in far[1:4]]
    np.testing.assert_allclose(steps[1], steps[0] / 2)
    np.testing.assert_allclose(steps[2], steps[0] / 4)
    np.testing.assert_allclose(again.weights, found.weights, atol=0.1)


def test_what_does_not_converge_is_an_error(monkeypatch):
    rng = np.random.default_rng(1)
    logit = ConditionalLogit(rng.normal(size=(40, 2)), np.arange(0, 41, 2), np.zeros(20, np.int64))
    monkeypatch.setattr("likra_lite.scoring.conditional_logit.MAX_STEPS", 1)
    with pytest.raises(
        LikraError, match=r"did not converge: Newton's method stopped where .* nats"
    ):
        logit.posterior(np.zeros(2), np.eye(2))


def test_steps_that_lead_nowhere_are_an_error(monkeypatch):
    """As rounding may cause: here whatever is tried is worse than the start."""
    logit = ConditionalLogit(np.array([[1.0], [0.0]]), np.array([0, 2]), np.array([0]))
    plain = logit.derivatives
    tried = []

    def worse(weights):
        tried.append(weights)
        value, *others = plain(weights)
        return (value - 100 * (len(tried) > 1), *others)

    monkeypatch.setattr(logit, "derivatives", worse)
    with pytest.raises(LikraError, match="did not converge"):
        logit.posterior(np.zeros(1), np.eye(1))
    assert 30 < len(tried) < 40, "halved to less than a ten billionth"


def test_a_step_must_gain_a_ten_thousandth_of_what_it_promises(monkeypatch):
    logit = ConditionalLogit(np.array([[1.0], [0.0]]), np.array([0, 2]), np.array([0]))
    plain = logit.derivatives
    tried = []

    def barely(weights):
        value, gradient, information = plain(weights)
        tried.append(float(weights[0]))
        if len(tried) == 2:  # half of that, after the prior's penalty
            first, slope, curvature = plain(np.zeros(1))
            gain = float(slope[0] ** 2 / (curvature[0, 0] + 1))
            value = first + 0.5e-4 * gain + 0.5 * float(weights[0]) ** 2
        return value, gradient, information

    monkeypatch.setattr(logit, "derivatives", barely)
    logit.posterior(np.zeros(1), np.eye(1))
    assert tried[2] == tried[1] / 2


def test_a_hundred_steps_are_tried(monkeypatch):
    logit = ConditionalLogit(np.array([[1.0], [0.0]]), np.array([0, 2]), np.array([0]))
    tried = []

    def endless(weights):
        tried.append(weights)
        return 1e6 * len(tried), np.ones(1) + weights, np.zeros((1, 1))

    monkeypatch.setattr(logit, "derivatives", endless)
    with pytest.raises(LikraError, match="did not converge"):
        logit.posterior(np.zeros(1), np.eye(1))
    assert len(tried) == 1 + 100
