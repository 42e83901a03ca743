"""``likra-lite inspect``."""

from __future__ import annotations

import click

from .kinds import Registered
from .options import debug_option, items_argument, model_option, threads_option

__all__ = ["inspect"]

SHOWN = 5  # ids named in an error


@click.command()
@items_argument
@click.option("--id", "name", metavar="ID", help="The id of the item.")
@click.option(
    "--index", type=click.IntRange(min=0), metavar="N", help="Its position, counted from 0."
)
@model_option
@click.option(
    "--mode",
    type=Registered("scoring.modes:MODES"),
    help="What is scored.  [default: what is in force in the model folder]",
)
@click.option(
    "--alpha",
    type=float,
    help="Weight of the negative head.  [default: what is in force in the model folder]",
)
@threads_option
@debug_option
def inspect(
    items: str,
    name: str | None,
    index: int | None,
    model: str | None,
    mode: str | None,
    alpha: float | None,
    n_threads: int | None,
) -> None:
    """Show one item token by token, and which tokens decide.

    For every choice, the log-probability of each of its tokens under the base model and the
    heads, its part in the choice's score, and its share of the margin between the chosen
    answer and the right one, or the second where the chosen one is right.
    """
    from dataclasses import replace

    from likra_lite.scoring.decision import Decision
    from likra_lite.scoring.explain import explain_item
    from likra_lite.scoring.margin import margin_text
    from likra_lite.validation import check_number

    from .opening import find_item, open_model, warn_of_bundled_model

    if (name is None) == (index is None):
        raise click.UsageError("give --id or --index, one of the two")
    if alpha is not None:
        check_number("alpha", alpha)
    warn_of_bundled_model(model, items)
    item = find_item(items, name, index, SHOWN)
    scorer, decision, weight, _ = open_model(model, n_threads, cached=False)
    if mode is not None:
        length = decision.normalization if isinstance(decision, Decision) else "none"
        decision = Decision(mode, weight, length)
    if alpha is not None:
        if not isinstance(decision, Decision):
            raise click.UsageError("fitted weights are in force, without an alpha: give --mode")
        decision = replace(decision, alpha=alpha)
    click.echo(margin_text(explain_item(scorer, decision, item)))
