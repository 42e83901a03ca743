"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["cache_option", "debug_option", "items_argument", "model_option", "threads_option"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

items_argument: Decorator = click.argument("items", type=click.Path())
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
