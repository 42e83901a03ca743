"""``likra-lite demo``."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from .curve import sizes_option
from .options import debug_option, model_option, reading_options, threads_option
from .recipe import heads_options, take_recipe

__all__ = ["demo"]


@click.command()
@click.option(
    "--items",
    default="demo",
    show_default=True,
    metavar="FILE",
    help='Items to fit on; "demo" for the bundled ones.',
)
@click.option(
    "--test",
    "test_items",
    default="demo",
    show_default=True,
    metavar="FILE",
    help='Items to test on; "demo" or "handwritten" for bundled ones.',
)
@reading_options
@model_option
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often examples are drawn anew.",
)
@sizes_option
@click.option(
    "--alpha",
    type=float,
    default=0.9,
    show_default=True,
    help="Weight of the negative head; the paper finds 0.9 to 1.0 best.",
)
@click.option("--png", metavar="FILE", type=click.Path(), help="Picture to write.")
@click.option(
    "--report", "page_file", metavar="FILE", type=click.Path(), help="Page to write (HTML)."
)
@heads_options("output", "lora")
@threads_option
@debug_option
@click.pass_obj
def demo(
    arguments: list[str],
    /,
    items: str,
    test_items: str,
    model: str | None,
    draws: int,
    sizes: tuple[int, ...] | None,
    alpha: float,
    png: str | None,
    page_file: str | None,
    n_threads: int | None,
    **heads: Any,
) -> None:
    """Show on a thousand test questions what a model learns from wrong answers.

    Fits on growing numbers of examples and prints the accuracy of every mode, the
    answer-only control, which wrong answers teach most, and what happens to the likelihood
    of right and wrong answers. Without options it takes half a minute, with a tiny bundled
    model that knows a small made-up world. --items, --test and --model do the same for
    questions and a model of your own. --png needs the extra "report".
    """
    from likra_lite.errors import LikraError, import_extra
    from likra_lite.experiments import curve_sizes, points_of_claims
    from likra_lite.report.demo_text import demo_text
    from likra_lite.report.measured import Measured
    from likra_lite.system.scratch import temporary_folder
    from likra_lite.validation import check_number

    from .opening import check_outputs, is_bundled, open_experiment
    from .running import run_points, write_page

    start = time.perf_counter()
    if png:
        import_extra("matplotlib", "report")
    if is_bundled(items) != is_bundled(test_items):
        raise LikraError("--items and --test go together; give two files, or neither")
    check_number("alpha", alpha)
    recipe = take_recipe(heads, 0, click.get_current_context())
    check_outputs({"--png": png, "--report": page_file}, {"--items": items, "--test": test_items})
    experiment = open_experiment(
        items, [test_items], model, n_threads, cached=False, unrelated=None, recipe=recipe
    )
    (test,) = experiment.tests.values()
    count = len(experiment.items)
    points = points_of_claims(experiment.items, sizes or curve_sizes(count), range(draws))
    experiment.check(points)
    with temporary_folder() as folder:
        results = experiment.create(folder, shlex.join(["likra-lite", *arguments]))
        run_points(experiment, points, results, n_threads)
        measured = Measured.of_claims(results, test, alpha)
        sources = (
            f"{count} training items ({items}), {len(test)} test items ({test_items}), "
            f"{model or 'the bundled model'}"
        )
        click.echo(f"{sources}\n\n{demo_text(measured)}")
        if png or page_file:
            from likra_lite.report.from_results import report_of_claims

            contents = report_of_claims(measured, sources)
            if png:
                from likra_lite.report.figure import picture
                from likra_lite.system.atomic import write_bytes

                write_bytes(png, picture(contents.sections[0].charts))
            if page_file:
                write_page(page_file, contents, measured, experiment)
    click.echo(f"\n{time.perf_counter() - start:.1f} s")
