"""``likra-lite evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .options import cache_option, debug_option, items_argument, model_option, threads_option

__all__ = ["evaluate"]


@click.command()
@items_argument
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Use the first N items only.", metavar="N"
)
@threads_option
@cache_option
@debug_option
def evaluate(
    items: str,
    model: str | None,
    as_json: bool,
    limit: int | None,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Tell the accuracy of every mode that the model supports.

    One pass over ITEMS, a file or "demo" for the bundled test items, gives accuracy with
    its standard error, raw and per character, for base and pmi, and for the modes of the
    heads that were fitted. Every item needs an answer.
    """
    from likra_lite.progress import progress_bar
    from likra_lite.questions.item import answer_indices
    from likra_lite.scoring.selection import evaluate_modes

    from .opening import open_model, read_answered, warn_of_bundled_model
    from .tables import accuracy_line, mode_table

    warn_of_bundled_model(model, items)
    scorer, decision, alpha = open_model(model, n_threads, cached)
    answered = read_answered(items, "test")[:limit]
    with progress_bar(len(answered), "scoring", show=True) as bar:
        table = scorer.table(answered, advance=bar.update)
    y = answer_indices(answered)
    rows = evaluate_modes(table, y, alpha)
    if as_json:
        content = {
            "items": len(answered),
            "in_force": asdict(decision),
            "modes": [asdict(row) for row in rows],
        }
        click.echo(json.dumps(content, indent=2))
        return
    click.echo(f"accuracy on {len(answered)} items, with standard errors")
    click.echo(mode_table(rows))
    line = accuracy_line(decision, table, y)
    click.echo(f"in force: {decision}: {line}")
