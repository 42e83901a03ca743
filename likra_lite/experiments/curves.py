"""Learning curves: accuracy on test items against the number of training items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from ..scoring.decision import MODES, Decision
from ..scoring.statistics import accuracy, paired_difference
from ..scoring.table import LogLikelihoods
from ..validation import check_number_or_auto
from .bench import Bench

__all__ = ["Difference", "Observation", "compare", "learning_curve", "name_of", "observe"]


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
    normalization : str
        Length that scores were divided by.
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
    normalization: str
    negatives: str
    hidden: bool
    accuracy: float
    standard_error: float


@dataclass(frozen=True)
class Difference:
    """How much more accurate one mode is than another on the same test items.

    Attributes
    ----------
    n_items, draw : int
    mode, reference : str
        Named as by :func:`name_of`.
    difference, standard_error : float
        Of the paired difference of accuracies.
    """

    n_items: int
    draw: int
    mode: str
    reference: str
    difference: float
    standard_error: float


def name_of(mode: str, normalization: str) -> str:
    """Return what people call a mode and its normalization: ``base per character``."""
    units = {"none": "", "chars": " per character", "bytes": " per byte", "tokens": " per token"}
    return mode + units[normalization]


def compare(
    bench: Bench, table: LogLikelihoods, n_items: int, draw: int, one: Decision, other: Decision
) -> Difference:
    """Return the paired difference of two decisions on a table of the bench's test items."""
    ours, theirs = (each.predict(table) == bench.test_y for each in (one, other))
    name, reference = (name_of(each.mode, each.normalization) for each in (one, other))
    difference, error = paired_difference(ours, theirs)
    return Difference(n_items, draw, name, reference, difference, error)


def observe(
    bench: Bench,
    table: LogLikelihoods,
    n_items: int,
    draw: int,
    decision: Decision,
    negatives: str = "own",
) -> Observation:
    """Return the accuracy of a decision on a table of the bench's test items."""
    share, error = accuracy(decision.predict(table) == bench.test_y)
    return Observation(
        n_items=n_items,
        draw=draw,
        mode=decision.mode,
        alpha=decision.alpha if MODES[decision.mode].weighted else None,
        normalization=decision.normalization,
        negatives=negatives,
        hidden=bench.hidden,
        accuracy=share,
        standard_error=error,
    )


def learning_curve(
    bench: Bench,
    sizes: Sequence[int],
    draws: Sequence[int] = (0,),
    modes: Sequence[str] = ("sft", "base-likra", "likra"),
    alpha: float | str = 0.9,
    negatives: str | Set[str] = "own",
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
        Modes with a fitted head, see :data:`likra_lite.scoring.decision.MODES`.
    alpha : float or "auto"
        Weight of the negative head. ``auto`` chooses it, for every fit and mode, on the
        training items that the fit has not used.
    negatives : str or set of str
        See :meth:`Bench.fit`.
    visit : callable, optional
        Called with the size, the draw and the table of the test items.

    Yields
    ------
    Observation

    Raises
    ------
    LikraError
        If a size exceeds the number of items, or alpha is out of range.
    """
    check_number_or_auto("alpha", alpha)
    name = negatives
    if not isinstance(name, str):
        name = "role " + " or ".join(sorted(negatives))
    for draw in draws:
        for size in sizes:
            fitted = bench.fit(size, draw, negatives)
            table = bench.test(fitted)
            if visit is not None:
                visit(size, draw, table)
            weighted = [mode for mode in modes if MODES[mode].weighted]
            if isinstance(alpha, str):
                alphas = bench.choose_alphas(fitted, size, draw, weighted)
            else:
                alphas = dict.fromkeys(weighted, alpha)
            for mode in modes:
                decision = Decision(mode, alphas.get(mode, 1.0))
                yield observe(bench, table, size, draw, decision, name)
