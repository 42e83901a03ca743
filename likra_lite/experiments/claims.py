"""The three claims of Hamdan & Yuret (2025, arXiv 2503.14391), measured on any items.

1. Each wrong answer helps far more than a right one: the ratio jumps where SFT climbs slowly.
2. Plausible wrong answers, the near-misses, teach most.
3. Right answers alone do not make plausible wrong answers unlikely; wrong answers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..heads.settings import FITTED_HEADS
from ..scoring.decision import Decision
from ..scoring.table import LogLikelihoods
from ..validation import check_number
from .bench import RIGHT, Bench, mean_log_likelihoods, roles_of
from .curves import Difference, Observation, compare, learning_curve, observe

__all__ = [
    "CURVE_MODES",
    "RATIO_MODES",
    "Claims",
    "Trajectory",
    "check_claims",
    "curve_sizes",
    "number_of_fits",
]

RATIO_MODES = ("base-likra", "likra")
CURVE_MODES = ("sft", "pos-base", *RATIO_MODES)
FREE = (Decision("base"), Decision("base", normalization="chars"), Decision("pmi"))
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
        ``right`` and ``wrong``, or the roles of the test items' choices.
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
    chance : float
        Accuracy of a guess.
    free : list of Observation
        Of what needs no examples: the base model, raw and per character, and pmi.
    curve : list of Observation
        Of the fitted modes along the learning curve.
    control_free, control : list of Observation
        Of the base model and the fitted modes with the question hidden.
    differences : list of Difference
        Of the ratios to the base model, to the best of `free` and to SFT, along the learning
        curve.
    kinds : list of Observation
        Different kinds of negatives with the same number of examples, each with an alpha of
        its own that was chosen on unused training items, if half of them or more are unused.
    kinds_alpha : float or "auto"
        Which of the two it was.
    trajectories : list of Trajectory
    """

    n_test: int
    chance: float
    free: list[Observation]
    curve: list[Observation]
    control_free: list[Observation]
    control: list[Observation]
    differences: list[Difference]
    kinds: list[Observation]
    kinds_alpha: float | str
    trajectories: list[Trajectory]

    @property
    def best_free(self) -> Observation:
        """The most accurate of what needs no examples."""
        return max(self.free, key=lambda row: row.accuracy)


def curve_sizes(n_items: int) -> list[int]:
    """Return 1, 2, 4, 8, ... as far as there are items."""
    return [2**power for power in range(n_items.bit_length())]


def _groups(bench: Bench) -> NDArray[np.str_]:
    roles = roles_of(bench.test_items)
    if roles is not None:
        return roles
    groups = np.full(bench.test_table.offsets[-1], "wrong")
    groups[bench.test_table.offsets[:-1] + bench.test_y] = RIGHT
    return groups


def _kinds_size(sizes: Sequence[int]) -> int:
    return max(size for size in sizes if size <= max(KINDS_SIZE, min(sizes)))


def _kinds_of_negatives(
    bench: Bench, sizes: Sequence[int], draws: Sequence[int]
) -> list[str | Set[str]]:
    kinds: list[str | Set[str]] = [*STANDARD_NEGATIVES, *(frozenset({r}) for r in bench.roles)]
    size = _kinds_size(sizes)
    return [kind for kind in kinds if all(bench.can_draw(kind, size, draw) for draw in draws)]


def number_of_fits(bench: Bench, sizes: Sequence[int], draws: Sequence[int]) -> int:
    """Return how often :func:`check_claims` fits."""
    return len(draws) * (2 * len(sizes) + len(_kinds_of_negatives(bench, sizes, draws)))


def check_claims(
    bench: Bench,
    control: Bench,
    sizes: Sequence[int],
    draws: Sequence[int] = (0,),
    alpha: float = 0.9,
    advance: Callable[[], object] | None = None,
) -> Claims:
    """Measure learning curve, answer-only control, kinds of negatives and trajectories.

    Kinds of negatives that the items do not have are left out.

    Parameters
    ----------
    bench : Bench
    control : Bench
        The same with the question hidden, see :meth:`Bench.without_question`.
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

    Raises
    ------
    LikraError
        If there is no size or no draw, a size exceeds the number of items, or the control
        does not hide the question, or alpha is out of range.
    """
    if not sizes or not draws:
        raise LikraError("got no sizes or no draws; give at least one of each")
    if not control.hidden:
        raise LikraError("the control asks its questions; make it with bench.without_question()")
    check_number("alpha", alpha)
    groups = _groups(bench)
    trajectories: list[Trajectory] = []
    differences: list[Difference] = []

    def step(size: int, draw: int, table: LogLikelihoods) -> None:
        if advance is not None:
            advance()

    def keep(size: int, draw: int, heads: Sequence[str], table: LogLikelihoods) -> None:
        means = mean_log_likelihoods(table, groups)
        trajectories.extend(
            Trajectory(size, draw, head, group, means[group][head])
            for head in heads
            for group in means
        )

    free = [observe(bench, bench.test_table, 0, 0, decision) for decision in FREE]
    best = FREE[int(np.argmax([row.accuracy for row in free]))]
    references = dict.fromkeys([FREE[0], best, Decision("sft")])

    def keep_and_step(size: int, draw: int, table: LogLikelihoods) -> None:
        keep(size, draw, FITTED_HEADS, table)
        differences.extend(
            compare(bench, table, size, draw, Decision(mode, alpha), reference)
            for mode in RATIO_MODES
            for reference in references
        )
        step(size, draw, table)

    keep(0, 0, ("base",), bench.test_table)
    size = _kinds_size(sizes)
    # Some negatives make stronger heads than others; a fair comparison lets each have its alpha.
    weight = "auto" if 2 * size <= len(bench.items) else alpha
    return Claims(
        n_test=len(bench.test_y),
        chance=bench.chance,
        free=free,
        curve=list(learning_curve(bench, sizes, draws, CURVE_MODES, alpha, visit=keep_and_step)),
        control_free=[observe(control, control.test_table, 0, 0, FREE[0])],
        control=list(learning_curve(control, sizes, draws, CURVE_MODES, alpha, visit=step)),
        differences=differences,
        kinds=[
            row
            for negatives in _kinds_of_negatives(bench, sizes, draws)
            for row in learning_curve(
                bench, [size], draws, RATIO_MODES, weight, negatives, visit=step
            )
        ],
        kinds_alpha=weight,
        trajectories=trajectories,
    )
