"""The results of an experiment: log-likelihoods, and how they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..heads.settings import FITTED_HEADS
from ..scoring.decision import Decision, LinearDecision
from ..scoring.fitted import FittedDecision
from ..scoring.modes import MODES
from ..scoring.selection import ALPHAS, choose
from ..scoring.table import LogLikelihoods
from ..scoring.weighing import fit_decision
from .arrays import Arrays, read_arrays
from .points import Point
from .results_folder import ResultsFolder

__all__ = ["Results"]


class Results(ResultsFolder):
    """The results of an experiment, as log-likelihoods under every fitted pair of heads.

    Parameters and errors are those of :class:`ResultsFolder`.
    """

    def _place(self, test: str) -> int:
        if test not in self.tests:
            raise LikraError(
                f"got test set {test!r}; {self.folder} has {', '.join(map(repr, self.tests))}"
            )
        return self.tests.index(test)

    def _shared(self, test: str, control: str) -> Arrays:
        path = self._test_path(self._place(test), control)
        if not path.is_file():
            raise LikraError(
                f"{self.folder} has nothing of the control {control!r}, only "
                f"{', '.join(self.controls) or 'a beginning'}"
            )
        return read_arrays(path)

    def table(self, test: str, where: Point | str = "none") -> LogLikelihoods:
        """Return the log-likelihoods of a test set.

        Parameters
        ----------
        test : str
        where : Point, or str
            A control, for the heads ``base`` and ``neutral``, which need no fitting; a point
            has ``positive`` and ``negative`` as well.

        Raises
        ------
        LikraError
            If the point is not finished, or there is no such test set.
        """
        if isinstance(where, str):
            return LogLikelihoods.of_arrays(self._shared(test, where))
        free, arrays, place = (
            self.table(test, where.control),
            self._arrays(where),
            self._place(test),
        )
        fitted = {head: arrays[f"{place}.{head}"].astype(np.float64) for head in FITTED_HEADS}
        return replace(free, heads={**free.heads, **fitted})

    def _arrays(self, point: Point) -> Arrays:
        if not self.has(point):
            raise LikraError(f"{self.folder} has no results of {point}")
        return read_arrays(self._point_path(point))

    def y(self, test: str) -> NDArray[np.int64]:
        """Return the right choices of a test set, of shape (n_items,)."""
        return self._shared(test, self.controls[0] if self.controls else "none")["y"]

    def chance(self, test: str) -> float:
        """Return the accuracy of a guess."""
        control = self.controls[0] if self.controls else "none"
        return float(np.mean(1.0 / self.table(test, control).n_choices))

    def overlap(self, test: str) -> int | None:
        """Return how many test items are training items too; None if it was not recorded."""
        found: int | None = self.experiment["tests"][self._place(test)].get("overlap")
        return found

    def probes(self, test: str, where: Point | str) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Return the log-likelihoods of answers from elsewhere, by group and head.

        Parameters
        ----------
        test : str
        where : Point, or str
            A control, for the base model alone.

        Returns
        -------
        dict of (str, str) to ndarray of shape (n_items,)
            In nats, NaN where an item has no such answer. Groups are ``other`` (right answers
            of other questions) and ``unrelated``.
        """
        found = {}
        heads: Sequence[str]
        if isinstance(where, str):
            arrays, heads, start = self._shared(test, where), ("base",), ""
        else:
            arrays, heads, start = self._arrays(where), FITTED_HEADS, f"{self._place(test)}."
        for head in heads:
            for name, values in arrays.items():
                if name.startswith(f"{start}{head}."):
                    found[name.removeprefix(f"{start}{head}."), head] = values.astype(np.float64)
        return found

    def unused_table(self, point: Point) -> tuple[LogLikelihoods, NDArray[np.int64]]:
        """Return training items that a fit has not used under all heads, and their answers.

        Raises
        ------
        LikraError
            If all training items were used.
        """
        shared, arrays = read_arrays(self._training_path(point.control)), self._arrays(point)
        unused = arrays["unused"]
        if len(unused) == 0:
            raise LikraError(
                f"all {point.n_items} training items were fitted on; none is left to choose alpha "
                "on, give a number or a smaller size"
            )
        table = LogLikelihoods.of_arrays(shared).take(unused)
        fitted = {head: arrays[f"unused.{head}"].astype(np.float64) for head in FITTED_HEADS}
        return replace(table, heads={**table.heads, **fitted}), shared["y"][unused]

    def fitted_decision(self, point: Point) -> FittedDecision:
        """Return the mode ``auto``: weights fitted on training items that were not used.

        Raises
        ------
        LikraError
            If all training items were used.
        """
        return fit_decision(*self.unused_table(point))

    def decision(
        self, point: Point, mode: str, alpha: float | str = 0.9, normalization: str = "none"
    ) -> Decision:
        """Return a decision; with alpha ``auto``, chosen on training items that were not used.

        Raises
        ------
        LikraError
            If alpha is to be chosen and all training items were used.
        """
        if not MODES[mode].weighted:
            return Decision(mode, normalization=normalization)
        if not isinstance(alpha, str):
            return Decision(mode, float(alpha), normalization)
        table, y = self.unused_table(point)
        return replace(choose(table, y, mode, ALPHAS, [normalization]), temperature=1.0)

    def correct(self, test: str, where: Point | str, decision: LinearDecision) -> NDArray[np.bool_]:
        """Return whether predictions are right, of shape (n_items,).

        Parameters
        ----------
        test : str
        where : Point, or str
            A control, for modes that need no fitting.
        decision : LinearDecision
        """
        return np.asarray(decision.predict(self.table(test, where)) == self.y(test))
