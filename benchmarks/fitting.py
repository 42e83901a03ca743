"""Time and memory of fitting both heads, from cold and from kept hidden states.

    pip install -e ".[export]"
    python benchmarks/fitting.py --out results

Four-choice items with the lengths of ARC; the first choice counts as right, the second is the
wrong one that is learned. Token ids are skewed, as words are, so that there is something to
learn. The choice of a mode by cross-fitting is not part of it: that fits each head once for
every fold. The table goes to stdout; ``--out`` writes ``fitting.md`` and ``fitting.json``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from engines import LikraLite
from setup import CONTEXT, Setup, progress, with_setup
from tables import markdown_table, megabytes, number
from workers import Worker, peak_memory
from workloads import zero_shot

SKEW = 4.0  # a token id is the vocabulary's size times a uniform number to this power


@dataclass(frozen=True)
class Fitting:
    """What a worker process does: read the items, fit two heads.

    Attributes
    ----------
    engine : LikraLite
    n_items : int
    """

    engine: LikraLite
    n_items: int

    def run(self) -> dict[str, Any]:
        """Return seconds of each step, and the peak of memory."""
        from likra_lite import LanguageModel
        from likra_lite.engine.trees import TokenTree
        from likra_lite.heads.output import fit_output_matrix

        vocabulary = self.engine.checkpoint.vocabulary
        model = LanguageModel(self.engine.folder, n_threads=self.engine.threads)

        def skewed(tokens: list[int]) -> list[int]:
            return (vocabulary * (np.array(tokens) / vocabulary) ** SKEW).astype(int).tolist()

        trees = [
            TokenTree(skewed(context), [skewed(choice) for choice in choices])
            for context, choices in zero_shot(self.n_items, vocabulary)
        ]
        model.features(trees[:8])
        begin = time.perf_counter()
        features = model.features(trees)
        seconds = {"trunk": time.perf_counter() - begin}
        choices = np.arange(self.n_items) * 4
        for head, chosen in (("positive head", choices), ("negative head", choices + 1)):
            begin = time.perf_counter()
            fit_output_matrix(features.take(chosen), model.projection)
            seconds[head] = time.perf_counter() - begin
        return {"seconds": seconds, "rows": len(features.hidden), "peak_bytes": peak_memory()}


@click.command(context_settings=CONTEXT)
@click.option("--items", "n_items", type=click.IntRange(min=2), default=256)
@with_setup
def main(
    n_items: int,
    setup: Setup,
) -> None:
    """Measure what it takes to fit both heads."""
    with setup.checkpoint() as checkpoint:
        engine = LikraLite(checkpoint, setup.threads)
        progress(f"{checkpoint.name}: preparing")
        with Worker(engine) as worker:
            worker.call("prepare")
        with Worker(Fitting(engine, n_items)) as worker:
            done = worker.call("run")
    seconds = done["seconds"]
    heads = seconds["positive head"] + seconds["negative head"]
    rows = [[step, number(spent)] for step, spent in seconds.items()]
    rows += [
        ["both heads, cold", number(heads + seconds["trunk"])],
        ["both heads, from kept hidden states", number(heads)],
        ["peak MB", megabytes(done["peak_bytes"])],
    ]
    result = {
        "checkpoint": checkpoint.name,
        "items": n_items,
        **setup.machine,
        **done,
    }
    markdown = (
        f"**{checkpoint.name}**: {n_items:,} four-choice items, {done['rows']:,} hidden states; "
        f"{result['cpu']}, {setup.threads} threads.\n\n{markdown_table(['step', 's'], rows)}\n"
    )
    setup.write("fitting", result, markdown)


if __name__ == "__main__":
    main()
