"""``likra-lite import-adapters``."""

from __future__ import annotations

from typing import Any

import click

from .options import (
    cache_option,
    debug_option,
    decision_options,
    items_argument,
    out_option,
    prompt_options,
    threads_option,
)

__all__ = ["import_adapters"]


@click.command("import-adapters")
@items_argument
@click.option(
    "--model",
    required=True,
    metavar="CHECKPOINT",
    help="Checkpoint that the adapters were trained on: a local folder, or an id on the hub.",
)
@click.option("--revision", help="Branch, tag or commit, if CHECKPOINT is on the hub.")
@click.option(
    "--positive",
    metavar="DIR",
    type=click.Path(),
    help="PEFT folder of the adapter for right answers.",
)
@click.option(
    "--negative",
    metavar="DIR",
    type=click.Path(),
    help="PEFT folder of the adapter for wrong answers.",
)
@out_option
@decision_options
@prompt_options
@threads_option
@cache_option
@debug_option
def import_adapters(items: str, model: str, out: str, cached: bool, **parameters: Any) -> None:
    """Make a model folder of LoRA adapters that PEFT saved elsewhere.

    ITEMS are held-out questions with answers, which choose the mode, alpha and the temperature;
    not those that the adapters were trained on. It needs the extra:
    pip install "likra-lite[train]".
    """
    from likra_lite.engine.folder_writing import check_folder_target
    from likra_lite.errors import import_extra
    from likra_lite.scoring.decision import Decision

    from .opening import read_answered
    from .tables import accuracy_line

    check_folder_target(out)
    imports: Any = import_extra("likra_lite.lora_training.imports", "train")
    held_out = read_answered(items, "test")
    classifier = imports.import_adapters(model, held_out, cache=cached, verbose=True, **parameters)
    classifier.save(out)
    decision = classifier.decision_
    heads = " and ".join(classifier.scorer_.fitted)
    click.echo(f"imported {heads}: {out}\nin force: {decision}")
    how = "; auto has chosen on them" if "auto" in (classifier.mode, classifier.alpha) else ""
    click.echo(f"accuracy on {len(held_out)} items ({items}{how}):")
    base = Decision("base", normalization=decision.normalization)
    for rule in dict.fromkeys((base, decision)):
        line = accuracy_line(rule, classifier.held_out_, classifier.held_out_y_)
        click.echo(f"  {rule.mode:<12}{line}")
