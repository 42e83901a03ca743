"""Time of a learning curve: ten sizes, five seeds, every mode, from reading to the table.

    python benchmarks/curve.py --items train.jsonl --test test.jsonl --model my-model --out results

Without options it takes the demo's items and model. Each number of processes runs in a folder of
its own, without the cache, so that every text is read. The table goes to stdout; ``--out`` writes
``curve.md`` and ``curve.json``.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from setup import CONTEXT, progress
from setup import write as write_result
from tables import cpu_name, markdown_table, number, versions

from likra_lite import Item, LanguageModel, read_items
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.engine.sessions import available_threads
from likra_lite.experiments import Experiment, grid, observations, run
from likra_lite.prompts import Prompt
from likra_lite.scoring.scorer import ChoiceScorer

SHARES = (0.008, 0.016, 0.032, 0.065, 0.13, 0.26, 0.39, 0.52, 0.78, 1.0)


def read(source: str | None, subset: str, limit: int) -> list[Item]:
    """Read a file of items, or load the demo's."""
    items = load_demo(subset).items if source is None else read_items(source, require_answer=True)
    return items[:limit]


def measure(experiment: Experiment, seeds: int, jobs: int) -> dict[str, Any]:
    """Return seconds of reading, fitting and of the table."""
    sizes = sorted({max(1, round(share * len(experiment.items))) for share in SHARES})
    points = grid(sizes, range(seeds))
    with TemporaryDirectory() as folder:
        begin = time.perf_counter()
        results = experiment.create(folder)
        ends: list[float] = []
        run(
            experiment, points, results, jobs,
            read=lambda _: ends.append(time.perf_counter()),
        )  # fmt: skip
        fitted = time.perf_counter()
        rows = observations(results)
        end = time.perf_counter()
    return {
        "jobs": jobs,
        "fits": len(points),
        "observations": len(rows),
        "reading": ends[-1] - begin,
        "fitting": fitted - ends[-1],
        "table": end - fitted,
        "total": end - begin,
    }


@click.command(context_settings=CONTEXT)
@click.option("--items", help="Items to fit on.  [default: the demo's]")
@click.option("--test", help="Items to test on.  [default: the demo's]")
@click.option("--model", help="Model folder.  [default: the bundled one]")
@click.option("--limit", type=click.IntRange(min=16), default=1000, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results.")
def main(
    items: str | None,
    test: str | None,
    model: str | None,
    limit: int,
    seeds: int,
    out: Path | None,
) -> None:
    """Measure what a learning curve takes, in one process and in one per core."""
    if (items is None) != (test is None):
        raise click.UsageError("--items and --test go together")
    warnings.simplefilter("ignore", UserWarning)
    folder = bundled_model() if model is None else Path(model)
    language_model = LanguageModel(folder)
    scorer = ChoiceScorer(language_model, Prompt(language_model.manifest.prompt))
    training, testing = read(items, "train", limit), read(test, "test", limit)
    experiment = Experiment(scorer, training, {"test": testing})
    found = []
    for jobs in sorted({1, available_threads()}):
        progress(f"{jobs} processes")
        found.append(measure(experiment, seeds, jobs))
    columns = ["jobs", "fits", "observations", "reading", "fitting", "table", "total"]
    rows = [
        [str(each[name]) if isinstance(each[name], int) else number(each[name]) for name in columns]
        for each in found
    ]
    headers = ["processes", "fits", "observations", "reading s", "fitting s", "table s", "total s"]
    load = os.getloadavg()[0]
    markdown = (
        f"**{folder.name}**: {len(training):,} training and {len(testing):,} test items, {seeds} "
        f"seeds; {cpu_name()}, {available_threads()} cores, load {load:.1f}.\n\n"
        f"{markdown_table(headers, rows)}\n"
    )
    result = {"model": folder.name, "cpu": cpu_name(), "versions": versions(), "runs": found}
    write_result("curve", result, markdown, out)


if __name__ == "__main__":
    main()
