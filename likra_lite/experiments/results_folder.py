"""A folder of results: one file of log-likelihoods for every fit, so that nothing is fitted twice.

``experiment.json`` says what was measured on what. Files are written whole or not at all
and never changed, so that an interrupted run goes on where it stopped, and several processes
may write to one folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..scoring.table import LogLikelihoods
from ..system.atomic import write_bytes
from .arrays import Arrays, read_point, write_arrays
from .identity import differences
from .points import CONTROLS, Point

__all__ = ["EXPERIMENT", "ResultsFolder", "is_results_folder"]

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


class ResultsFolder:
    """The files of an experiment's results.

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
    ) -> Self:
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
