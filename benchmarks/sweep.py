"""Speed and memory of likra-lite over numbers of items and of choices.

    pip install -e ".[export]"
    python benchmarks/sweep.py --out results

Every line is a process of its own that scores random questions with the lengths of ARC once,
after a warm-up on a few. The first lines vary the items at four choices each, the others the
choices at the smallest number of items. The table goes to stdout, progress to stderr; ``--out``
writes ``sweep.md`` and ``sweep.json``.
"""

from __future__ import annotations

from typing import Any

import click
from engines import ENGINES, Engine, LikraLite
from setup import CONTEXT, Setup, check_window, progress, with_setup
from tables import markdown_table, megabytes, number
from workers import Worker
from workloads import zero_shot

TREE_ENGINES = [name for name, engine in ENGINES.items() if not engine.one_row_per_choice]
USUAL_CHOICES = 4
WARM_UP_ITEMS = 8


def _integers(_context: object, _parameter: object, value: str) -> list[int]:
    numbers = [int(part) if part.strip().isdigit() else 0 for part in value.split(",")]
    if min(numbers) < 1:
        raise click.BadParameter("expected positive numbers with commas between")
    return numbers


def measure(engine: Engine, n_items: int, n_choices: int) -> dict[str, Any]:
    """Score questions in a fresh process and return what it took."""
    items = zero_shot(n_items, engine.checkpoint.vocabulary, n_choices)
    check_window(items, engine.checkpoint)
    with Worker(engine) as worker:
        worker.call("load")
        worker.call("score", items[:WARM_UP_ITEMS], None)
        done = worker.call("timed", items, None)
    return {
        "items": n_items,
        "choices": n_choices,
        "seconds": done.seconds,
        "peak_bytes": done.peak_bytes,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    rows = [
        [
            f"{line['items']:,}",
            str(line["choices"]),
            number(line["seconds"]),
            number(line["items"] / line["seconds"]),
            number(line["items"] * line["choices"] / line["seconds"]),
            megabytes(line["peak_bytes"]),
        ]
        for line in result["lines"]
    ]
    header = ["items", "choices each", "s", "items/s", "choices/s", "peak MB"]
    return (
        f"**{result['engine']}, {result['checkpoint']}**: {result['cpu']}, "
        f"{result['threads']} threads.\n\n{markdown_table(header, rows)}\n"
    )


@click.command(context_settings=CONTEXT)
@click.option("--items", "items", callback=_integers, default="100,1000,10000")
@click.option("--choices", "choices", callback=_integers, default="2,4,8,16")
@click.option("--engine", "name", type=click.Choice(TREE_ENGINES), default=LikraLite.name)
@with_setup
def main(
    items: list[int],
    choices: list[int],
    name: str,
    setup: Setup,
) -> None:
    """Measure likra-lite over numbers of items and of choices."""
    sizes = [(n, USUAL_CHOICES) for n in items] + [(min(items), n) for n in choices]
    lines = []
    with setup.checkpoint() as checkpoint:
        engine = ENGINES[name](checkpoint, setup.threads)
        progress(f"{name}: preparing")
        with Worker(engine) as worker:
            worker.call("prepare")
        for n_items, n_choices in dict.fromkeys(sizes):
            progress(f"{n_items:,} items, {n_choices} choices each")
            lines.append(measure(engine, n_items, n_choices))
    result = {
        "checkpoint": checkpoint.name,
        "engine": name,
        **setup.machine,
        "lines": lines,
    }
    setup.write("sweep", result, markdown(result))


if __name__ == "__main__":
    main()
