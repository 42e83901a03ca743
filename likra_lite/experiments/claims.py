"""The three claims of Hamdan & Yuret (2025, arXiv 2503.14391), checked on any items.

1. Each wrong answer helps far more than a right one: the ratio jumps where SFT climbs slowly.
2. Plausible wrong answers, the near-misses, teach most.
3. Right answers alone do not make plausible wrong answers unlikely; wrong answers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..fitting import FITTED_HEADS
from ..likelihoods import LogLikelihoods
from .bench import Bench, mean_log_likelihoods, roles_of
from .curves import Observation, learning_curve, observe

__all__ = ["CURVE_MODES", "Claims", "Trajectory", "check_claims", "curve_sizes", "number_of_fits"]

CURVE_MODES = ("sft", "base-likra", "likra")
RATIO_MODES = ("base-likra", "likra")
STANDARD_NEGATIVES = ("own", "hardest", "easiest", "other")
KINDS_SIZE = 128  # examples with which kinds of negatives are compared


@dataclass(frozen=True)
class Trajectory:
    """The mean log-likelihood of one group of test answers under one head.

    Attributes
    ----------
    n_items : int
        Training items of the head, 0 for the base model.
    draw : int
    head : str
        ``base``, ``positive`` or ``negative``.
    group : str
        Such as ``right`` or ``wrong``.
    log_likelihood : float
        In nats per answer.
    """

    n_items: int
    draw: int
    head: str
    group: str
    log_likelihood: float


@dataclass(frozen=True)
class Claims:
    """What was measured.

    Attributes
    ----------
    n_test : int
        Test items.
    curve : list of Observation
        Of base and pmi, with no examples, and of the fitted modes along the learning curve.
    control : list of Observation
        The same with the question hidden.
    kinds : list of Observation
        Different kinds of negatives with the same number of examples.
    trajectories : list of Trajectory
    """

    n_test: int
    curve: list[Observation]
    control: list[Observation]
    kinds: list[Observation]
    trajectories: list[Trajectory]


def curve_sizes(n_items: int) -> list[int]:
    """Return 8, 16, 32, ... as far as there are items."""
    return [2**power for power in range(3, 31) if 2**power <= n_items] or [n_items]


def _groups(bench: Bench) -> NDArray[np.str_]:
    roles = roles_of(bench.test_items)
    if roles is not None:
        return roles
    right = np.zeros(bench.test_table.offsets[-1], dtype=bool)
    right[bench.test_table.offsets[:-1] + bench.test_y] = True
    return np.where(right, "right", "wrong")


def _kinds_of_negatives(bench: Bench) -> list[str | Set[str]]:
    kinds: list[str | Set[str]] = list(STANDARD_NEGATIVES)
    roles = roles_of(bench.items)
    if roles is not None:
        kinds += [frozenset({role}) for role in dict.fromkeys(roles.tolist()) if role != "right"]
    return kinds


def number_of_fits(bench: Bench, sizes: Sequence[int], draws: Sequence[int]) -> int:
    """Return how often :func:`check_claims` fits a pair of heads."""
    return len(draws) * (2 * len(sizes) + len(_kinds_of_negatives(bench)))


def check_claims(
    bench: Bench,
    control: Bench,
    sizes: Sequence[int],
    draws: Sequence[int] = (0,),
    alpha: float = 1.0,
    advance: Callable[[], object] | None = None,
) -> Claims:
    """Measure learning curve, answer-only control, kinds of negatives and trajectories.

    Parameters
    ----------
    bench : Bench
    control : Bench
        The same items with the question hidden, see
        :meth:`likra_lite.prompts.Prompt.without_question`.
    sizes : sequence of int
        Numbers of training items.
    draws : sequence of int
        Seeds of training subsets and negatives.
    alpha : float
        Weight of the negative head.
    advance : callable, optional
        Called after every fit, :func:`number_of_fits` times.

    Returns
    -------
    Claims
    """
    groups = _groups(bench)
    trajectories: list[Trajectory] = []

    def keep(n_items: int, draw: int, heads: Sequence[str], table: LogLikelihoods) -> None:
        means = mean_log_likelihoods(table, groups)
        trajectories.extend(
            Trajectory(n_items, draw, head, group, means[group][head])
            for head in heads
            for group in means
        )

    def step(size: int, draw: int, table: LogLikelihoods) -> None:
        if advance is not None:
            advance()

    def step_and_keep(size: int, draw: int, table: LogLikelihoods) -> None:
        keep(size, draw, FITTED_HEADS, table)
        step(size, draw, table)

    keep(0, 0, ("base",), bench.test_table)
    curve = observe(bench, bench.test_table, 0, 0, ("base", "pmi"))
    curve += learning_curve(bench, sizes, draws, CURVE_MODES, alpha, visit=step_and_keep)
    hidden = observe(control, control.test_table, 0, 0, ("base",), hidden=True)
    hidden += learning_curve(control, sizes, draws, CURVE_MODES, alpha, hidden=True, visit=step)
    size = max(size for size in sizes if size <= max(KINDS_SIZE, min(sizes)))
    kinds = [
        row
        for negatives in _kinds_of_negatives(bench)
        for row in learning_curve(bench, [size], draws, RATIO_MODES, alpha, negatives, visit=step)
    ]
    return Claims(len(bench.test_y), curve, hidden, kinds, trajectories)
