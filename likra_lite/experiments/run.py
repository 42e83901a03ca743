"""Running experiments: each text is read once, each fit is done once, on any number of cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scoring.scorer import ChoiceScorer
from ..scratch import temporary_folder
from ..workers import end_with
from .bench import Bench
from .experiment import Advance, Experiment
from .points import CONTROLS, Point
from .results import Results

__all__ = ["run"]

Arrays = dict[str, NDArray[Any]]


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
            for fitted in Parallel(
                n_jobs=jobs, return_as="generator_unordered", temp_folder=str(scratch)
            )(
                delayed(_fit)(spread or bench, left, os.getpid())
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


def _fit(bench: Bench, points: Sequence[Point], parent: int) -> list[tuple[Point, Arrays]]:
    """Fit at points that share a positive head; the work of one task."""
    end_with(parent)
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
