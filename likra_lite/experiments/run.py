"""Running experiments: each text is read once, each fit is done once, on any number of cores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.features import Features
from ..engine.onnx import LanguageModel
from ..engine.sessions import available_threads
from ..errors import LikraError
from ..heads.output import DEFAULT_PENALTY
from ..questions.inputs import answer_indices
from ..questions.item import Item, warn_of_overlap
from ..scoring.scorer import ChoiceScorer
from ..validation import check_number
from .bench import Bench
from .controls import draw_probes, shuffle_questions
from .held_out import HeldOut
from .identity import checksum, identity_of_items, versions
from .points import CONTROLS, Point
from .results import Results

__all__ = ["Experiment", "run"]

Arrays = dict[str, NDArray[Any]]
Advance = Callable[[int], object]


class Experiment:
    """A model, items to fit on and items to test on.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items : sequence of Item
        Every item has an answer.
    tests : dict of str to sequence of Item
        Test sets by name; every item has an answer.
    name : str
        What the training items are called.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    unrelated : sequence of str or None
        Answers from another source. Their likelihood is followed, and that of answers of other
        questions; None follows neither.

    Raises
    ------
    LikraError
        If there are too few items, or an item has no answer.

    Warns
    -----
    OverlapWarning
        If test items are training items too.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        tests: Mapping[str, Sequence[Item]],
        name: str = "items",
        penalty: float = DEFAULT_PENALTY,
        unrelated: Sequence[str] | None = (),
    ) -> None:
        check_number("penalty", penalty, positive=True)
        if not tests:
            raise LikraError("got no test items; give at least one set")
        for what, given in {name: items, **tests}.items():
            if len(given) < 2:
                raise LikraError(
                    f"{what}: an experiment needs at least two items, got {len(given)}"
                )
            answer_indices(given)
        self._overlaps = {name: warn_of_overlap(items, test) for name, test in tests.items()}
        self.scorer = scorer
        self.items = items
        self.tests = dict(tests)
        self.name = name
        self.penalty = float(penalty)
        self.unrelated = None if unrelated is None else tuple(unrelated)

    def identity(self) -> dict[str, Any]:
        """Return what makes the experiment: model, items and settings, with checksums.

        Test sets say how many of their items are training items too.
        """
        manifest = self.scorer.model.manifest
        return {
            "model": {
                "name": manifest.base_model["id"],
                "precision": manifest.precision,
                "fingerprint": manifest.fingerprint,
            },
            "prompt": str(self.scorer.prompt),
            "penalty": self.penalty,
            "items": identity_of_items(self.name, self.items),
            "tests": [
                identity_of_items(name, items) | {"overlap": self._overlaps[name]}
                for name, items in self.tests.items()
            ],
            "unrelated": None if self.unrelated == () else checksum(self.unrelated),
        }

    def create(self, folder: str | Path, command: str = "") -> Results:
        """Begin a folder of results, or open the one that this experiment has begun.

        Raises
        ------
        LikraError
            If the folder holds anything else, such as another experiment.
        """
        begun = {
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        return Results.create(folder, self.identity(), begun)

    def bench(self, control: str, advance: Advance | None = None) -> Bench:
        """Read all items under a control.

        Parameters
        ----------
        control : {"none", "hidden", "shuffled"}
        advance : callable, optional
            Called with the number of items read.

        Returns
        -------
        Bench
        """
        scorer, items, tests = self.scorer, self.items, self.tests
        if control == "hidden":
            scorer = replace(scorer, prompt=scorer.prompt.without_question())
        elif control == "shuffled":
            items = shuffle_questions(items)
            tests = {name: shuffle_questions(test) for name, test in tests.items()}
        held_out = {
            name: HeldOut.read(scorer, test, self._probes(test), advance)
            for name, test in tests.items()
        }
        return Bench(scorer, items, held_out, self.penalty, advance)

    def _probes(self, test: Sequence[Item]) -> dict[str, list[str | None]]:
        """Draw the answers from elsewhere, the same whatever becomes of the questions."""
        if self.unrelated is None or self.scorer.prompt.lettered:
            return {}
        right = [item.choices[item.answer or 0] for item in test]
        pools = {"other": right, "unrelated": self.unrelated}
        return {group: draw_probes(test, pool) for group, pool in pools.items() if pool}

    def check(self, points: Iterable[Point]) -> None:
        """Raise LikraError if a point asks for more items than there are."""
        most = max(point.n_items for point in points)
        if most > len(self.items):
            raise LikraError(
                f"got a size of {most} examples but {self.name} has {len(self.items)} items"
            )


def run(
    experiment: Experiment,
    points: Sequence[Point],
    results: Results,
    n_jobs: int | None = None,
    read: Advance | None = None,
    done: Advance | None = None,
) -> None:
    """Fit at every point that is not finished, and write what the heads say of the test items.

    Each point is written when it is finished, so that an interrupted run goes on where it
    stopped; several processes may run on the same results.

    Parameters
    ----------
    experiment : Experiment
    points : sequence of Point
    results : Results
        Of this experiment, see :meth:`Experiment.create`.
    n_jobs : int, optional
        Processes, through joblib: ``joblib.parallel_config`` chooses another backend, or the
        number where none is given. Threads are divided among them.
    read : callable, optional
        Called with the number of items read.
    done : callable, optional
        Called with the number of points finished.

    Raises
    ------
    LikraError
        If a point asks for more items than there are, or negatives cannot be drawn.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    def is_missing(point: Point) -> bool:
        return not results.has(point)

    experiment.check(points)
    wanted = list(filter(is_missing, points))
    if done is not None:
        done(len(points) - len(wanted))
    workers = effective_n_jobs(n_jobs)
    with tempfile.TemporaryDirectory(prefix="likra-lite-") as scratch:
        for control in sorted({point.control for point in wanted}, key=CONTROLS.index):
            bench = experiment.bench(control, read)
            # All of the control's points, finished or not: what is read together must not depend
            # on where an earlier run was interrupted.
            planned = [point for point in points if point.control == control]
            bench.read_borrowed(map(bench.draw, planned))
            _write_shared(results, bench, control)
            shared = bench if workers == 1 else _shared(bench, workers, Path(scratch) / control)
            for fitted in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
                delayed(_fit)(shared, left)
                for group in _groups(planned)
                if (left := list(filter(is_missing, group)))  # another process may be at work
            ):
                for point, arrays in fitted:
                    results.write_point(point, arrays)
                    if done is not None:
                        done(1)


def _groups(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield points that share a positive head, the longest fits first."""

    def heads(point: Point) -> tuple[int, int]:
        return -point.n_items, point.seed

    for _, group in groupby(sorted(points, key=heads), key=heads):
        yield list(group)


def _fit(bench: Bench, points: Sequence[Point]) -> list[tuple[Point, Arrays]]:
    """Fit at points that share a positive head; the work of one task."""
    fits = list(map(bench.fit, points))
    unused = bench.unused(points[0].n_items, points[0].seed)
    positive = _under(bench, fits[0], "positive", unused)
    return [
        (point, {"unused": unused, **positive, **_under(bench, fitted, "negative", unused)})
        for point, fitted in zip(points, fits, strict=True)
    ]


def _under(bench: Bench, fitted: ChoiceScorer, head: str, unused: NDArray[np.int64]) -> Arrays:
    """Return everything's log-likelihoods under one of the fitted heads."""
    fitted = replace(fitted, fitted={head: fitted.fitted[head]})
    arrays: Arrays = {f"unused.{head}": np.zeros(0)}
    if len(unused):
        arrays = {f"unused.{head}": bench.score_training(fitted, unused).head(head)}
    for place, held_out in enumerate(bench.held_out.values()):
        arrays[f"{place}.{head}"] = held_out.score(fitted).head(head)
        for group, found in held_out.score_probes(fitted, [head]).items():
            arrays[f"{place}.{head}.{group}"] = found[head]
    return arrays


def _write_shared(results: Results, bench: Bench, control: str) -> None:
    tests = [
        (
            held_out.table,
            held_out.y,
            {
                f"base.{group}": found["base"]
                for group, found in held_out.score_probes(bench.scorer, ["base"]).items()
            },
        )
        for held_out in bench.held_out.values()
    ]
    results.write_shared(control, bench.training_table, bench.y, tests)


def _shared(bench: Bench, workers: int, folder: Path) -> Bench:
    """Return the bench for several processes: hidden states in files that all of them map."""
    folder.mkdir()
    count = 0

    def mapped(features: Features) -> Features:
        nonlocal count
        count += 1
        path = folder / f"{count}.npy"
        np.save(path, features.hidden)
        return replace(features, hidden=np.load(path, mmap_mode="r"))

    model = bench.scorer.model
    threads = max(1, (model.n_threads or available_threads()) // workers)
    return bench.moved(LanguageModel(model.folder, threads), mapped)
