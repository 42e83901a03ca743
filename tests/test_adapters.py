"""Output adapters: the gradient, the optimum, and independence of chunks."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from scipy.optimize import minimize

import likra_lite.heads.output as adapters
from likra_lite.engine.features import Features, OutputProjection
from likra_lite.engine.sessions import session_options
from likra_lite.errors import LikraError
from likra_lite.export.graphs.output_graphs import Projection, gradient_graph
from likra_lite.heads.output import MatrixObjective, fit_output_matrix

VOCABULARY, SIZE, ROWS, TARGETS = 23, 4, 12, 30


def opened(projection: Projection, n_threads: int = 1) -> OutputProjection:
    """Open the gradient's graph of a projection."""
    session = onnxruntime.InferenceSession(
        gradient_graph(projection).SerializeToString(), session_options(n_threads)
    )
    return OutputProjection(projection.weight, projection.logit_scale, session)


def problem(bias=False, logit_scale=1.0, softcap=None, seed=0) -> tuple[Features, Projection]:
    rng = np.random.default_rng(seed)
    features = Features(
        hidden=rng.normal(size=(ROWS, SIZE)).astype(np.float32),
        rows=np.concatenate([np.arange(ROWS), rng.integers(0, ROWS, TARGETS - ROWS)]),
        targets=rng.integers(0, VOCABULARY, TARGETS),
        lengths=np.full(TARGETS, 1),
    )
    weight = rng.normal(size=(VOCABULARY, SIZE)).astype(np.float32)
    offset = rng.normal(size=VOCABULARY).astype(np.float32) if bias else None
    return features, Projection(weight, offset, logit_scale, softcap)


def loss_in_torch(features: Features, projection: Projection, matrix: np.ndarray):
    import torch

    delta = torch.tensor(matrix, dtype=torch.float64, requires_grad=True)
    hidden = torch.tensor(features.hidden, dtype=torch.float64)
    logits = (hidden + hidden @ delta) @ torch.tensor(projection.weight, dtype=torch.float64).T
    if projection.bias is not None:
        logits = logits + torch.tensor(projection.bias, dtype=torch.float64)
    logits = logits * projection.logit_scale
    if projection.softcap is not None:
        logits = projection.softcap * torch.tanh(logits / projection.softcap)
    log_probs = logits.log_softmax(-1)[features.rows, features.targets]
    loss = -log_probs.mean()
    loss.backward()
    return loss.item(), delta.grad.numpy()


VARIANTS = [
    {},
    {"bias": True},
    {"logit_scale": 0.3},
    {"softcap": 2.0},
    {"bias": True, "softcap": 1.5},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_equals_finite_differences_and_autograd(variant):
    features, projection = problem(**variant)
    objective = MatrixObjective(features, opened(projection))
    matrix = np.random.default_rng(1).normal(scale=0.3, size=(SIZE, SIZE))
    loss, gradient = objective(matrix)
    expected_loss, expected_gradient = loss_in_torch(features, projection, matrix)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
    step = 1e-2
    for i, j in np.ndindex(SIZE, SIZE):
        up, down = matrix.copy(), matrix.copy()
        up[i, j] += step
        down[i, j] -= step
        slope = (objective(up)[0] - objective(down)[0]) / (2 * step)
        assert gradient[i, j] == pytest.approx(slope, abs=2e-3)


def test_chunks_do_not_change_the_sum(monkeypatch):
    features, projection = problem()
    matrix = np.random.default_rng(1).normal(scale=0.3, size=(SIZE, SIZE))
    whole = MatrixObjective(features, opened(projection))(matrix)
    monkeypatch.setattr(adapters, "MIN_ROWS", 1)
    monkeypatch.setattr(adapters, "CHUNK_BYTES", 4 * VOCABULARY * 5)
    parted = MatrixObjective(features, opened(projection))
    assert parted.chunk < ROWS
    loss, gradient = parted(matrix)
    assert loss == pytest.approx(whole[0], abs=1e-6)
    np.testing.assert_allclose(gradient, whole[1], atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS[:3])
@pytest.mark.parametrize("per_token", [0.05, 1.0])
def test_fit_finds_the_optimum_of_a_plain_solver(variant, per_token):
    features, projection = problem(**variant)
    n_tokens = len(features.targets)
    fitted = fit_output_matrix(features, opened(projection), 2 * per_token * n_tokens, tol=1e-9)
    kappa = MatrixObjective(features, opened(projection)).start()[2].product.mean()

    def plain(flat):
        matrix = flat.reshape(SIZE, SIZE)
        loss, gradient = loss_in_torch(features, projection, matrix)
        ridge = per_token * kappa
        return loss + ridge * (flat**2).sum(), gradient.ravel() + 2 * ridge * flat

    expected = minimize(
        plain, np.zeros(SIZE * SIZE), jac=True, method="BFGS", options={"gtol": 1e-7}
    )
    np.testing.assert_allclose(fitted, expected.x.reshape(SIZE, SIZE), atol=5e-3)


def test_kappa_is_the_mean_curvature_along_the_entries():
    features, projection = problem()
    second = []
    step = 1e-3
    zero = np.zeros((SIZE, SIZE))
    base = loss_in_torch(features, projection, zero)[0]
    for i, j in np.ndindex(SIZE, SIZE):
        change = zero.copy()
        change[i, j] = step
        ends = [loss_in_torch(features, projection, s * change)[0] for s in (1, -1)]
        second.append((sum(ends) - 2 * base) / step**2)
    kappa = MatrixObjective(features, opened(projection)).start()[2].product.mean()
    # The product of mean factors stands for the mean of products; equal up to their correlation.
    assert 0.5 < kappa / np.mean(second) < 2.0


def test_more_penalty_means_a_smaller_matrix_and_likelier_answers_than_without():
    features, plain = problem()
    projection = opened(plain)
    fits = [fit_output_matrix(features, projection, penalty) for penalty in (1.0, 100.0, 1e4)]
    sizes = [np.abs(matrix).sum() for matrix in fits]
    assert sizes[0] > sizes[1] > sizes[2]
    objective = MatrixObjective(features, projection)
    before = objective(np.zeros((SIZE, SIZE)))[0]
    assert objective(fit_output_matrix(features, projection, 10.0).astype(float))[0] < before


def test_the_pass_at_zero_is_the_objective_at_zero():
    features, projection = problem(bias=True)
    objective = MatrixObjective(features, opened(projection))
    loss, gradient = objective(np.zeros((SIZE, SIZE)))
    at_zero = objective.start()
    assert at_zero[0] == pytest.approx(loss, abs=1e-6)
    np.testing.assert_allclose(at_zero[1], gradient, atol=1e-6)


def test_fit_is_deterministic_and_independent_of_threads():
    features, projection = problem()
    one, two = (fit_output_matrix(features, opened(projection, n)) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_no_answers():
    features, projection = problem()
    with pytest.raises(LikraError, match="at least one answer"):
        fit_output_matrix(features.take(np.array([], dtype=int)), opened(projection))


def test_damaged_hidden_states():
    features, projection = problem()
    features.hidden[0, 0] = np.nan
    with pytest.raises(LikraError, match="not finite"):
        fit_output_matrix(features, opened(projection))
