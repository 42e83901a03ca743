"""Running on a cluster, running an experiment, and writing pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from likra_lite.experiments import Experiment, Point, Results
    from likra_lite.report.contents import Report
    from likra_lite.report.measured import Measured

__all__ = ["on_cluster", "run_points", "write_page"]


def on_cluster(cluster: str | None, n_jobs: int | None) -> AbstractContextManager[Any]:
    """Return a context in which the workers of a cluster score, if one is named."""
    if cluster is None:
        return nullcontext()
    if n_jobs is not None:
        raise click.UsageError("--jobs is of this machine: leave it out, or --cluster")
    from likra_lite.scoring.cluster import connected

    return connected(cluster)


def run_points(
    experiment: Experiment, points: Sequence[Point], results: Results, n_jobs: int | None
) -> None:
    """Fit at every point that is not finished, in as many processes as there are cores."""
    from likra_lite.engine.sessions import available_threads
    from likra_lite.experiments import run
    from likra_lite.progress import progress_bar

    n_controls = len({point.control for point in points})
    n_texts = n_controls * (len(experiment.items) + sum(map(len, experiment.tests.values())))
    with (
        progress_bar(n_texts, "reading") as reading,
        progress_bar(len(points), "fitting", unit="fit") as fitting,
    ):
        jobs = n_jobs or available_threads()
        run(experiment, points, results, jobs, reading.update, fitting.update)


def write_page(path: str, report: Report, measured: Measured, experiment: Experiment) -> None:
    """Write a report with the questions of the experiment's first test set."""
    from likra_lite.progress import progress_bar
    from likra_lite.report.from_results import with_experiment
    from likra_lite.report.page import page
    from likra_lite.system.atomic import write_bytes

    n_texts = len(experiment.items) + measured.n_test
    with progress_bar(n_texts, "reporting") as bar:
        contents = with_experiment(report, measured, experiment, bar.update)
    write_bytes(path, page(contents).encode())
