"""``likra-lite evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .options import (
    cache_option,
    cluster_option,
    debug_option,
    items_argument,
    jobs_option,
    model_option,
    prompt_options,
    strict_option,
    threads_option,
)

__all__ = ["evaluate"]

TIE = 1e-3  # nats; what rounding leaves of a difference of 0


@click.command()
@items_argument
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Use the first N items only.", metavar="N"
)
@prompt_options
@strict_option
@jobs_option
@cluster_option
@threads_option
@cache_option
@debug_option
def evaluate(
    items: str,
    model: str | None,
    as_json: bool,
    limit: int | None,
    prompt: str | None,
    answer_delimiter: str | None,
    strict: bool,
    n_jobs: int | None,
    cluster: str | None,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Print the accuracy of every mode that the model supports.

    One pass over ITEMS, a file, a folder of files or "demo" for the bundled test items, gives
    accuracy with its standard error, raw and per character, for base and pmi, and for the modes
    of the heads that were fitted. Every item needs an answer. Items that the model cannot read,
    as one of their choices is longer than its window, do not count: they are told of on stderr,
    and the exit status is 3. After a kill, the same command finds what is done in the cache.

    --jobs scores in several processes, and --cluster on the workers of a Dask cluster (pip
    install "likra-lite[cluster]").
    """
    import numpy as np

    from likra_lite.errors import LikraError
    from likra_lite.progress import progress_bar
    from likra_lite.questions.inputs import answer_indices
    from likra_lite.scoring.jobs import stream_chunks
    from likra_lite.scoring.selection import evaluate_modes
    from likra_lite.scoring.table import LogLikelihoods

    from .opening import (
        open_model,
        read_answered,
        warn_of_bundled_model,
        warn_of_training_items,
    )
    from .running import on_cluster
    from .tables import accuracy_line, mode_table
    from .tally import Tally

    warn_of_bundled_model(model, items)
    scorer, decision, alpha, _ = open_model(model, n_threads, cached, prompt, answer_delimiter)
    answered = read_answered(items, "test")[:limit]
    warn_of_training_items(model, answered)
    with (
        on_cluster(cluster, n_jobs),
        progress_bar(len(answered), "scoring") as bar,
    ):
        chunks = list(stream_chunks(scorer, answered, None, n_jobs, bar.update, strict))
    tally = Tally()
    for chunk in chunks:
        tally.add(chunk)
    tally.warn(len(answered), scorer.model.manifest.max_length)
    scored = [chunk.items[index] for chunk in chunks for index in chunk.scored]
    if not scored:
        raise LikraError(f"no item can be scored; {tally.messages[0]}")
    table = LogLikelihoods.concatenate([chunk.table for chunk in chunks if chunk.table is not None])
    y = answer_indices(scored)
    rows = evaluate_modes(table, y, alpha)
    # Whole sentences have no question to leave out: every item would be a tie.
    telling = not np.allclose(table.head("base"), table.head("neutral"), rtol=0, atol=TIE)
    rows = [row for row in rows if row.mode != "pmi" or telling]
    if as_json:
        content = {
            "items": len(scored),
            "not_scored": tally.unscored,
            "in_force": {"mode": decision.name, **decision.to_json()},
            "modes": [asdict(row) for row in rows],
        }
        click.echo(json.dumps(content, indent=2))
        tally.tell(len(answered))
        return
    click.echo(f"accuracy on {len(scored)} items, with standard errors")
    click.echo(mode_table(rows))
    line = accuracy_line(decision, table, y)
    click.echo(f"in force: {decision}: {line}")
    tally.tell(len(answered))
