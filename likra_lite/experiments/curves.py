"""Learning curves: accuracy on test items against the number of training items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from ..likelihoods import LogLikelihoods
from ..ratio import MODES, Decision, accuracy
from .bench import Bench

__all__ = ["Observation", "learning_curve", "observe"]


@dataclass(frozen=True)
class Observation:
    """One measured accuracy: a row of a tidy table.

    Attributes
    ----------
    n_items : int
        Training items, each with one right and one wrong answer; 0 for modes that need none.
    draw : int
        Seed of the training subset and its negatives.
    mode : str
    alpha : float or None
        Weight of the negative head, None for modes without.
    negatives : str
        Where the wrong answers came from.
    hidden : bool
        Whether the question was hidden, in fitting and in testing (the answer-only control).
    accuracy, standard_error : float
        On the test items.
    """

    n_items: int
    draw: int
    mode: str
    alpha: float | None
    negatives: str
    hidden: bool
    accuracy: float
    standard_error: float


def observe(
    bench: Bench,
    table: LogLikelihoods,
    n_items: int,
    draw: int,
    modes: Sequence[str],
    alpha: float = 1.0,
    negatives: str = "own",
    hidden: bool = False,
) -> list[Observation]:
    """Return the accuracy of some modes on a table of the bench's test items."""
    rows = []
    for mode in modes:
        decision = Decision(mode, alpha)
        share, error = accuracy(decision.predict(table) == bench.test_y)
        weight = alpha if MODES[mode].weighted else None
        rows.append(Observation(n_items, draw, mode, weight, negatives, hidden, share, error))
    return rows


def learning_curve(
    bench: Bench,
    sizes: Sequence[int],
    draws: Sequence[int] = (0,),
    modes: Sequence[str] = ("sft", "base-likra", "likra"),
    alpha: float = 1.0,
    negatives: str | Set[str] = "own",
    hidden: bool = False,
    visit: Callable[[int, int, LogLikelihoods], object] | None = None,
) -> Iterator[Observation]:
    """Fit on growing numbers of items and test each time.

    Parameters
    ----------
    bench : Bench
    sizes : sequence of int
        Numbers of training items.
    draws : sequence of int
        Seeds; the subsets of one draw are nested.
    modes : sequence of str
        Modes with a fitted head, see :data:`likra_lite.ratio.MODES`.
    alpha : float
        Weight of the negative head.
    negatives : str or set of str
        See :meth:`Bench.fit`.
    hidden : bool
        What the observations say of the bench: whether its prompt hides the question.
    visit : callable, optional
        Called with the size, the draw and the table of the test items.

    Yields
    ------
    Observation
    """
    name = negatives if isinstance(negatives, str) else " or ".join(sorted(negatives))
    for draw in draws:
        for size in sizes:
            table = bench.test(bench.fit(size, draw, negatives))
            if visit is not None:
                visit(size, draw, table)
            yield from observe(bench, table, size, draw, modes, alpha, name, hidden)
