"""Points of an experiment, each the settings of one fit, and grids of points."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from ..errors import LikraError
from ..heads.negatives import kind_of
from ..validation import check_integer, check_one_of, check_share

__all__ = ["CONTROLS", "Point", "grid"]

CONTROLS = ("none", "hidden", "shuffled")


@dataclass(frozen=True, order=True)
class Point:
    """One fit of both heads: on which items, and with which wrong answers.

    Mode, alpha, normalization and test set are no part of it: they are arithmetic on the
    log-likelihoods under the fitted heads.

    Parameters
    ----------
    control : {"none", "hidden", "shuffled"}
        What becomes of the questions, in fitting and in testing: asked as they are, hidden
        (the answer-only control), or exchanged between items.
    n_items : int
        Training items, each with one right answer.
    seed : int
        Of the subset of the training items and of the drawn wrong answers. The subsets of
        one seed are nested.
    negatives : str
        Kind of wrong answers, see :func:`likra_lite.heads.negatives.draw_negatives`.
    n_negatives : int
        Wrong answers per item, as far as it has them.
    contamination : float
        Share of wrong answers that are replaced by right ones.

    Raises
    ------
    LikraError
        If a value is out of range.
    """

    control: str
    n_items: int
    seed: int
    negatives: str = "own"
    n_negatives: int = 1
    contamination: float = 0.0

    def __post_init__(self) -> None:
        check_one_of("control", self.control, CONTROLS)
        check_integer("n_items", self.n_items, 1)
        check_integer("seed", self.seed, 0)
        kind_of(self.negatives)
        check_integer("n_negatives", self.n_negatives, 1)
        check_share("contamination", self.contamination)
        object.__setattr__(self, "contamination", float(self.contamination))

    def to_json(self) -> str:
        """Return the point as one line of JSON, the same for equal points."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that stand for the point."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


def grid(
    sizes: Iterable[int],
    seeds: Iterable[int],
    negatives: Sequence[str] = ("own",),
    n_negatives: Sequence[int] = (1,),
    contamination: Sequence[float] = (0.0,),
    controls: Sequence[str] = ("none",),
) -> list[Point]:
    """Return a point for every combination, sorted and without repetition.

    Raises
    ------
    LikraError
        If there is nothing to combine, or a value is out of range.
    """
    combined = itertools.product(controls, sizes, seeds, negatives, n_negatives, contamination)
    points = sorted({Point(*values) for values in combined})
    if not points:
        raise LikraError("got an empty list among sizes, seeds, negatives, ...; nothing to fit")
    return points
