"""The options of LoRA training, which several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .kinds import Registered
from .options import together

if TYPE_CHECKING:
    from likra_lite.heads.recipe import LoraRecipe

__all__ = ["heads_options", "is_main_process", "lora_options", "take_recipe"]

Command = Callable[..., Any]

COUNT = click.IntRange(min=1)
POSITIVE = click.FloatRange(min=0, min_open=True)


def _option(name: str, kind: Any, default: Any, text: str, **how: Any) -> Callable[..., Any]:
    shown = default is not None
    return click.option(
        f"--{name}", type=kind, default=default, show_default=shown, help=text, **how
    )


# By the names of the recipe's settings.
OPTIONS = {
    "rank": _option("rank", COUNT, 8, "Rank of the change that LoRA makes to a weight matrix."),
    "lora_alpha": _option(
        "lora-alpha", POSITIVE, 8.0, "Scale of that change: this number over the rank."
    ),
    "dropout": _option(
        "dropout",
        click.FloatRange(0, 1),
        0.0,
        "Share of the inputs to LoRA that training sets to zero.",
    ),
    "target_modules": _option(
        "target-modules",
        str,
        None,
        "Weight matrices that LoRA changes, such as up_proj.  [default: those of the MLPs]",
        metavar="NAME,...",
    ),
    "top_layers": _option(
        "top-layers", COUNT, None, "Change the last N layers only.  [default: all]"
    ),
    "learning_rate": _option(
        "learning-rate",
        POSITIVE,
        None,
        "Learning rate of Adam.  [default: found in a few trial steps]",
    ),
    "schedule": _option(
        "schedule",
        Registered("heads.recipe:SCHEDULES"),
        "linear",
        "Course of the learning rate after the warmup.",
    ),
    "warmup": _option(
        "warmup", click.IntRange(min=0), 0, "Steps in which the learning rate rises from zero."
    ),
    "weight_decay": _option("weight-decay", click.FloatRange(min=0), 0.0, "Weight decay of AdamW."),
    "batch_size": _option("batch-size", COUNT, 8, "Examples per step, of all processes together."),
    "epochs": _option("epochs", COUNT, 1, "Passes over the examples."),
    "objective": _option(
        "objective",
        Registered("heads.recipe:OBJECTIVES"),
        "likelihood",
        "Loss to train with: likelihood trains one head on right and one on wrong answers, its "
        "rivals a single head on both.",
    ),
    "dpo_beta": _option(
        "dpo-beta", POSITIVE, 0.1, "Strength with which dpo holds on to the base model."
    ),
    "precision": _option(
        "precision",
        Registered("heads.recipe:PRECISIONS"),
        "auto",
        "Number format of the frozen weights; auto is bfloat16 on a GPU that has it.",
    ),
    "gradient_checkpointing": click.option(
        "--gradient-checkpointing",
        is_flag=True,
        help="Compute activations twice: less memory, more time.",
    ),
    "max_tokens": _option(
        "max-tokens",
        COUNT,
        4096,
        "Most tokens in one pass of one process; lower it if memory runs out.",
    ),
    "patience": _option(
        "patience",
        COUNT,
        None,
        "Stop when held-out accuracy, looked at after 8, 16, 32, ... examples, has not risen "
        "so many times in a row.  [default: never]",
    ),
}


lora_options = together(*OPTIONS.values())


AUTO = " auto is LoRA, as fit has it, if a model folder is given and can be trained, else output."


def heads_options(*kinds: str) -> Callable[[Command], Command]:
    """Give a command that measures heads their kind, the first by default, and LoRA's options."""
    adapter = click.option(
        "--adapter",
        type=click.Choice(kinds),
        default=kinds[0],
        show_default=True,
        help="Heads: output matrices, behind the model, or LoRA, inside it, which takes longer and "
        "learns more." + AUTO * ("auto" in kinds),
    )
    return together(adapter, lora_options)


def take_recipe(parameters: dict[str, Any], seed: int, context: click.Context) -> LoraRecipe | None:
    """Take the recipe's settings out of a command's parameters; None if none are wanted.

    With ``--adapter auto`` they are wanted if the user gives one.

    Raises
    ------
    click.UsageError
        If some are given with heads of another kind.
    """
    settings = {name: parameters.pop(name) for name in OPTIONS}
    given = [
        name
        for name in OPTIONS
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    adapter = parameters["adapter"]
    if given and adapter not in ("auto", "lora"):
        raise click.UsageError(
            f"--{given[0].replace('_', '-')} is a setting of LoRA; add --adapter lora"
        )
    if not given and adapter != "lora":
        return None
    from likra_lite.heads.recipe import LoraRecipe

    if settings["target_modules"] is not None:
        settings["target_modules"] = settings["target_modules"].split(",")
    return LoraRecipe(seed=seed, **settings)


def is_main_process() -> bool:
    """Return whether this is the process that writes and prints, under ``accelerate launch``."""
    return os.environ.get("RANK", "0") == "0"
