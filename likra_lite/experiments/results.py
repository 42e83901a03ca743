"""A folder of results: one file of log-likelihoods for every fit, so that nothing is fitted twice.

``experiment.json`` says what was measured on what. Files are written whole or not at all
and never changed, so that an interrupted run goes on where it stopped, and several processes
may write to one folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from ..system.atomic import write_bytes
from .arrays import Arrays, read_arrays, read_point, write_arrays
from .identity import differences
from .points import CONTROLS, Point

__all__ = ["EXPERIMENT", "Results", "is_results_folder"]

EXPERIMENT = "experiment.json"
FORMAT_VERSION = 1
SUBFOLDERS = ("points", "tests", "training")


def is_results_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds results of an experiment."""
    return (Path(path) / EXPERIMENT).is_file()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LikraError(f"cannot write {folder}: {error.strerror or error}") from error


class Results:
    """The results of an experiment, as log-likelihoods under every fitted pair of heads.

    Parameters
    ----------
    folder : path
        Written by :func:`likra_lite.experiments.run`.

    Attributes
    ----------
    folder : Path
    experiment : dict
        Model, items, test items and settings with their checksums, and how it began.

    Raises
    ------
    LikraError
        If the folder holds no results, or those of another version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        path = self.folder / EXPERIMENT
        try:
            self.experiment: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = self.experiment["format_version"]
        except FileNotFoundError:
            raise LikraError(
                f"{folder} holds no results; make some with: likra-lite curve ITEMS --out {folder}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LikraError(f"{path} cannot be read ({error}); choose another folder") from None
        if found != FORMAT_VERSION:
            raise LikraError(
                f"{path} has format version {found} but this likra-lite reads {FORMAT_VERSION}; "
                "measure again, in another folder"
            )

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], identity: Mapping[str, Any], begun: Mapping[str, Any]
    ) -> Results:
        """Begin a folder of results, or open the one that the same experiment has begun.

        Parameters
        ----------
        folder : path
            New, empty, or with results of this experiment.
        identity : dict
            Model, prompt, penalty, items, tests and unrelated answers.
        begun : dict
            Command, time and versions.

        Raises
        ------
        LikraError
            If the folder holds anything else, such as another experiment.
        """
        root = Path(folder)
        path = root / EXPERIMENT
        if not path.exists():
            # A hidden file is what a run has left that was killed while it wrote the first one.
            if root.exists() and (
                not root.is_dir() or any(not found.name.startswith(".") for found in root.iterdir())
            ):
                raise LikraError(f"{root} exists and holds no results; choose another --out")
            _make_folder(root)
            content = {"format_version": FORMAT_VERSION, **identity, "begun": dict(begun)}
            write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())
        results = cls(root)
        differing = differences(results.experiment, identity)
        if differing:
            raise LikraError(
                f"{root} holds another experiment, with other {' and '.join(differing)}; choose "
                "another --out"
            )
        for name in SUBFOLDERS:
            _make_folder(root / name)
        return results

    @property
    def name(self) -> str:
        """The name of the training items."""
        return str(self.experiment["items"]["name"])

    @property
    def tests(self) -> list[str]:
        """Names of the test sets."""
        return [test["name"] for test in self.experiment["tests"]]

    @property
    def controls(self) -> list[str]:
        """The controls that were measured: ``none``, ``hidden``, ``shuffled``."""
        return [name for name in CONTROLS if self._training_path(name).is_file()]

    @property
    def trainings(self) -> Path:
        """Where the trainings of LoRA heads are kept, so that they go on and leave checkpoints."""
        return self.folder / "trainings"

    def points(self) -> list[Point]:
        """Return the finished points, sorted; the folder is read anew at each call."""
        paths = (self.folder / "points").glob("*.safetensors")
        return sorted(read_point(path) for path in paths if not path.name.startswith("."))

    def has(self, point: Point) -> bool:
        """Return whether a point is finished."""
        return self._point_path(point).is_file()

    def write_point(self, point: Point, arrays: Arrays) -> None:
        """Write the log-likelihoods under the heads of one fit."""
        compact = {
            name: array.astype(np.float32) if array.dtype == np.float64 else array
            for name, array in arrays.items()
        }
        write_arrays(self._point_path(point), compact, point)

    def write_shared(
        self,
        control: str,
        training: LogLikelihoods,
        y: NDArray[np.int64],
        tests: Sequence[tuple[LogLikelihoods, NDArray[np.int64], Arrays]],
    ) -> None:
        """Write the tables that all points of a control share, unless they are there.

        Parameters
        ----------
        control : str
        training : LogLikelihoods
        y : ndarray of shape (n_items,)
        tests : sequence of (LogLikelihoods, y, probes)
            Probes are those under the base model.
        """
        for place, (table, test_y, probes) in enumerate(tests):
            if not self._test_path(place, control).is_file():
                arrays = {**table.to_arrays(), "y": test_y, **probes}
                write_arrays(self._test_path(place, control), arrays)
        if not self._training_path(control).is_file():  # last: it tells that the others are there
            write_arrays(self._training_path(control), {**training.to_arrays(), "y": y})

    def _point_path(self, point: Point) -> Path:
        return self.folder / "points" / f"{point.key}.safetensors"

    def _test_path(self, place: int, control: str) -> Path:
        return self.folder / "tests" / f"{place}-{control}.safetensors"

    def _training_path(self, control: str) -> Path:
        return self.folder / "training" / f"{control}.safetensors"

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
