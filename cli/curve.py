"""``likra-lite curve``."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from typing import Any

import click
from click.core import ParameterSource

from .kinds import ListOf, ListOfRegistered, Registered
from .options import (
    cache_option,
    cluster_option,
    debug_option,
    items_argument,
    model_option,
    prompt_options,
    threads_option,
)
from .recipe import heads_options, take_recipe

__all__ = ["curve"]


def number_or_auto(text: str) -> float | str:
    """Read a number, or ``auto``."""
    return text if text == "auto" else float(text)


MODES = Registered("scoring.modes:MODES")
modes_option = click.option(
    "--modes",
    type=ListOfRegistered(Registered("scoring.modes:MODES", last="auto"), "modes"),
    default=lambda: MODES.choices,
    show_default="all but auto",
    help="What is scored; auto fits weights on unused training items.",
)
negatives_option = click.option(
    "--negatives",
    type=ListOfRegistered(Registered("heads.negatives:NEGATIVES"), "kinds"),
    default="own",
    show_default=True,
    help="Which wrong answers the negative head learns; with several kinds, each is measured.",
)
sizes_option = click.option(
    "--sizes",
    type=ListOf("N,...", int, "numbers, such as 8,64"),
    help="Numbers of examples.  [default: 1, 2, 4, 8, ... as far as there are items]",
)
alpha_option = click.option(
    "--alpha",
    "alphas",
    type=ListOf("A,...|auto", number_or_auto, "numbers, such as 0.5,0.9, or 'auto'"),
    default="0.9",
    show_default=True,
    help="Weights of the negative head; auto chooses it on unused training items.",
)
normalization_option = click.option(
    "--normalization",
    "normalizations",
    type=ListOfRegistered(Registered("scoring.lengths:NORMALIZATIONS"), "lengths"),
    default="none",
    show_default=True,
    help="Lengths that scores are divided by.",
)


@click.command()
@items_argument
@click.option(
    "--test",
    "test_items",
    multiple=True,
    metavar="FILE",
    help="Items to test on; again for more than one file.  [default: a fifth of ITEMS, on which "
    "nothing is fitted]",
)
@model_option
@sizes_option
@click.option(
    "--draws",
    "--seeds",
    "n_seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often examples are drawn anew, with the seeds 0, 1, ...",
)
@modes_option
@alpha_option
@normalization_option
@negatives_option
@click.option(
    "--n-negatives",
    type=ListOf("N,...", int, "numbers, such as 1,2"),
    default="1",
    show_default=True,
    help="Wrong answers per item.",
)
@click.option(
    "--contamination",
    type=ListOf("SHARE,...", float, "shares, such as 0,0.2"),
    default="0",
    show_default=True,
    help="Shares of wrong answers replaced by right ones.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    type=click.Choice(["hidden", "shuffled"]),
    help="Measure the same with questions hidden, or exchanged between items. May be repeated.",
)
@click.option(
    "--penalty",
    type=float,
    default=100_000.0,
    show_default=True,
    help="Strength of the L2 penalty on output matrices, in tokens.",
)
@heads_options("auto", "output", "lora")
@prompt_options
@click.option(
    "--limit", type=click.IntRange(min=2), help="Use the first N of ITEMS only.", metavar="N"
)
@click.option(
    "--jobs",
    "n_jobs",
    type=click.IntRange(min=1),
    help="Processes that fit at the same time.  [default: the physical cores available]",
)
@cluster_option
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(),
    help="Folder of results: what is finished there is not fitted again.",
)
@click.option("--csv", "csv_file", metavar="FILE", type=click.Path(), help="Tidy table to write.")
@click.option(
    "--trajectories",
    metavar="FILE",
    type=click.Path(),
    help="Tidy table to write, of what becomes of the likelihood of answers.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(),
    help="Page to write (HTML): charts, comparisons, every question of the first test set.",
)
@threads_option
@cache_option
@debug_option
@click.pass_obj
def curve(
    arguments: list[str],
    /,
    items: str,
    test_items: tuple[str, ...],
    model: str | None,
    sizes: tuple[int, ...] | None,
    n_seeds: int,
    modes: tuple[str, ...],
    alphas: tuple[float | str, ...],
    normalizations: tuple[str, ...],
    negatives: tuple[str, ...],
    n_negatives: tuple[int, ...],
    contamination: tuple[float, ...],
    controls: tuple[str, ...],
    penalty: float,
    prompt: str | None,
    answer_delimiter: str | None,
    limit: int | None,
    n_jobs: int | None,
    cluster: str | None,
    out: str | None,
    csv_file: str | None,
    trajectories: str | None,
    report_file: str | None,
    n_threads: int | None,
    cached: bool,
    **heads: Any,
) -> None:
    """Measure learning curves: accuracy against the number of examples, for every mode.

    Fits heads on growing parts of ITEMS and tests them on FILE, or on a fifth of ITEMS that is
    held out (always the same one; items that ask the same or share their choices are held out
    together), for every combination of sizes, seeds, kinds and numbers of negatives,
    contamination and controls. Modes, alphas and normalizations cost no fit. Prints means over
    seeds, with the standard deviation between them.

    LoRA heads take minutes where output matrices take seconds, and are those that teach real
    models something. The options from --rank to --patience are of their training; with
    --schedule constant, one training leaves the heads of all sizes that are powers of two.

    With --out, every fit is kept: after Ctrl-C, or to add sizes, seeds or controls, run
    the command again; compare tells which differences are real.
    """
    from likra_lite.errors import LikraError
    from likra_lite.experiments import curve_sizes, grid, observations, write_csv
    from likra_lite.experiments import (
        trajectories as trajectories_of,
    )
    from likra_lite.experiments.text import curve_text
    from likra_lite.experiments.tidy import check_decisions
    from likra_lite.system.scratch import temporary_folder

    from .opening import check_outputs, open_experiment
    from .running import on_cluster, run_points, write_page

    check_decisions(modes, alphas, normalizations)
    context = click.get_current_context()
    recipe: Any = take_recipe(heads, 0, context)
    penalized = context.get_parameter_source("penalty") is ParameterSource.COMMANDLINE
    if heads["adapter"] == "auto" and recipe is None and not penalized:
        recipe = "auto"
    inputs = {"ITEMS": items, **{f"--test {test}": test for test in test_items}}
    outputs = {"--csv": csv_file, "--trajectories": trajectories, "--report": report_file}
    check_outputs(outputs, inputs)
    experiment = open_experiment(
        items,
        test_items,
        model,
        n_threads,
        cached,
        prompt,
        answer_delimiter,
        limit,
        penalty=penalty,
        recipe=recipe,
    )
    count = len(experiment.items)
    seeds = range(n_seeds)
    points = grid(
        sizes or curve_sizes(count), seeds, negatives, n_negatives, contamination,
        ("none", *controls),
    )  # fmt: skip
    experiment.check(points)
    if "auto" in alphas and max(point.n_items for point in points) == count:
        raise LikraError(
            f"--alpha auto is chosen on unused training items, but a size of {count} uses all of "
            f"{items}; give numbers, or smaller --sizes"
        )
    with nullcontext(out) if out is not None else temporary_folder() as folder:
        results = experiment.create(folder, shlex.join(["likra-lite", *arguments]))
        try:
            with on_cluster(cluster, n_jobs):
                run_points(experiment, points, results, n_jobs)
        except KeyboardInterrupt:
            done = sum(map(results.has, points))
            kept = (
                "nothing is kept without --out"
                if out is None
                else f"{done} of {len(points)} fits are in {out}; the same command goes on"
            )
            click.echo(f"likra-lite: {kept}", err=True)
            raise
        rows = observations(results, modes, alphas, normalizations, points)
        click.echo(curve_text(rows))
        if csv_file:
            write_csv(csv_file, rows)
        if trajectories:
            write_csv(trajectories, trajectories_of(results, points))
        if report_file:
            from likra_lite.report.from_results import report_of
            from likra_lite.report.measured import Measured

            measured = Measured(results, results.tests[0], alphas[0], normalizations[0])
            write_page(report_file, report_of(measured), measured, experiment)
