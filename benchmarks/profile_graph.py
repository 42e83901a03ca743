"""Where the time of a model folder's graphs goes, by kind of operator.

    python benchmarks/profile_graph.py my-model

The library itself opens the sessions and makes the batches; only ONNX Runtime's profiler is
switched on when it opens them. Random questions with the lengths of ARC are scored twice, and
the second time counts.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import click
import onnxruntime
from engines import score_trees
from tables import markdown_table, number
from workloads import WORKLOADS

from likra_lite import LanguageModel

KERNEL = "_kernel_time"
RUN = "model_run"


def profiled_scoring(folder: Path, n_items: int, threads: int | None) -> dict[str, list[Any]]:
    """Score items twice and return the profiler's events by graph."""
    sessions = {}

    with tempfile.TemporaryDirectory() as scratch:

        class Profiled(onnxruntime.InferenceSession):
            """A session that profiles, with all options of who opens it."""

            def __init__(
                self, path: str, options: onnxruntime.SessionOptions, **settings: Any
            ) -> None:
                graph = Path(path).name
                options.enable_profiling = True
                options.profile_file_prefix = str(Path(scratch) / graph)
                super().__init__(path, options, **settings)
                sessions[graph] = self

        model = LanguageModel(folder, n_threads=threads)
        items = WORKLOADS["zero-shot"](n_items, model.manifest.vocab_size)
        with mock.patch.object(onnxruntime, "InferenceSession", Profiled):
            for _ in range(2):
                score_trees(model, items)
        return {
            graph: json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
            for graph, session in sessions.items()
        }


def second_half(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the later half of the runs, and the kernels that ran in them."""
    runs = sorted((e for e in events if e["name"] == RUN), key=lambda event: event["ts"])
    runs = runs[len(runs) // 2 :]
    kernels = [e for e in events if e["name"].endswith(KERNEL) and e["ts"] >= runs[0]["ts"]]
    return runs, kernels


def table(graph: str, events: list[dict[str, Any]], top: int) -> str:
    """Return a graph's operators, those that take longest first."""
    runs, kernels = second_half(events)
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in kernels:
        spent[event["args"]["op_name"]] += event["dur"]
        calls[event["args"]["op_name"]] += 1
    total = sum(run["dur"] for run in runs)
    shown = spent.most_common(top)
    rows = [
        [name, f"{micros / total:.1%}", number(micros / 1000), f"{calls[name] / len(runs):g}"]
        for name, micros in shown
    ]
    for name, micros in (
        ("other operators", spent.total() - sum(micros for _, micros in shown)),
        ("between operators", total - spent.total()),
    ):
        rows.append([name, f"{micros / total:.1%}", number(micros / 1000)])
    rows.append(["total", "100.0%", number(total / 1000), f"{calls.total() / len(runs):g}"])
    header = [f"{graph}, {len(runs)} runs", "share", "ms", "calls per run"]
    return markdown_table(header, rows)


@click.command(context_settings={"show_default": True})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--items", "n_items", type=click.IntRange(min=1), default=64)
@click.option("--top", type=click.IntRange(min=1), default=12, help="Operators to show.")
@click.option("--threads", type=click.IntRange(min=1), help="[default: the physical cores]")
def main(folder: Path, n_items: int, top: int, threads: int | None) -> None:
    """Show which operators the time of a model folder's graphs goes to."""
    profiles = profiled_scoring(folder, n_items, threads)
    click.echo("\n\n".join(table(graph, events, top) for graph, events in profiles.items()))


if __name__ == "__main__":
    main()
