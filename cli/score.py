"""``likra-lite score``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import click

from .options import cache_option, debug_option, items_argument, model_option, threads_option

__all__ = ["score"]


@click.command()
@items_argument
@model_option
@click.option(
    "--out", metavar="FILE", type=click.Path(), help="File to write.  [default: standard output]"
)
@threads_option
@cache_option
@debug_option
def score(
    items: str, model: str | None, out: str | None, n_threads: int | None, cached: bool
) -> None:
    """Score ITEMS, a file or "demo", with the model and the mode that were fitted.

    Writes one JSON object per item: id (its position where it has none), prediction (an
    index), scores, probabilities, and log_likelihoods, in nats, of every head used. A
    folder without heads scores with the base model. Items need no answer.

    After Ctrl-C, what is done is in FILE.partial.
    """
    from likra_lite.progress import progress_bar
    from likra_lite.storage import atomic_text, partial_path

    from .opening import check_outputs, open_model, stream_items, warn_of_bundled_model

    check_outputs({"--out": out}, {"ITEMS": items})
    warn_of_bundled_model(model, items)
    scorer, decision, _ = open_model(model, n_threads, cached)
    total, incoming = stream_items(items, "test")
    done = 0
    try:
        with (
            progress_bar(total, "scoring", show=True) as bar,
            nullcontext(sys.stdout) if out is None else atomic_text(out) as stream,
        ):
            for record in _records(scorer, decision, incoming, bar.update):
                stream.write(json.dumps(record) + "\n")
                done += 1
    except KeyboardInterrupt:
        if out is not None:
            kept = partial_path(out)
            click.echo(f"likra-lite: {done} of {total} items are scored in {kept}", err=True)
        raise


def _records(scorer: Any, decision: Any, items: Any, advance: Any) -> Iterator[dict[str, Any]]:
    from likra_lite.ratio import MODES

    heads = MODES[decision.mode].heads
    position = 0
    for chunk, table in scorer.stream(items, heads, advance):
        columns = {
            "scores": table.split(decision.scores(table)),
            "probabilities": table.split(decision.probabilities(table)),
        }
        by_head = {head: table.split(column) for head, column in table.heads.items()}
        predictions = decision.predict(table).tolist()
        for row, item in enumerate(chunk):
            yield {
                "id": position if item.id is None else item.id,
                "prediction": predictions[row],
                **{name: values[row].tolist() for name, values in columns.items()},
                "log_likelihoods": {head: rows[row].tolist() for head, rows in by_head.items()},
            }
            position += 1
