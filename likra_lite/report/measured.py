"""Measurements on one test set of a folder of results, as a report takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..experiments import Point as Fit
from ..experiments import Results, observations, trajectories
from ..experiments.predictions import Setting, correct_by_mode, what_remains
from ..questions.item import Item
from ..questions.roles import roles_of
from ..scoring.comparisons import Comparison, compare_modes
from ..scoring.decision import Decision
from ..scoring.lengths import mode_name
from ..scoring.modes import MODES
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
    kinds_alpha : float or "auto", optional
        Weight of the negative head where kinds of negatives are looked at; `alpha` by default.
    roles : ndarray of shape (n_choices,), optional
        Names for the choices of the test set, in place of right answers and near-misses.
    """

    results: Results
    test: str
    alpha: float | str
    normalization: str
    kinds_alpha: float | str | None = None
    roles: NDArray[np.str_] | None = None

    @classmethod
    def of_claims(cls, results: Results, items: Sequence[Item], alpha: float) -> Measured:
        """Return what was measured at the points of the paper's claims, on the first test set.

        Some negatives make stronger heads than others. Where at least as many training items
        are left as were used, every kind gets an alpha of its own, chosen on those.

        Parameters
        ----------
        results : Results
        items : sequence of Item
            The test set's items, whose choices may have roles.
        alpha : float
        """
        plain = cls(results, results.tests[0], alpha, "none")
        enough = 2 * plain.kinds_size <= results.experiment["items"]["count"]
        return replace(plain, kinds_alpha="auto" if enough else None, roles=roles_of(items))

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

    def standard_rows(self, control: str = "none") -> list[Row]:
        """Return the rows of fits under a control that differ in examples and seeds only."""
        standard = (None, None, None), ("own", 1, 0.0)
        return [
            row
            for row in self.rows
            if row["n_items"]
            and row["control"] == control
            and (row["negatives"], row["n_negatives"], row["contamination"]) in standard
        ]

    def free_row(self, decision: Decision, control: str = "none") -> Row:
        """Return the accuracy of what needs no examples."""
        found = observations(
            self.results, [decision.mode], normalizations=[decision.normalization], points=self.fits
        )
        (row,) = (row for row in found if (row["test"], row["control"]) == (self.test, control))
        return row

    @cached_property
    def kinds_size(self) -> int:
        """The number of examples that most kinds of negatives were fitted on."""
        kinds: dict[int, set[str]] = {}
        for fit in filter(_is_plain, self.fits):
            kinds.setdefault(fit.n_items, set()).add(fit.negatives)
        return max(kinds, key=lambda size: (len(kinds[size]), size))

    @cached_property
    def kinds_rows(self) -> list[Row]:
        """Observations of the ratios at that number of examples, by kind of negatives."""
        fits = [f for f in self.fits if _is_plain(f) and f.n_items == self.kinds_size]
        alpha = self.alpha if self.kinds_alpha is None else self.kinds_alpha
        return self.observe(fits, (alpha,), RATIOS)

    @cached_property
    def trajectory_rows(self) -> list[Row]:
        """What becomes of the likelihood of answers along the learning curve."""
        found = trajectories(self.results, self.standard, self.roles)
        return [row for row in found if (row["test"], row["control"]) == (self.test, "none")]

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
        return self._how(self.alpha)

    @property
    def how_kinds(self) -> str:
        """The same where kinds of negatives are looked at."""
        return self._how(self.alpha if self.kinds_alpha is None else self.kinds_alpha)

    def _how(self, alpha: float | str) -> str:
        chosen = "alpha chosen on unused training items"
        weight = chosen if isinstance(alpha, str) else f"alpha {alpha:g}"
        about = f"{self.n_test:,} test items, {weight}"
        scores = mode_name("scores", self.normalization)
        return about if self.normalization == "none" else f"{about}, {scores}"

    @property
    def base(self) -> str:
        """Name of the base model with the normalization of the fitted modes."""
        return mode_name("base", self.normalization)

    @cached_property
    def free(self) -> dict[str, Decision]:
        """Accuracy without examples, by name: the base model, raw and normalized, and pmi."""
        pairs = (("base", "none"), ("base", "chars"), ("base", self.normalization), ("pmi", "none"))
        return {
            mode_name(mode, length): Decision(mode, normalization=length) for mode, length in pairs
        }

    @cached_property
    def setting(self) -> Setting:
        """The setting that all comparisons share."""
        return Setting(self.test, self.size, alpha=self.alpha, normalization=self.normalization)

    @cached_property
    def correct(self) -> dict[str, BoolArray]:
        """Whether predictions are right at the largest size, by mode, for every seed."""
        return self.correct_at(self.size)

    @property
    def best_free(self) -> str:
        """Name of the most accurate of what needs no examples."""
        return max(self.free, key=lambda name: float(self.correct[name].mean()))

    def correct_at(self, size: int) -> dict[str, BoolArray]:
        """Return whether predictions are right after so many examples."""
        fitted = correct_by_mode(self.results, replace(self.setting, n_items=size), COMPARED)
        free = {
            name: self.results.correct(self.test, "none", rule) for name, rule in self.free.items()
        }
        return fitted | free

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Paired differences of the fitted modes at the largest size, over all seeds."""
        return compare_modes(self.correct, (*self.free, "sft"), modes=COMPARED)

    def remaining(self) -> list[str]:
        """Say what remains of the ratios' gains over the base model with the question hidden."""
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


def _is_plain(fit: Fit) -> bool:
    return (fit.control, fit.n_negatives, fit.contamination) == ("none", 1, 0.0)


def _is_standard(fit: Fit) -> bool:
    return _is_plain(fit) and fit.negatives == "own"
