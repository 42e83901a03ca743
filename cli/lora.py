"""The options of LoRA training, which several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from likra_lite.recipe import LoraRecipe

__all__ = ["is_main_process", "lora_options", "take_recipe"]

Command = Callable[..., Any]

OPTIONS = {
    "rank": click.option(
        "--rank",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Of the low-rank matrices.",
    ),
    "lora_alpha": click.option(
        "--lora-alpha",
        type=click.FloatRange(min=0, min_open=True),
        default=8.0,
        show_default=True,
        help="Scale of the low-rank matrices, times the rank.",
    ),
    "dropout": click.option(
        "--dropout",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="On their input.",
    ),
    "target_modules": click.option(
        "--target-modules", metavar="NAME,...", help="Matrices to adapt.  [default: the MLPs']"
    ),
    "top_layers": click.option(
        "--top-layers",
        type=click.IntRange(min=1),
        help="Adapt only so many layers, the last ones.  [default: all]",
    ),
    "learning_rate": click.option(
        "--learning-rate", type=click.FloatRange(min=0, min_open=True), default=1e-4
    ),
    "schedule": click.option(
        "--schedule", type=click.Choice(["constant", "linear", "cosine"]), default="constant"
    ),
    "warmup": click.option(
        "--warmup", type=click.IntRange(min=0), default=0, show_default=True, help="Steps."
    ),
    "batch_size": click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Examples in a step.",
    ),
    "epochs": click.option("--epochs", type=click.IntRange(min=1), default=1, show_default=True),
    "objective": click.option(
        "--objective",
        type=click.Choice(["likelihood", "unlikelihood", "choices", "dpo"]),
        default="likelihood",
        show_default=True,
        help="likelihood trains a head on right and one on wrong answers; the rivals train one.",
    ),
    "precision": click.option(
        "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto"
    ),
    "gradient_checkpointing": click.option(
        "--gradient-checkpointing", is_flag=True, help="Less memory, more time."
    ),
    "max_tokens": click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        default=4096,
        show_default=True,
        help="Tokens in one pass of one process.",
    ),
    "patience": click.option(
        "--patience",
        type=click.IntRange(min=1),
        help="Stop once held-out accuracy has not risen for so many looks.  [default: never]",
    ),
}


def lora_options(command: Command) -> Command:
    """Add the options of :class:`likra_lite.recipe.LoraRecipe` to a command."""
    for option in reversed(OPTIONS.values()):
        command = option(command)
    return command


def take_recipe(parameters: dict[str, Any], seed: int, context: click.Context) -> LoraRecipe | None:
    """Take the recipe's settings out of a command's parameters; None without LoRA.

    Raises
    ------
    click.UsageError
        If some are given without LoRA.
    """
    settings = {name: parameters.pop(name) for name in OPTIONS}
    if parameters["adapter"] != "lora":
        for name in OPTIONS:
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} is a setting of LoRA; add --adapter lora"
                )
        return None
    from likra_lite.recipe import LoraRecipe

    if settings["target_modules"] is not None:
        settings["target_modules"] = settings["target_modules"].split(",")
    return LoraRecipe(seed=seed, **settings)


def is_main_process() -> bool:
    """Return whether this is the process that writes and prints, under ``accelerate launch``."""
    return os.environ.get("RANK", "0") == "0"
