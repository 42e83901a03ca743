"""Output matrices: heads that are fitted on the CPU.

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

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ..engine.features import Features, OutputProjection
from ..errors import ConvergenceWarning, LikraError

__all__ = ["DEFAULT_PENALTY", "Curvature", "MatrixObjective", "fit_output_matrix"]

DEFAULT_PENALTY = 100_000.0  # tokens

# Rows of one call: few enough that their logits, which stand in memory some times over, stay
# small, and enough to be worth a pass over the vocabulary.
CHUNK_BYTES = 24 * 2**20
MIN_ROWS = 32

ATTEMPTS = 3  # of L-BFGS, each from where the last one stopped
CONVERGED, TOO_MANY_STEPS = 0, 1  # what SciPy says of an attempt; 2 is a failed line search

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curvature:
    """The Gauss-Newton curvature at M = 0, as the product of two factors.

    Attributes
    ----------
    left, right : ndarray of shape (H, H)
        Columns are the eigenvectors of the hidden states' second moment, and of the output
        embedding's covariance under the base model.
    product : ndarray of shape (H, H)
        Outer product of their eigenvalues.
    """

    left: DoubleArray
    right: DoubleArray
    product: DoubleArray


class MatrixObjective:
    """Mean negative log-likelihood of tokens as a function of M, and its gradient.

    Parameters
    ----------
    features : Features
        Hidden states, and the tokens to be made likely.
    projection : OutputProjection

    Raises
    ------
    LikraError
        If there are no tokens, or the hidden states are not finite.
    """

    def __init__(self, features: Features, projection: OutputProjection) -> None:
        if len(features.targets) == 0:
            raise LikraError("a head needs at least one answer to be fitted on, got none")
        if not np.isfinite(features.hidden).all():
            raise LikraError("the model's hidden states are not finite; export the model again")
        self.features = features
        self.weight = np.array(1.0 / len(features.targets), dtype=np.float32)
        counts = np.bincount(features.rows, minlength=len(features.hidden)).astype(np.float32)
        self.row_weights = self.weight * counts
        self.projection = projection
        self.chunk = max(MIN_ROWS, CHUNK_BYTES // (4 * len(projection.weight)))

    def _chunks(self, matrix: DoubleArray, outputs: list[str]) -> Iterator[list[Any]]:
        """Yield those outputs of the gradient's graph for some rows at a time.

        Nothing here may call BLAS: its threads would wait for more, at ONNX Runtime's cost.
        """
        delta = matrix.astype(np.float32)
        for part, tokens, rows in self.features.chunks(self.chunk):
            inputs = {
                "hidden": self.features.hidden[part],
                "delta": delta,
                "rows": rows,
                "targets": self.features.targets[tokens],
                "weight": self.weight,
                "row_weights": self.row_weights[part, None],
            }
            yield self.projection.gradient.run(outputs, inputs)

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
        loss, gradient = 0.0, np.zeros_like(matrix)
        for part, slope in self._chunks(matrix, ["loss", "gradient"]):
            loss += float(part)
            gradient += slope
        return loss, gradient

    def start(self) -> tuple[float, DoubleArray, Curvature]:
        """Return the loss, its gradient and its Gauss-Newton curvature at M = 0, in one pass."""
        weight = self.projection.weight
        loss, gradient = 0.0, np.zeros((self.features.hidden.shape[1],) * 2)
        mass = np.zeros(len(weight))
        means = []
        outputs = ["loss", "gradient", "expected", "mass"]
        for part, slope, expected, shares in self._chunks(gradient, outputs):
            loss += float(part)
            gradient += slope
            mass += shares
            means.append(expected)
        rows = np.sqrt(self.row_weights)[:, None]
        scaled = rows * self.features.hidden
        centres = np.concatenate(means) / np.maximum(rows, np.finfo(np.float32).tiny)
        roots = np.sqrt(mass).astype(np.float32)[:, None] * weight
        # NumPy makes only half of a product with its own transpose.
        a, left = np.linalg.eigh((scaled.T @ scaled).astype(np.float64))
        covariance = (roots.T @ roots).astype(np.float64) * self.projection.logit_scale**2
        b, right = np.linalg.eigh(covariance - (centres.T @ centres).astype(np.float64))
        return loss, gradient, Curvature(left, right, np.outer(a.clip(0), b.clip(0)))


def fit_output_matrix(
    features: Features,
    projection: OutputProjection,
    penalty: float = DEFAULT_PENALTY,
    max_iter: int = 200,
    tol: float = 1e-4,
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
    tol : float, default=1e-4
        Stop when an iteration lowers the objective by less than this share of it.

    Returns
    -------
    ndarray of shape (H, H)
        M, float32.

    Raises
    ------
    LikraError
        If there are no answers, or hidden states or the result are not finite.

    Warns
    -----
    ConvergenceWarning
        If the solver stops before the optimum.
    """
    objective = MatrixObjective(features, projection)
    with threadpool_limits(1, "blas"):  # NumPy's threads would fight ONNX Runtime's
        return _minimize(objective, penalty, max_iter, tol).astype(np.float32)


def _minimize(objective: MatrixObjective, penalty: float, max_iter: int, tol: float) -> DoubleArray:
    loss_at_zero, gradient_at_zero, curvature = objective.start()
    ridge = 0.5 * penalty / len(objective.features.targets) * float(curvature.product.mean())
    scale = 1.0 / np.sqrt(curvature.product + 2.0 * ridge)

    def matrix_of(flat: DoubleArray) -> DoubleArray:
        return curvature.left @ (flat.reshape(scale.shape) * scale) @ curvature.right.T

    def value(flat: DoubleArray) -> tuple[float, DoubleArray]:
        matrix = matrix_of(flat)
        if flat.any():
            loss, gradient = objective(matrix)
        else:
            loss, gradient = loss_at_zero, gradient_at_zero.copy()
        loss += ridge * float(np.sum(matrix**2))
        gradient += 2.0 * ridge * matrix
        return loss, ((curvature.left.T @ gradient @ curvature.right) * scale).ravel()

    return matrix_of(_optimum(value, scale.size, max_iter, tol))


def _optimum(
    value: Callable[[DoubleArray], tuple[float, DoubleArray]], size: int, max_iter: int, tol: float
) -> DoubleArray:
    """Minimise a convex function from zero, and say so if that fails.

    A line search can fail near the optimum, where float32 tells no two values apart, or where the
    gradients are not exact enough for the curvature that L-BFGS has put together; it then begins
    anew, without that, from where it stands.
    """
    found = np.zeros(size)
    enough = max(tol, float(np.finfo(np.float32).eps))
    for _ in range(ATTEMPTS):
        result = minimize(
            value,
            found,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "ftol": tol, "gtol": 0.0},
        )
        if not np.isfinite(result.fun) or not np.isfinite(result.x).all():
            raise LikraError(
                "a head's fit has led to numbers that are not finite; use a larger penalty"
            )
        found = result.x
        # In these coordinates the curvature is about 1, so that half the squared gradient is
        # what is left to be gained.
        left = 0.5 * float(np.sum(np.square(result.jac)))
        if result.status == CONVERGED or left <= enough * max(1.0, abs(result.fun)):
            return found
        if result.status == TOO_MANY_STEPS:
            break
    warnings.warn(
        f"a head's fit stopped after {result.nit} steps, before its optimum ({result.message}); "
        "use a larger penalty",
        ConvergenceWarning,
        stacklevel=4,
    )
    return found
