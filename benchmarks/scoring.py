"""Your machine's figures: scoring speed, memory and scores of likra-lite and of others.

    pip install -e ".[export]" ctranslate2 "lm_eval[hf]"
    python benchmarks/scoring.py --out results

A random checkpoint of a published shape, or one of your own, scores random items with the
lengths of multiple-choice benchmarks. All engines are given the same token ids and the same
number of threads; what each of them runs is in the docstrings of ``engines.py``. Every engine
lives in a process of its own and scores the items once in every round, so that all see the
same noise of the machine. Ratios between engines depend on the processor; the main figure is
therefore the share of the machine's own fastest matrix product in float32 that goes into what the
items need. Scores are compared with PyTorch's in float32. An engine that
is not installed, or does not take the checkpoint, gets a line that says why.

The table goes to stdout, progress to stderr; ``--out`` writes ``scoring.md`` and
``scoring.json``. Install the packages in one command, as above: alone, ``lm_eval`` brings a
``huggingface_hub`` that transformers refuses. With ``--cache`` converted models are kept for
the next run; remove that folder when a converter changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from contest import Contender, Contest
from engines import ENGINES, LikraLite
from setup import CONTEXT, Setup, check_window, progress, with_setup
from tables import markdown_table, megabytes, number
from workers import Worker
from workloads import WORKLOADS, rows_of, useful_tokens

SLOW_WORKLOAD = "25-shot"
# Title, key of an engine's record, how to write the value.
COLUMNS: list[tuple[str, str, Callable[[Any], str]]] = [
    ("engine", "engine", str),
    ("batches of", "batching", str),
    ("items", "items", str),
    ("best s", "best_seconds", number),
    ("median s", "median_seconds", number),
    ("of peak", "share_of_peak", "{:.0%}".format),
    ("items/s", "items_per_second", number),
    ("speed", "speed", number),
    ("peak MB", "peak_bytes", megabytes),
    ("max diff", "max_difference", "{:.1e}".format),
    ("mean diff", "mean_difference", "{:.1e}".format),
    ("other answers", "other_answers", str),
]


def _engine_names(_context: object, _parameter: object, value: str) -> list[str]:
    names = {name.strip() for name in value.split(",")}
    if unknown := names - set(ENGINES):
        raise click.BadParameter(f"no engine {min(unknown)}; there are {', '.join(ENGINES)}")
    return [name for name in ENGINES if name in names]


def table_row(record: dict[str, Any]) -> list[str]:
    """Return an engine's line of the table."""
    if "failure" in record:
        return [record["engine"], f"not run: {record['failure']}"]
    return [written(record[key]) if key in record else "" for _, key, written in COLUMNS]


def heading(result: dict[str, Any]) -> str:
    """Return what was run, and on what."""
    items = result["items"]
    return (
        f"**{result['checkpoint']}, {result['workload']}**: {items['count']:,} items, "
        f"{items['choices']:,} choices, {items['tokens']:,} tokens with one row per choice. "
        f"{result['cpu']}, {result['threads']} threads; the fastest matrix product in float32 "
        f"ran at {result['gemm_flops'] / 1e9:,.0f} GFLOP/s ({result['gemm']}). "
        f"Rates are those of the fastest of {result['rounds']} rounds."
    )


def notes(result: dict[str, Any]) -> str:
    """Return what the columns mean, and what the table leaves out."""
    lines = [
        "The share of the peak counts the operations that the items need, whatever an engine "
        "does: every token read once, questions once for all their choices, and the vocabulary "
        "only where a token of a choice is predicted. Products in 8 or 16 bits are counted "
        "against the peak in float32 too. Speed is relative to pytorch-fp32. Differences are those "
        "of a choice's score to pytorch-fp32, in nats; other answers, the items whose best choice "
        "differs."
    ]
    if result["slow_items"] is not None:
        lines.append(
            "Engines that read one row per choice score the first "
            f"{result['slow_items']:,} items only; scores are compared on those."
        )
    for record in result["engines"]:
        if left_out := record.get("left_out"):
            lines.append(
                f"{record['engine']} fails with batches of {', '.join(left_out)} "
                f"({next(iter(left_out.values()))})."
            )
        if record["engine"] == LikraLite.name and "trunk" in record:
            trunk = record["trunk"]
            lines.append(
                f"{record['engine']} reads {trunk['tokens']:,} tokens in {trunk['seconds']:.2f} s: "
                f"{trunk['flops'] / 1e9:,.0f} useful GFLOP/s, "
                f"{trunk['flops'] / result['gemm_flops']:.0%} of the fastest product."
            )
    lines.append(", ".join(f"{name} {v}" for name, v in result["versions"].items()) + ".")
    return "\n\n".join(lines)


def markdown(result: dict[str, Any]) -> str:
    """Return the whole result as Markdown."""
    rows = [table_row(record) for record in result["engines"]]
    table = markdown_table([title for title, _, _ in COLUMNS], rows)
    return f"{heading(result)}\n\n{table}\n\n{notes(result)}\n"


@click.command(context_settings=CONTEXT)
@click.option("--workload", type=click.Choice(list(WORKLOADS)), default="zero-shot")
@click.option("--items", "n_items", type=click.IntRange(min=1), default=64)
@click.option(
    "--slow-items",
    type=click.IntRange(min=1),
    default=4,
    help=f"Items of {SLOW_WORKLOAD} for engines that read one row per choice.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3)
@click.option(
    "--engines",
    callback=_engine_names,
    default=",".join(ENGINES),
    show_default=False,
    help=f"Comma-separated, of {', '.join(ENGINES)}.  [default: all]",
)
@click.option("--one-at-a-time", is_flag=True, help="Hold only one engine in memory.")
@with_setup
def main(
    workload: str,
    n_items: int,
    slow_items: int,
    rounds: int,
    engines: list[str],
    one_at_a_time: bool,
    setup: Setup,
) -> None:
    """Compare engines that score multiple-choice items, on the same weights and items."""
    with setup.checkpoint() as checkpoint:
        with Worker(checkpoint) as worker:
            weights = worker.call("weights")
        items = WORKLOADS[workload](n_items, checkpoint.vocabulary)
        check_window(items, checkpoint)
        slow = workload == SLOW_WORKLOAD
        contenders = [
            Contender(
                engine(checkpoint, setup.threads),
                items[:slow_items] if slow and engine.one_row_per_choice else items,
            )
            for engine in map(ENGINES.__getitem__, engines)
        ]
        contest = Contest(contenders, setup.threads, one_at_a_time, progress)
        contest.run(rounds)
    result = {
        "checkpoint": checkpoint.name,
        "weights": weights._asdict(),
        "workload": workload,
        "items": {
            "count": len(items),
            "choices": len(rows_of(items)),
            "tokens": useful_tokens(items),
        },
        "slow_items": min(slow_items, n_items) if slow else None,
        "rounds": rounds,
        "one_at_a_time": one_at_a_time,
        **setup.machine,
        "gemm_flops": contest.gemm[0],
        "gemm": contest.gemm[1],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "engines": contest.records(weights),
    }
    setup.write("scoring", result, markdown(result))


if __name__ == "__main__":
    main()
