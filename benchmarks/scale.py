"""What scoring costs by model and length of question, and what it costs to hand it out.

    pip install -e ".[cluster]"
    python benchmarks/scale.py --model my-model --out results

One table has items per second of one core, and the bytes that go to a worker and back, for each
``--model`` and the bundled one. The other has the overhead of a chunk: chunks that only wait are
sent through the same code to one worker of a Dask cluster on this machine (where joblib calls
them itself), to two processes, and to a hundred workers that are threads of two processes. The
overhead is what is left of the workers' time beside the waiting. Tables go to stdout; ``--out``
writes ``scale.md`` and ``scale.json``.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np
from distributed import Client, LocalCluster
from setup import CONTEXT, progress, write
from tables import cpu_name, markdown_table, number, versions
from workers import fix_threads

from likra_lite import Item, LanguageModel
from likra_lite.datasets.demo import bundled_model
from likra_lite.scoring import jobs
from likra_lite.scoring.chunk import Chunk, chunked
from likra_lite.scoring.scorer import ChoiceScorer

WORDS = np.array(
    ["the", "a", "of", "to", "and", "with", "for", "old", "new", "red", "small", "house", "hand"]
)
LENGTHS = {"short, 15 words": (15, 1), "as ARC, 25 words": (25, 4), "passage, 200 words": (200, 3)}
WORKERS = (1, 2, 100)
SECONDS = (0.1, 1.0)  # that a chunk takes
CHUNKS = {1: 10, 2: 10, 100: 4}  # for each worker
SHARE = 0.02  # of the time that may go to handing out


def items_of(count: int, words: int, choice_words: int) -> list[Item]:
    """Draw four-choice items of random words."""
    rng = np.random.default_rng(0)

    def text(length: int) -> str:
        return " ".join(rng.choice(WORDS, length))

    return [
        Item(text(words), [f"{n} {text(choice_words)}" for n in range(4)], id=f"item-{n}")
        for n in range(count)
    ]


def cost(folder: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield what items of each length cost under the base model on one core."""
    scorer = ChoiceScorer.of(LanguageModel(folder, 1), None, cached=False)
    scorer.table(items_of(4, 5, 1), ["base"])
    for name, (words, choice_words) in LENGTHS.items():
        items = items_of(2048, words, choice_words)
        trees = scorer.model.encoder.trees(scorer.pairs(items[:64]))[0]
        sent = len(pickle.dumps(items)) / len(items)
        done, start = 0, time.process_time()
        back: list[int] = []
        for chunk in scorer.stream(items, ["base"]):
            done += len(chunk.items)
            back.append(len(pickle.dumps(chunk._replace(items=[]))))
            if time.process_time() - start > seconds:
                break
        line = {
            "model": folder.name,
            "questions": name,
            "chunk": scorer.chunk_size,
            "tokens": float(np.mean([len(tree) for tree in trees])),
            "items_per_core_second": done / (time.process_time() - start),
            "bytes_sent": sent,
            "bytes_back": sum(back) / done,
        }
        progress(str(line))
        yield line


def waiting(_packed: Any, *rest: Any) -> Chunk:
    """Stand for the scoring of a chunk: `rest` begins with the seconds that it takes."""
    time.sleep(rest[0])
    return Chunk([], np.arange(len(rest[-2])), None, None, [])


def overhead(n_workers: int, seconds: float) -> dict[str, Any]:
    """Return the overhead of chunks that take so long, as seconds of a worker per chunk."""
    items = items_of(64, 25, 4)
    n_chunks = CHUNKS[n_workers] * n_workers
    # The fields of a task, of which the second is the time here.
    task: Any = (np.zeros(10_000, np.uint8), seconds, "", 1, None, True, 0)
    jobs._score = waiting
    with (
        LocalCluster(
            n_workers=min(n_workers, 2),
            threads_per_worker=max(1, n_workers // 2),
            dashboard_address=None,
        ) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        run = jobs._Run(task, None, jobs.WAITING * n_workers)
        warm = chunked(items * n_workers, len(items))
        consume(jobs._Run(task, None, n_workers), [item for some in warm for item in some])
        start = time.perf_counter()
        consume(run, items * n_chunks)
        took = time.perf_counter() - start
    each = took * n_workers / n_chunks - seconds
    return {"workers": n_workers, "seconds": seconds, "overhead": each, "share": each / seconds}


def consume(run: Any, items: list[Item]) -> None:
    """Send items in chunks of 64 and take what comes back."""
    for _ in run.chunks(items, 64, 0):
        pass


def markdown(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    costs = [
        [
            line["model"],
            line["questions"],
            number(line["tokens"]),
            str(line["chunk"]),
            number(line["items_per_core_second"]),
            number(line["chunk"] / line["items_per_core_second"]),
            number(line["bytes_sent"]),
            number(line["bytes_back"]),
        ]
        for line in result["costs"]
    ]
    overheads = [
        [
            str(line["workers"]),
            str(line["seconds"]),
            f"{1000 * line['overhead']:.1f}",
            f"{100 * line['share']:.1f} %",
            f"{line['overhead'] / SHARE:.2f}",
            number(line["workers"] / (line["seconds"] + line["overhead"])),
        ]
        for line in result["overheads"]
    ]
    header = ["model", "questions", "tokens", "chunk", "items/core-s", "s/chunk"]
    return (
        f"{result['cpu']}\n\n"
        + markdown_table([*header, "bytes there", "bytes back"], costs)
        + "\n\n"
        + markdown_table(
            ["workers", "s a chunk takes", "overhead, ms", "share", "s for 2 %", "chunks/s"],
            overheads,
        )
        + "\n"
    )


@click.command(context_settings=CONTEXT)
@click.option(
    "--model",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Model folder besides the bundled one. May be repeated.",
)
@click.option("--seconds", type=float, default=5.0, help="Of a core, for each model and length.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the result.")
def main(folders: tuple[Path, ...], seconds: float, out: Path | None) -> None:
    """Measure what scoring costs, and what handing out costs."""
    fix_threads(1)
    warnings.simplefilter("ignore")  # that the port of Dask's page is taken
    result: dict[str, Any] = {"cpu": cpu_name(), "versions": versions()}
    result["costs"] = [
        line for folder in (bundled_model(), *folders) for line in cost(folder, seconds)
    ]
    result["overheads"] = []
    for n_workers in WORKERS:
        for each in SECONDS:
            result["overheads"].append(overhead(n_workers, each))
            progress(str(result["overheads"][-1]))
    write("scale", result, markdown(result), out)


if __name__ == "__main__":
    main()
