"""``likra-lite fit``."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .kinds import NumberOrAuto, Registered
from .options import (
    cache_option,
    check_decision_options,
    contamination_option,
    debug_option,
    decision_options,
    items_argument,
    n_negatives_option,
    out_option,
    prompt_options,
    threads_option,
)
from .recipe import is_main_process, lora_options, take_recipe

if TYPE_CHECKING:
    from likra_lite.estimator import LikraClassifier

__all__ = ["fit"]


@contextmanager
def _told_how_to_go_on(train_dir: str | None) -> Iterator[None]:
    """After a Ctrl-C in LoRA training, say that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        if train_dir is not None and Path(train_dir).is_dir():
            click.echo(f"kept in {train_dir}; the same command goes on from there", err=True)
        raise


@click.command()
@items_argument
@click.option(
    "--model",
    metavar="DIR",
    type=click.Path(),
    help="Model folder; for LoRA with PyTorch a checkpoint.  [default: the bundled tiny model]",
)
@out_option
@decision_options
@click.option(
    "--negatives",
    type=Registered("heads.negatives:NEGATIVES"),
    default="own",
    show_default=True,
    help="Which wrong answers the negative head learns.",
)
@n_negatives_option
@contamination_option
@click.option(
    "--penalty",
    type=NumberOrAuto(),
    default=100_000.0,
    show_default=True,
    help="Strength of the L2 penalty on the heads, in tokens; auto tries 10000, 100000, 1000000.",
)
@prompt_options
@click.option(
    "--n-examples",
    type=NumberOrAuto(int),
    default="auto",
    show_default=True,
    help="Items, drawn at random, that stand with their answers before every question and are "
    "fitted to no further. auto shows five of fewer than 40 if that is better, and else none.",
)
@click.option(
    "--limit", type=click.IntRange(min=2), help="Use the first N items only.", metavar="N"
)
@click.option(
    "--validation",
    metavar="FILE",
    type=click.Path(),
    help="Held-out items.  [default: a fifth of ITEMS; with output matrices, cross-fit them]",
)
@click.option(
    "--cv",
    type=click.IntRange(min=2),
    help="Folds of the cross-fit.  [default: 5, or 2 above 1000 items; none with LoRA]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of negatives, folds and examples.",
)
@click.option(
    "--adapter",
    type=Registered("heads.settings:ADAPTERS"),
    default="auto",
    show_default=True,
    help="Heads: LoRA, inside the model; output matrices, behind it; or none, to fit only the "
    "decision, in seconds. auto tries what is worth its cost and keeps the best.",
)
@click.option(
    "--train-dir",
    metavar="DIR",
    type=click.Path(),
    help="Where LoRA training keeps its states, to go on after an interrupt.  [default: OUT.train, "
    "which an auto fit removes at its end]",
)
@lora_options
@threads_option
@cache_option
@debug_option
@click.pass_context
def fit(
    context: click.Context,
    /,
    items: str,
    model: str | None,
    out: str,
    limit: int | None,
    validation: str | None,
    seed: int,
    cached: bool,
    train_dir: str | None,
    **parameters: Any,
) -> None:
    """Fit heads on ITEMS and write them, with the model, to a folder.

    ITEMS is a file of questions, such as a CSV of an exam or lines of JSON; inspect-file shows
    how it is read. Every item needs an answer. "demo" stands for the bundled items.

    By default, LoRA heads are trained inside the model, on the CPU, and used if they do best on
    held-out items; the table at the end says what was tried. The options from --rank to --patience
    belong to this training. A rerun with the same settings goes on where the last one stopped.
    With --adapter none, only the decision is fitted: how log-likelihoods and lengths are weighed.
    To train on GPUs, or with other objectives than likelihood, give
    a Hugging Face checkpoint as MODEL, a local folder or an id on the hub, and install the
    extra: pip install "likra-lite[train]". Several GPUs: accelerate launch --module
    likra_lite fit ...
    """
    from likra_lite.engine.folder_writing import check_folder_target
    from likra_lite.errors import DuplicateChoicesWarning
    from likra_lite.estimator import LikraClassifier

    from .opening import read_answered, warn_of_bundled_model
    from .tables import held_out_text, trials_text

    check_folder_target(out)
    check_decision_options(context)
    recipe = take_recipe(parameters, seed, context)
    warn_of_bundled_model(model, items)
    may_train = recipe is not None or parameters["adapter"] == "auto"
    passing = recipe is None and train_dir is None  # nobody asked for what training leaves
    if may_train and train_dir is None:
        train_dir = f"{out.rstrip('/')}.train"
    training = read_answered(items, "train")[:limit]
    held_out = None if validation is None else read_answered(validation, "test", False)
    classifier = LikraClassifier(
        model,
        random_state=seed,
        verbose=is_main_process(),
        cache=cached,
        recipe=recipe,
        train_dir=train_dir,
        **parameters,
    )
    if train_dir is not None and Path(train_dir).is_dir() and is_main_process():
        click.echo(f"going on from {train_dir}", err=True)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicateChoicesWarning)  # the reader has told the line
        with _told_how_to_go_on(train_dir):
            classifier.fit(training, X_validation=held_out)
    seconds = time.perf_counter() - start
    if not is_main_process():
        return
    classifier.save(out)
    if train_dir is not None and passing:
        shutil.rmtree(train_dir, ignore_errors=True)

    click.echo(f"fitted {_fitted(classifier)} in {seconds:.1f} s: {out}")
    if recipe is not None:
        click.echo(f"checkpoints and losses: {train_dir}")
    if classifier.trials_:
        click.echo(trials_text(classifier.trials_))
    click.echo(held_out_text(classifier, validation or _why_held_out(classifier)))


def _fitted(classifier: LikraClassifier) -> str:
    """Return what was fitted, in words."""
    heads = list(classifier.scorer_.fitted)
    items = f"{classifier.n_items_} items"
    if classifier.n_examples_:
        items += f", {classifier.n_examples_} others shown before every question"
    if not heads:
        return f"the decision on {items}"
    kind = {"lora": "LoRA head", "output": "output matrix"}[classifier.adapter_]
    plural = {"LoRA head": "LoRA heads", "output matrix": "output matrices"}[kind]
    named = " and ".join(heads)
    return f"{named} {plural if len(heads) > 1 else kind} on {items}"


def _why_held_out(classifier: LikraClassifier) -> str:
    """Return why the held-out items count as such, without validation items."""
    if classifier.adapter_ == "none":
        return "no head has seen any"
    if classifier.adapter_ == "lora" and classifier.cv is None:
        return "held out of the training"
    return "cross-fitted"
