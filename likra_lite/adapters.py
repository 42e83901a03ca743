"""Output adapters: heads that are fitted on the CPU.

A head replaces the final hidden state h by ``h + h @ M``. M maximises the likelihood of
the head's answers under an L2 penalty, a convex problem (as long as the model does not
soft-cap its logits) that L-BFGS solves with the exact gradient: there is no learning
rate and no seed.

The solver works on M in the eigenbases of the two second moments that make up the
curvature at M = 0, that of the hidden states and that of the output embedding, each
entry scaled by its curvature (a Kronecker-factored preconditioner after Martens & Grosse
2015). This changes the path, not the optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from .errors import LikraError
from .features import Features, OutputProjection
from .sessions import available_threads

__all__ = ["DEFAULT_PENALTY", "AdapterObjective", "fit_output_adapter"]

DEFAULT_PENALTY = 100_000.0  # tokens

MIN_ROWS, MIN_CHUNKS = 16, 8  # few rows are still shared out, but not in crumbs
CHUNK_BYTES = 8 * 2**20  # logits of one chunk of rows: small enough for the shared cache

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]


@dataclass(frozen=True)
class _Curvature:
    """Eigenvectors and eigenvalues of the two factors of the curvature at M = 0."""

    left: DoubleArray  # [H, H], columns are eigenvectors of the hidden states' second moment
    right: DoubleArray  # [H, H], of the output embedding's covariance under the base model
    product: DoubleArray  # [H, H], outer product of the eigenvalues


class AdapterObjective:
    """Mean negative log-likelihood of tokens as a function of M, and its gradient.

    Parameters
    ----------
    features : Features
        Hidden states, and the tokens to be made likely.
    projection : OutputProjection
    mapper : callable, optional
        Like the builtin map, which is the default. Rows are worked on in fixed chunks that
        are summed in order, so that the result does not depend on the number of threads
        behind `mapper`.
    """

    def __init__(
        self,
        features: Features,
        projection: OutputProjection,
        mapper: Callable[..., Iterable[tuple[float, DoubleArray]]] = map,
    ) -> None:
        if len(features.targets) == 0:
            raise LikraError("a head needs at least one answer to be fitted on, got none")
        if not np.isfinite(features.hidden).all():
            raise LikraError("the model's hidden states are not finite; export the model again")
        order = np.argsort(features.rows, kind="stable")
        self.rows = features.rows[order]
        self.targets = features.targets[order]
        self.weight = np.float32(1.0 / len(self.targets))
        self.hidden = features.hidden
        self.row_weights = self.weight * np.bincount(self.rows, minlength=len(self.hidden)).astype(
            np.float32
        )
        self.projection = projection
        self.mapper = mapper
        cached = CHUNK_BYTES // (4 * projection.weight.shape[0])
        self.chunk = max(1, min(cached, max(MIN_ROWS, -(-len(self.hidden) // MIN_CHUNKS))))

    def _logits(self, hidden: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return logits [R, V] and, if they are soft-capped, the slope of the cap."""
        logits = hidden @ self.projection.weight.T
        if self.projection.bias is not None:
            logits += self.projection.bias
        if self.projection.logit_scale != 1.0:
            logits *= np.float32(self.projection.logit_scale)
        if self.projection.softcap is None:
            return logits, None
        cap = np.float32(self.projection.softcap)
        np.tanh(logits / cap, out=logits)
        slope = 1.0 - logits**2
        logits *= cap
        return logits, slope

    def _residual(self, start: int, adapted: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss of one chunk and its gradient with respect to `adapted` [r, H]."""
        first, last = np.searchsorted(self.rows, [start, start + len(adapted)])
        at = (self.rows[first:last] - start, self.targets[first:last])
        rows = self.row_weights[start : start + len(adapted)]
        logits, slope = self._logits(adapted)
        top = logits.max(axis=1, keepdims=True)
        chosen = logits[at]
        np.subtract(logits, top, out=logits)
        np.exp(logits, out=logits)
        total = logits.sum(axis=1)
        loss = float(rows @ (np.log(total) + top[:, 0]) - self.weight * chosen.sum())
        logits *= (rows / total)[:, None]
        np.subtract.at(logits, at, self.weight)
        if slope is not None:
            logits *= slope
        gradient = logits @ self.projection.weight
        return loss, gradient * np.float32(self.projection.logit_scale)

    def _map(self, task: Callable[[int], tuple[float, DoubleArray]]) -> tuple[float, DoubleArray]:
        """Sum a task over the chunks of rows, in order."""
        starts = range(0, len(self.hidden), self.chunk)
        size = self.hidden.shape[1]
        loss, gradient = 0.0, np.zeros((size, size))
        for part, matrix in self.mapper(task, starts):
            loss += part
            gradient += matrix
        return loss, gradient

    def __call__(self, matrix: DoubleArray) -> tuple[float, DoubleArray]:
        """Return the loss in nats per token and its gradient, both exact.

        Parameters
        ----------
        matrix : ndarray of shape (H, H)

        Returns
        -------
        loss : float
        gradient : ndarray of shape (H, H)
        """
        delta = matrix.astype(np.float32)

        def part(start: int) -> tuple[float, DoubleArray]:
            hidden = self.hidden[start : start + self.chunk]
            loss, residual = self._residual(start, hidden + hidden @ delta)
            return loss, (hidden.T @ residual).astype(np.float64)

        return self._map(part)

    def curvature(self) -> _Curvature:
        """Return the factors of the Gauss-Newton curvature at M = 0."""
        weight = self.projection.weight
        scale = self.projection.logit_scale
        expected = np.empty_like(self.hidden)  # [R, H], mean output embedding of each row

        def part(start: int) -> tuple[float, DoubleArray]:
            rows = slice(start, start + self.chunk)
            logits, _ = self._logits(self.hidden[rows])
            logits -= logits.max(axis=1, keepdims=True)
            np.exp(logits, out=logits)
            logits /= logits.sum(axis=1, keepdims=True)
            expected[rows] = logits @ weight
            mass = self.row_weights[rows] @ logits
            return 0.0, ((weight.T * mass) @ weight).astype(np.float64)

        _, second = self._map(part)
        rows = self.row_weights[:, None].astype(np.float64)
        covariance = (second - expected.T @ (rows * expected)) * scale**2
        moment = self.hidden.T @ (rows * self.hidden)
        a, left = np.linalg.eigh(moment)
        b, right = np.linalg.eigh(covariance)
        return _Curvature(left, right, np.outer(a.clip(0), b.clip(0)))


class _BlasLimit:
    """Keeps BLAS to one thread while any fit runs; concurrent fits share the limit."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.holders = 0
        self.limits: threadpool_limits | None = None


_blas = _BlasLimit()


@contextmanager
def _single_threaded_blas() -> Iterator[None]:
    with _blas.lock:
        _blas.holders += 1
        if _blas.holders == 1:
            _blas.limits = threadpool_limits(1)
    try:
        yield
    finally:
        with _blas.lock:
            _blas.holders -= 1
            if _blas.holders == 0 and _blas.limits is not None:
                _blas.limits.restore_original_limits()


def fit_output_adapter(
    features: Features,
    projection: OutputProjection,
    penalty: float = DEFAULT_PENALTY,
    max_iter: int = 200,
    tol: float = 1e-5,
    n_threads: int | None = None,
) -> FloatArray:
    """Fit M so that the given answers become likely.

    Minimises the negative log-likelihood of the answer tokens, in nats, plus
    ``penalty / 2 * kappa * sum(M ** 2)``: the maximum a posteriori under a normal prior that does
    not depend on how many answers there are. The factor kappa is the mean curvature of a
    token's loss along the entries of M at M = 0, so that one penalty means the same for
    models whose hidden states and embeddings differ in size and scale.

    Parameters
    ----------
    features : Features
        Of the answers to be made likely.
    projection : OutputProjection
    penalty : float, default=100_000.0
        The curvature of the prior, as a number of tokens: heads move freely once they have
        seen many more.
    max_iter : int, default=200
        Iterations of L-BFGS.
    tol : float, default=1e-5
        Stop when an iteration lowers the objective by less than this share of it.
    n_threads : int, optional

    Returns
    -------
    ndarray of shape (H, H)
        M, float32.

    Raises
    ------
    LikraError
        If there are no answers, or the hidden states are not finite.
    """
    with _single_threaded_blas(), ThreadPoolExecutor(n_threads or available_threads()) as pool:
        objective = AdapterObjective(features, projection, mapper=pool.map)
        matrix = _minimize(objective, penalty, max_iter, tol)
    return matrix.astype(np.float32)


def _minimize(
    objective: AdapterObjective, penalty: float, max_iter: int, tol: float
) -> DoubleArray:
    curvature = objective.curvature()
    ridge = 0.5 * penalty / len(objective.targets) * float(curvature.product.mean())
    scale = 1.0 / np.sqrt(curvature.product + 2.0 * ridge)

    def matrix_of(flat: DoubleArray) -> DoubleArray:
        return curvature.left @ (flat.reshape(scale.shape) * scale) @ curvature.right.T

    def value(flat: DoubleArray) -> tuple[float, DoubleArray]:
        matrix = matrix_of(flat)
        loss, gradient = objective(matrix)
        loss += ridge * float(np.sum(matrix**2))
        gradient += 2.0 * ridge * matrix
        return loss, ((curvature.left.T @ gradient @ curvature.right) * scale).ravel()

    result = minimize(
        value,
        np.zeros(scale.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "ftol": tol, "gtol": 0.0},
    )
    return matrix_of(result.x)
