"""What a report takes from one test set of a folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..experiments import Point as Fit
from ..experiments import Results, name_of, observations
from ..experiments.comparing import Setting, correct_by_mode, what_remains
from ..scoring.comparisons import Comparison, compare_modes
from ..scoring.decision import MODES, Decision
from .confidence import ENOUGH

__all__ = ["RATIOS", "Fit", "Measured", "Row"]

RATIOS = ("likra", "base-likra")
COMPARED = (*RATIOS, "sft")

Row = dict[str, Any]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """What was measured on one test set.

    Parameters
    ----------
    results : Results
    test : str
        A test set.
    alpha : float or "auto"
        Weight of the negative head.
    normalization : str
        Length that the scores of fitted modes are divided by.
    """

    results: Results
    test: str
    alpha: float | str
    normalization: str

    @cached_property
    def fits(self) -> list[Fit]:
        """All finished fits.

        Raises
        ------
        LikraError
            If none of them is of the learning curve.
        """
        found = self.results.points()
        if not any(_is_standard(fit) for fit in found):
            raise LikraError(
                f"{self.results.folder} has no finished point of the learning curve yet; run "
                "likra-lite curve until it has"
            )
        return found

    @property
    def standard(self) -> list[Fit]:
        """The fits of the learning curve."""
        return [fit for fit in self.fits if _is_standard(fit)]

    @cached_property
    def size(self) -> int:
        """The largest number of examples that most seeds have."""
        counts: dict[int, int] = {}
        for fit in self.standard:
            counts[fit.n_items] = counts.get(fit.n_items, 0) + 1
        return max(counts, key=lambda size: (counts[size], size))

    @property
    def largest(self) -> list[Fit]:
        """The fits of the learning curve at its largest size, one for each seed."""
        return [fit for fit in self.standard if fit.n_items == self.size]

    @cached_property
    def n_test(self) -> int:
        """Number of test items."""
        return len(self.results.y(self.test))

    @cached_property
    def chance(self) -> float:
        """The accuracy of a guess."""
        return self.results.chance(self.test)

    @cached_property
    def rows(self) -> list[Row]:
        """Observations on the test set, of every fit."""
        return self.observe(self.fits, (self.alpha,))

    def observe(
        self,
        fits: Iterable[Fit],
        alphas: Sequence[float | str],
        modes: Sequence[str] = tuple(MODES),
    ) -> list[Row]:
        """Return observations on the test set, see :func:`likra_lite.experiments.observations`."""
        found = observations(self.results, modes, alphas, (self.normalization,), fits)
        return [row for row in found if row["test"] == self.test]

    @property
    def how(self) -> str:
        """Test items, alpha and normalization in words."""
        chosen = "alpha chosen on unused training items"
        alpha = chosen if isinstance(self.alpha, str) else f"alpha {self.alpha:g}"
        length = name_of("", self.normalization)
        return f"{self.n_test:,} test items, {alpha}" + (length and f", scores{length}")

    @property
    def base(self) -> str:
        """Name of the base model with the normalization of the fitted modes."""
        return name_of("base", self.normalization)

    @cached_property
    def free(self) -> dict[str, Decision]:
        """What needs no examples, by name: the base model, raw and normalized, and pmi."""
        pairs = (("base", "none"), ("base", "chars"), ("base", self.normalization), ("pmi", "none"))
        return {
            name_of(mode, length): Decision(mode, normalization=length) for mode, length in pairs
        }

    @cached_property
    def setting(self) -> Setting:
        """What is held fixed in the comparisons."""
        return Setting(self.test, self.size, alpha=self.alpha, normalization=self.normalization)

    @cached_property
    def correct(self) -> dict[str, BoolArray]:
        """Whether predictions are right at the largest size, by mode, for every seed."""
        fitted = correct_by_mode(self.results, self.setting, COMPARED)
        free = {
            name: self.results.correct(self.test, "none", rule) for name, rule in self.free.items()
        }
        return fitted | free

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Paired differences of the fitted modes at the largest size, over all seeds."""
        return compare_modes(self.correct, (*self.free, "sft"), modes=COMPARED)

    def remaining(self) -> list[str]:
        """Say what remains of the ratios' gains over the base model without the question."""
        # Shown and hidden alike, the base model's scores are divided by the same length.
        gains = [
            replace(each, reference="base")
            for each in self.comparisons
            if each.mode in RATIOS and each.reference == self.base
        ]
        return [
            line.replace("over base", f"over {self.base}")
            for line in what_remains(self.results, self.setting, gains)
        ]

    @cached_property
    def held_out_fit(self) -> Fit | None:
        """The fit on most examples that leaves enough training items to calibrate on."""
        fits = [fit for fit in self.standard if len(self.results.unused_table(fit)[1]) >= ENOUGH]
        return max(fits, key=lambda fit: (fit.n_items, -fit.seed), default=None)

    def decision(self, fit: Fit, mode: str) -> Decision:
        """Return how a mode decides with the heads of a fit."""
        return self.results.decision(fit, mode, self.alpha, self.normalization)


def _is_standard(fit: Fit) -> bool:
    kind = fit.control, fit.negatives, fit.n_negatives, fit.contamination
    return kind == ("none", "own", 1, 0.0)
