"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from .kinds import NumberOrAuto, Registered

__all__ = [
    "cache_option",
    "check_decision_options",
    "cluster_option",
    "contamination_option",
    "debug_option",
    "decision_options",
    "items_argument",
    "jobs_option",
    "model_option",
    "n_negatives_option",
    "out_option",
    "prompt_options",
    "reading",
    "reading_options",
    "strict_option",
    "threads_option",
    "together",
]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*options: Decorator) -> Decorator:
    """Return what gives a command several options, in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


model_option: Decorator = click.option(
    "--model",
    metavar="DIR",
    type=click.Path(),
    help="Model folder, written by export or fit.  [default: the bundled tiny model]",
)
threads_option: Decorator = click.option(
    "--threads",
    "n_threads",
    type=click.IntRange(min=1),
    help="Threads to use.  [default: the physical cores available]",
)
jobs_option: Decorator = click.option(
    "--jobs",
    "n_jobs",
    type=click.IntRange(min=1),
    help="Processes that score at the same time, and share the threads.  [default: 1]",
)
cluster_option: Decorator = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Scheduler of a Dask cluster that does the work, such as tcp://10.0.0.1:8786.",
)
out_option: Decorator = click.option(
    "--out", required=True, metavar="DIR", type=click.Path(), help="Model folder to write."
)
n_negatives_option: Decorator = click.option(
    "--n-negatives",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Wrong answers per item.",
)
contamination_option: Decorator = click.option(
    "--contamination",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="Share of wrong answers replaced by right ones, for experiments.",
)
strict_option: Decorator = click.option(
    "--strict",
    is_flag=True,
    help="Stop with an error at an item that the model cannot read.",
)
cache_option: Decorator = click.option(
    "--no-cache",
    "cached",
    flag_value=False,
    default=True,
    help="Compute everything again, and keep nothing on disk.",
)
debug_option: Decorator = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Show the traceback of an error.",
)


prompt_options = together(
    click.option(
        "--prompt",
        help="question, completion, letters, chat for the model's chat template, or a template "
        "with {question} and, if wanted, {context}.  [default: the model's own]",
    ),
    click.option(
        "--answer-delimiter",
        metavar="TEXT",
        help="Text between prompt and answer.  [default: a space; nothing with chat]",
    ),
)


decision_options = together(
    click.option(
        "--mode",
        type=Registered("scoring.modes:MODES", first="auto"),
        default="auto",
        show_default=True,
        help="What is scored; auto weighs all of it, and lengths, as held-out answers tell.",
    ),
    click.option(
        "--alpha",
        type=NumberOrAuto(),
        default="auto",
        show_default=True,
        help="Weight of the negative head in a mode; auto chooses it on held-out answers.",
    ),
    click.option(
        "--normalization",
        type=Registered("scoring.lengths:NORMALIZATIONS", last="auto"),
        default="none",
        show_default=True,
        help="Length that the scores of a mode are divided by.",
    ),
)


READING = "likra_lite.reading"  # in the context of a command: how its files of items are to be read


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(READING, {})[parameter.name] = value


def reading() -> dict[str, Any]:
    """Return the options of reading that the running command was given."""
    context = click.get_current_context(silent=True)
    return {} if context is None else dict(context.meta.get(READING, {}))


def _reading_option(name: str, text: str, **how: Any) -> Decorator:
    return click.option(name, expose_value=False, callback=_keep, help=text, **how)


reading_options = together(
    _reading_option(
        "--answers",
        "How answers are written.  [default: the one way that fits a whole file]",
        type=Registered("questions.answers:CONVENTIONS"),
    ),
    _reading_option(
        "--delimiter",
        "Character between the cells of a table, or tab.  [default: found out]",
        metavar="CHARACTER",
    ),
    _reading_option(
        "--encoding",
        "Encoding of text files.  [default: UTF-8, UTF-16 with a mark, or cp1252 for tables]",
        metavar="NAME",
    ),
    _reading_option(
        "--labels",
        "File with the answers, one on each line, for items that have none.",
        metavar="FILE",
        type=click.Path(),
    ),
)
items_argument = together(
    click.argument("items", type=click.Path(allow_dash=True)), reading_options
)


def check_decision_options(context: click.Context) -> None:
    """Raise an error if what is of a mode is out of range, or given without a mode."""
    from likra_lite.validation import check_number_or_auto

    check_number_or_auto("alpha", context.params["alpha"])
    if context.params["mode"] != "auto":
        return
    for name in ("alpha", "normalization"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} is of a mode, and fitted weights see to it themselves: give --mode too"
            )
