"""``likra-lite score``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
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
@click.option(
    "--coverage",
    type=float,
    help="Add to each record the set of choices that holds the right one with this probability.",
)
@click.option(
    "--error-rate",
    type=float,
    help="Add to each record whether to abstain, for at most this share of wrong answers.",
)
@threads_option
@cache_option
@debug_option
def score(
    items: str,
    model: str | None,
    out: str | None,
    coverage: float | None,
    error_rate: float | None,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Score ITEMS, a file or "demo", with the model and the mode that were fitted.

    Writes one JSON object per item: id (its position where it has none), prediction (an
    index), scores, probabilities, and log_likelihoods, in nats, of every head used. A
    folder without heads scores with the base model. Items need no answer.

    --coverage adds set (indices, best first), and --error-rate adds abstain (true or false; the
    share of wrong answers among the others is at most as given, with confidence .9). Both are
    calibrated on the held-out items of the fit, and hold for items from the same source.

    After Ctrl-C, what is done is in FILE.partial.
    """
    from likra_lite.atomic import atomic_text, partial_path
    from likra_lite.progress import progress_bar

    from .opening import check_outputs, open_model, stream_items, warn_of_bundled_model

    check_outputs({"--out": out}, {"ITEMS": items})
    warn_of_bundled_model(model, items)
    scorer, decision, _ = open_model(model, n_threads, cached)
    uncertainty = _uncertainty(scorer.model.folder, decision, coverage, error_rate)
    total, incoming = stream_items(items, "test")
    done = 0
    try:
        with (
            progress_bar(total, "scoring", show=True) as bar,
            nullcontext(sys.stdout) if out is None else atomic_text(out) as stream,
        ):
            for record in _records(scorer, decision, uncertainty, incoming, bar.update):
                stream.write(json.dumps(record) + "\n")
                done += 1
    except KeyboardInterrupt:
        if out is not None:
            kept = partial_path(out)
            click.echo(f"likra-lite: {done} of {total} items are scored in {kept}", err=True)
        raise


def _uncertainty(
    folder: Any, decision: Any, coverage: float | None, error_rate: float | None
) -> dict[str, Callable[[Any], Any]]:
    """Return further columns of a record, calibrated on the folder's held-out items."""
    columns: dict[str, Callable[[Any], Any]] = {}
    if coverage is None and error_rate is None:
        return columns
    from likra_lite.heads.saved import read_held_out
    from likra_lite.scoring.conformal import (
        ABSTAINED,
        abstention_threshold,
        predict_or_abstain,
        prediction_sets,
        set_threshold,
    )

    held_out, y = read_held_out(folder)
    if coverage is not None:
        least = set_threshold(held_out, decision, y, coverage)
        columns["set"] = lambda table: prediction_sets(table, decision, least)
    if error_rate is not None:
        sure = abstention_threshold(held_out, decision, y, error_rate)
        columns["abstain"] = lambda table: predict_or_abstain(table, decision, sure) == ABSTAINED
    return columns


def _records(
    scorer: Any, decision: Any, uncertainty: Any, items: Any, advance: Any
) -> Iterator[dict[str, Any]]:
    from likra_lite.scoring.decision import MODES

    heads = MODES[decision.mode].heads
    position = 0
    for chunk, table in scorer.stream(items, heads, advance):
        columns = {
            "scores": table.split(decision.scores(table)),
            "probabilities": table.split(decision.probabilities(table)),
            **{name: column(table) for name, column in uncertainty.items()},
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
