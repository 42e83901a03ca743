"""Running experiments: each text is read once, each fit is done once, on any number of cores."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..scoring.cluster import ATTEMPTS, is_local, is_loss, offer_model
from ..scoring.scorer import ChoiceScorer
from ..system.scratch import temporary_folder
from ..system.workers import end_with
from .bench import Bench
from .experiment import Advance, Experiment
from .points import CONTROLS, Point
from .results import Results

__all__ = ["run"]

Arrays = dict[str, NDArray[Any]]
Packed = NDArray[np.uint8]  # a pickled bench


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
    from joblib import effective_n_jobs

    def is_missing(point: Point) -> bool:
        return not results.has(point)

    experiment.check(points)
    wanted = list(filter(is_missing, points))
    if done is not None:
        done(len(points) - len(wanted))
    workers = effective_n_jobs(n_jobs)
    with temporary_folder() as scratch:
        for control in sorted({point.control for point in wanted}, key=CONTROLS.index):
            bench = experiment.bench(control, read, results.trainings)
            # All of the control's points, finished or not: what is read together must not depend
            # on where an earlier run was interrupted.
            planned = [point for point in points if point.control == control]
            bench.prepare(planned)
            _write_shared(results, bench, control)
            spread = bench.spread(workers, scratch / control) if workers > 1 else None
            jobs = 1 if spread is None else n_jobs
            given = bench if spread is None else _sendable(spread)
            tasks = partial(_tasks, given, planned, is_missing)
            with closing(_carried(tasks, jobs, str(scratch))) as carried:
                for fitted in carried:
                    for point, arrays in fitted:
                        results.write_point(point, arrays)
                        if done is not None:
                            done(1)


def _carried(
    tasks: Callable[[], Iterable[Any]], n_jobs: int | None, scratch: str
) -> Generator[list[tuple[Point, Arrays]], None, None]:
    """Yield what comes back of some tasks; what was lost with its worker is done again."""
    from joblib import Parallel

    losses = 0  # since the last fit that came back
    while True:
        try:
            for fitted in Parallel(
                n_jobs,
                backend="sequential" if n_jobs == 1 else None,  # not one of a cluster either
                return_as="generator_unordered",
                temp_folder=scratch,
            )(tasks()):
                losses = 0
                yield fitted
            return
        except Exception as error:
            if not is_loss(error):
                raise
            losses += 1
            if losses == ATTEMPTS:
                raise LikraError(
                    f"{losses} workers ended while they fitted, probably for want of memory; use "
                    "fewer jobs"
                ) from error


def _tasks(
    bench: Bench | Packed, planned: Sequence[Point], is_missing: Callable[[Point], bool]
) -> Iterator[Any]:
    from joblib import delayed

    for group in _groups(planned):
        if left := list(filter(is_missing, group)):  # another process may be at work
            yield delayed(_fit)(bench, left, os.getpid())


def _sendable(bench: Bench) -> Bench | Packed:
    """Return what goes to workers: on a cluster one array, which is sent once to each of them."""
    if is_local():
        return bench
    offer_model(bench.scorer.model.folder, bench.scorer.model.manifest)
    return np.frombuffer(pickle.dumps(bench), np.uint8)


def _groups(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield points that share a positive head, the longest fits first."""

    def heads(point: Point) -> tuple[int, int]:
        return -point.n_items, point.seed

    for _, group in groupby(sorted(points, key=heads), key=heads):
        yield list(group)


def _fit(given: Bench | Packed, points: Sequence[Point], parent: int) -> list[tuple[Point, Arrays]]:
    """Fit at points that share a positive head; the work of one task."""
    end_with(parent)
    bench = given if isinstance(given, Bench) else pickle.loads(given.tobytes())
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
