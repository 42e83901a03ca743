"""``likra-lite score``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from .options import (
    Registered,
    cache_option,
    debug_option,
    items_argument,
    model_option,
    prompt_options,
    strict_option,
    threads_option,
)

__all__ = ["score"]


@click.command()
@items_argument
@model_option
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="File to write, or - for standard output.  [default: standard output]",
)
@click.option(
    "--format",
    "form",
    type=Registered("cli.records:FORMATS"),
    help="How records are written.  [default: by the ending of --out, or jsonl]",
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
@prompt_options
@strict_option
@threads_option
@cache_option
@debug_option
def score(
    items: str,
    model: str | None,
    out: str | None,
    form: str | None,
    coverage: float | None,
    error_rate: float | None,
    prompt: str | None,
    answer_delimiter: str | None,
    strict: bool,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Score ITEMS, a file or "demo", with the model and the mode that were fitted.

    Writes one record per item: id (its position where it has none), prediction (an index),
    its letter and text, right (where the answer is known, whether it was predicted), scores,
    probabilities, and log_likelihoods, in nats, of every head used. A folder without heads
    scores with the base model. Items need no answer.

    An item that the model cannot read, as one of its choices is longer than the model's window,
    gets a record with an error and no prediction. It is told of on stderr, and the exit status
    is 3 at the end.

    --coverage adds set (indices, best first), and --error-rate adds abstain (true or false; the
    share of wrong answers among the others is at most as given, with confidence .9). Both are
    calibrated on the held-out items of the fit, and hold for items from the same source.

    CSV has a column for every field; lists in it are JSON. Parquet needs the extra: pip install
    "likra-lite[data]". After Ctrl-C, what is done is in FILE.partial.
    """
    from likra_lite.atomic import partial_path
    from likra_lite.progress import progress_bar

    from .opening import check_outputs, open_model, stream_items, warn_of_bundled_model
    from .records import format_of, is_standard_output, open_records
    from .unscored import Unscored

    printed = is_standard_output(out)
    check_outputs({"--out": None if printed else out}, {"ITEMS": items})
    warn_of_bundled_model(model, items)
    scorer, decision, _, rule = open_model(model, n_threads, cached, prompt, answer_delimiter)
    uncertainty = _uncertainty(scorer.model.folder, decision, rule, coverage, error_rate)
    total, incoming = stream_items(items, "test")
    unscored = Unscored()
    done = 0
    try:
        with (
            progress_bar(total, "scoring", show=True) as bar,
            open_records(out, format_of(out, form), _types(decision, uncertainty)) as writer,
        ):
            for chunk in scorer.stream(incoming, decision.heads, bar.update, strict):
                unscored.add(chunk)
                writer.write(list(_records(chunk, done, decision, uncertainty)))
                done += len(chunk.items)
    except KeyboardInterrupt:
        if not printed:
            kept = partial_path(str(out))
            click.echo(f"likra-lite: {done} of {total} items are scored in {kept}", err=True)
        raise
    unscored.tell(done)


def _uncertainty(
    folder: Any, decision: Any, rule: Any, coverage: float | None, error_rate: float | None
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
    unseen = rule.cross_fit(held_out, y)
    if coverage is not None:
        least = set_threshold(held_out, unseen, y, coverage)
        columns["set"] = lambda table: prediction_sets(table, decision, least)
    if error_rate is not None:
        sure = abstention_threshold(held_out, unseen, y, error_rate)
        columns["abstain"] = lambda table: predict_or_abstain(table, decision, sure) == ABSTAINED
    return columns


def _types(decision: Any, uncertainty: Any) -> dict[str, Any]:
    """Return the columns of a record, as :func:`likra_lite.cli.records.open_records` takes them."""
    added = {"set": [int], "abstain": bool}
    return {
        "id": str,
        "prediction": int,
        "letter": str,
        "text": str,
        "right": bool,
        "error": str,
        "scores": [float],
        "probabilities": [float],
        **{name: added[name] for name in uncertainty},
        "log_likelihoods": {head: [float] for head in decision.heads},
    }


def _records(chunk: Any, first: int, decision: Any, uncertainty: Any) -> Iterator[dict[str, Any]]:
    """Yield the records of a chunk whose first item has this position."""
    scored = iter(_scored(chunk, decision, uncertainty))
    problems = {} if chunk.problems is None else chunk.problems.problems
    for position, item in enumerate(chunk.items, start=first):
        record = {"id": position if item.id is None else item.id}
        if position in problems:
            yield {**record, "prediction": None, "error": problems[position]}
        else:
            yield {**record, **next(scored)}


def _scored(chunk: Any, decision: Any, uncertainty: Any) -> Iterator[dict[str, Any]]:
    from likra_lite.questions.answers import letter

    table = chunk.table
    if table is None:
        return
    columns = {
        "scores": table.split(decision.scores(table)),
        "probabilities": table.split(decision.probabilities(table)),
        **{name: column(table) for name, column in uncertainty.items()},
    }
    by_head = {head: table.split(column) for head, column in table.heads.items()}
    predictions = decision.predict(table).tolist()
    for row, (index, prediction) in enumerate(zip(chunk.scored, predictions, strict=True)):
        item = chunk.items[index]
        known = {} if item.answer is None else {"right": prediction == item.answer}
        yield {
            "prediction": prediction,
            "letter": letter(prediction),
            "text": item.text_of(prediction),
            **known,
            **{name: values[row].tolist() for name, values in columns.items()},
            "log_likelihoods": {head: rows[row].tolist() for head, rows in by_head.items()},
        }
