"""How sure a difference in accuracy is: intervals, tests and what a test could have seen.

Predictions come as boolean arrays "correct", of shape (n_items,), or (n_seeds, n_items) if the
same items were answered by several fits, of different draws of the training items for example.
What is measured per item is then the mean over the seeds. Everything here treats the items as a
sample of the questions that could have been asked and the fits as given: it tells what other
items would change, not what other seeds would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import LikraError
from ..validation import check_integer, check_share

__all__ = [
    "LEVEL",
    "accuracy",
    "bootstrap_interval",
    "detectable_difference",
    "holm",
    "item_sums",
    "mcnemar_test",
    "paired_difference",
]

LEVEL = 0.05  # below which a p-value counts as evidence
POWER = 0.8
RESAMPLES = 9999

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def accuracy(correct: BoolArray) -> tuple[float, float]:
    """Return the share of right predictions and its standard error.

    Parameters
    ----------
    correct : ndarray of shape (n_items,) or (n_seeds, n_items)

    Returns
    -------
    share, standard_error : float
    """
    return mean_and_error(np.atleast_2d(correct).mean(axis=0))


def paired_difference(correct: BoolArray, reference: BoolArray) -> tuple[float, float]:
    """Return how much more often `correct` holds than `reference`, and its standard error.

    Parameters
    ----------
    correct, reference : ndarray of shape (n_items,) or (n_seeds, n_items)
        On the same items.

    Returns
    -------
    difference, standard_error : float

    Raises
    ------
    LikraError
        If the shapes do not fit together.
    """
    sums, n_seeds = item_sums(correct, reference)
    return mean_and_error(sums / n_seeds)


def mean_and_error(values: FloatArray) -> tuple[float, float]:
    """Return the mean of values, of shape (n_items,), and its standard error."""
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def item_sums(correct: BoolArray, reference: BoolArray) -> tuple[IntArray, int]:
    """Return the difference of every item, summed over the seeds, and the number of seeds.

    What was run with one seed only, as the base model is, is compared with every seed of the
    other.

    Parameters
    ----------
    correct, reference : ndarray of shape (n_items,) or (n_seeds, n_items)

    Returns
    -------
    sums : ndarray of shape (n_items,)
        Whole numbers from -n_seeds to n_seeds.
    n_seeds : int

    Raises
    ------
    LikraError
        If there is no item, the shapes do not fit together, or the arrays are not boolean.
    """
    ours, theirs = np.atleast_2d(correct), np.atleast_2d(reference)
    seeds = {len(ours), len(theirs)} - {1}
    if ours.ndim > 2 or theirs.ndim > 2 or ours.shape[1] != theirs.shape[1] or len(seeds) > 1:
        raise LikraError(
            f"got predictions of shapes {np.shape(correct)} and {np.shape(reference)}; expected "
            "the same items, and the same seeds or one seed"
        )
    if ours.dtype != bool or theirs.dtype != bool:
        raise LikraError(
            f"got predictions of dtypes {ours.dtype} and {theirs.dtype}; expected bool, whether "
            "each was right"
        )
    if ours.size == 0 or theirs.size == 0:
        raise LikraError("got predictions of no items; a comparison needs at least one")
    sums = np.sum(ours.astype(np.int64) - theirs, axis=0)
    return sums, max(len(ours), len(theirs))


def bootstrap_interval(
    correct: BoolArray,
    reference: BoolArray,
    confidence: float = 0.95,
    random_state: int = 0,
) -> tuple[float, float]:
    """Return the paired bootstrap's percentile interval of a difference in accuracy.

    Items are drawn with replacement, each with all of its seeds (the cluster bootstrap, Davison
    and Hinkley 1997, section 3.8). A difference takes few values, -1, 0 and 1 with one seed, so
    that a resample is one draw of a multinomial: how often each value occurs. The interval
    covers the choice of the items; with several seeds it is about the mean over these seeds,
    and does not cover what other seeds would give.

    Parameters
    ----------
    correct, reference : ndarray of shape (n_items,) or (n_seeds, n_items)
    confidence : float, default=0.95
    random_state : int, default=0

    Returns
    -------
    low, high : float
        Both 0 if the two agree on every item: the sample tells nothing of the spread then.

    Raises
    ------
    LikraError
        If the shapes do not fit together, or `confidence` is not between 0 and 1.
    """
    check_share("confidence", confidence, inside=True)
    sums, n_seeds = item_sums(correct, reference)
    values, counts = np.unique(sums, return_counts=True)
    drawn = np.random.default_rng(random_state).multinomial(
        len(sums), counts / len(sums), size=RESAMPLES
    )
    means = drawn @ values / (n_seeds * len(sums))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mcnemar_test(correct: BoolArray, reference: BoolArray) -> float:
    """Return the two-sided p-value of McNemar's exact test [1]_.

    Of the items that only one of the two got right, each is as likely to get half if both are
    equally good: a binomial test on these. With several seeds it is the sign-flip test [2]_ of
    which that is a case: the difference of an item, summed over its seeds, may as well have had
    the other sign. All seeds of an item flip together, as they share its question. Its null
    distribution is a sum of scaled binomials and is computed, not simulated. The test is exact
    if mode and reference could be exchanged in every item, and, as the differences need no
    symmetry for their sum to have the right variance, close for many items if merely their
    accuracies are the same [3]_. As the interval, it takes the fits as given.

    Parameters
    ----------
    correct, reference : ndarray of shape (n_items,) or (n_seeds, n_items)

    Returns
    -------
    float
        1 if the two agree on every item.

    Raises
    ------
    LikraError
        If the shapes do not fit together.

    References
    ----------
    .. [1] Q. McNemar, "Note on the sampling error of the difference between correlated
       proportions or percentages", Psychometrika 12, 1947.
    .. [2] R. A. Fisher, "The design of experiments", section 21, 1935.
    .. [3] J. P. Romano, "On the behavior of randomization tests without a group invariance
       assumption", Journal of the American Statistical Association 85, 1990.
    """
    from scipy.signal import convolve  # slow to import
    from scipy.stats import binom

    sums, _ = item_sums(correct, reference)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    # Chances of the total of the sums, shifted to start at 0: it goes in steps of 2.
    chances = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = convolve(chances, steps)
    totals = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return float(np.clip(chances[np.abs(totals) >= abs(sums.sum())].sum(), 0.0, 1.0))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values adjusted for their number by Holm's step-down method.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979. To reject where the adjusted value is below a level keeps the chance of
    any false rejection below it, however the tests depend on one another.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)

    Returns
    -------
    ndarray of shape (n_tests,)
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given)
    adjusted = np.empty_like(given)
    factors = np.arange(len(given), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def detectable_difference(
    n_items: int, discordance: float, level: float = LEVEL, power: float = POWER
) -> float:
    """Return the smallest difference in accuracy that a paired comparison would find.

    With n items of which a share psi is discordant, answered right by one of the two only, a
    two-sided test at the level finds a difference d with the power if
    ``sqrt(n) d = z(1 - level / 2) sqrt(psi) + z(power) sqrt(psi - d^2)`` (R. J. Connor, "Sample
    size for testing differences in proportions for the paired-sample design", Biometrics 43,
    1987). It is solved for d. As no difference exceeds the discordance, a discordance that is
    too small for its d is raised to it.

    Parameters
    ----------
    n_items : int
    discordance : float
        Share of discordant items; with several seeds, the mean square of the items' differences.
    level, power : float

    Returns
    -------
    float
        Infinite if there are too few items to find any difference.

    Raises
    ------
    LikraError
        If a parameter is out of range.
    """
    from scipy.special import ndtri

    check_integer("n_items", n_items, 1)
    check_share("level", level, inside=True)
    check_share("power", power, inside=True)
    check_share("discordance", discordance)
    a, b = ndtri(1 - level / 2), ndtri(power)
    # Not even with every item in favour, by the exact test or by the formula.
    if 2.0 ** (1 - n_items) > level or n_items + min(b, 0.0) ** 2 < a**2:
        return float("inf")
    # The root of (n + b^2) d^2 - 2 a sqrt(n psi) d + (a^2 - b^2) psi that is proportional to b.
    slope = (a * np.sqrt(n_items) + b * np.sqrt(n_items + b**2 - a**2)) / (n_items + b**2)
    return float(slope * np.sqrt(max(discordance, slope**2)))
