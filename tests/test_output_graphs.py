"""Log-probabilities at the size of real vocabularies, against double precision."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime import InferenceSession

from likra_lite.export.graphs.output_graphs import (
    Projection,
    gradient_graph,
    head_graph,
    loss_graph,
)

VOCABULARY, SIZE, ROWS, TARGETS = 60_000, 16, 6, 11
TOLERANCE = 5e-6  # nats a token; a plain sum in float32 is off by 2e-5

VARIANTS = [{}, {"softcap": 3.0, "logit_scale": 0.5, "bias": True}]


class Problem:
    """A projection, hidden states and targets, and log-probabilities in double precision."""

    def __init__(self, bias=False, **how):
        rng = np.random.default_rng(0)
        self.weight = rng.normal(size=(VOCABULARY, SIZE)).astype(np.float32)
        self.bias = rng.normal(size=VOCABULARY).astype(np.float32) if bias else None
        self.projection = Projection(self.weight, self.bias, **how)
        # One token is far likelier than all others, as in a language model.
        self.hidden = self.weight[rng.integers(0, VOCABULARY, ROWS)] * np.float32(0.8)
        self.deltas = rng.normal(0, 0.02, (2, SIZE, SIZE)).astype(np.float32)
        self.rows = np.sort(rng.integers(0, ROWS, TARGETS))
        self.targets = rng.integers(0, VOCABULARY, TARGETS)

    def log_probs(self, hidden):
        logits = hidden.astype(float) @ self.weight.T.astype(float)
        logits = self.projection.logit_scale * (logits + (0 if self.bias is None else self.bias))
        cap = self.projection.softcap
        logits = logits if cap is None else cap * np.tanh(logits / cap)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def run(self, graph, **inputs):
        session = InferenceSession(graph.SerializeToString())
        return session.run(None, {"hidden": self.hidden, "targets": self.targets, **inputs})


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores(variant):
    problem = Problem(**variant)
    (found,) = problem.run(head_graph(problem.projection), delta=problem.deltas, rows=problem.rows)
    hidden = problem.hidden.astype(float)
    expected = [
        problem.log_probs(hidden + hidden @ delta)[problem.rows, problem.targets]
        for delta in problem.deltas
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses(variant):
    problem = Problem(**variant)
    counts = np.bincount(problem.rows, minlength=ROWS).astype(np.float32)[:, None]
    weights = {"weight": np.array(1, np.float32), "row_weights": counts}
    log_probs = problem.log_probs(problem.hidden)
    expected = -log_probs[problem.rows, problem.targets].sum()
    loss, _ = problem.run(loss_graph(problem.projection), target_rows=problem.rows, **weights)
    assert loss == pytest.approx(expected, abs=TARGETS * TOLERANCE)
    zero = np.zeros((SIZE, SIZE), np.float32)
    loss, _, _, mass = problem.run(
        gradient_graph(problem.projection), delta=zero, rows=problem.rows, **weights
    )
    assert loss == pytest.approx(expected, abs=TARGETS * TOLERANCE)
    if problem.projection.softcap is None:  # then the mass is that of the probabilities
        np.testing.assert_allclose(
            mass, (counts * np.exp(log_probs)).sum(axis=0), rtol=1e-4, atol=1e-9
        )
