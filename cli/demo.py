"""``likra-lite demo``."""

from __future__ import annotations

import shlex
import time

import click

from .options import debug_option, model_option, threads_option

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
@model_option
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often examples are drawn anew.",
)
@click.option(
    "--sizes",
    metavar="N,N,...",
    help="Numbers of examples.  [default: 1, 2, 4, 8, ... as far as there are items]",
)
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
@threads_option
@debug_option
@click.pass_obj
def demo(
    arguments: list[str],
    items: str,
    test_items: str,
    model: str | None,
    draws: int,
    sizes: str | None,
    alpha: float,
    png: str | None,
    page_file: str | None,
    n_threads: int | None,
) -> None:
    """Show on a thousand test questions what a model learns from wrong answers.

    Fits on growing numbers of examples and prints the accuracy of every mode, the
    answer-only control, which wrong answers teach most, and what happens to the likelihood
    of right and wrong answers. Without options it takes half a minute, with a tiny bundled
    model that knows a small made-up world. --items, --test and --model do the same for
    questions and a model of your own. --png needs the extra "report".
    """
    from likra_lite.atomic import write_bytes
    from likra_lite.errors import LikraError, import_extra
    from likra_lite.experiments import Bench, check_claims, curve_sizes, number_of_fits
    from likra_lite.progress import progress_bar
    from likra_lite.report.claims_text import report
    from likra_lite.validation import check_number

    from .opening import (
        check_outputs,
        is_bundled,
        open_model,
        read_answered,
        warn_of_bundled_model,
    )

    start = time.perf_counter()
    if png:
        import_extra("matplotlib", "report")
    if is_bundled(items) != is_bundled(test_items):
        raise LikraError("--items and --test go together; give two files, or neither")
    warn_of_bundled_model(model, items)
    check_number("alpha", alpha)
    check_outputs({"--png": png, "--report": page_file}, {"--items": items, "--test": test_items})
    wanted = None if sizes is None else _sizes(sizes)
    training, test = read_answered(items, "train"), read_answered(test_items, "test")
    wanted = wanted or curve_sizes(len(training))
    if wanted[-1] > len(training):
        raise LikraError(f"got {wanted[-1]} examples in --sizes but there are {len(training)}")
    scorer, _, _ = open_model(model, n_threads, cached=False)
    with progress_bar(2 * (len(training) + len(test)), "reading", show=True) as bar:
        bench = Bench(scorer, training, test, advance=bar.update)
        control = bench.without_question(bar.update)
    seeds = range(draws)
    with progress_bar(number_of_fits(bench, wanted, seeds), "fitting", True, "fit") as bar:
        claims = check_claims(bench, control, wanted, seeds, alpha, bar.update)
    sources = (
        f"{len(training)} training items ({items}), {len(test)} test items ({test_items}), "
        f"{model or 'the bundled model'}"
    )
    click.echo(f"{sources}\n\n{report(claims)}")
    if png or page_file:
        from likra_lite.report.from_claims import report_of_claims, with_items
        from likra_lite.report.page import page

        command = shlex.join(["likra-lite", *arguments])
        contents = report_of_claims(claims, "What wrong answers teach", command, sources)
        if png:
            from likra_lite.report.figure import picture

            write_bytes(png, picture(contents.sections[0].charts))
        if page_file:
            with progress_bar(len(test), "reading tokens", show=True) as bar:
                contents = with_items(contents, bench, claims, bar.update)
            write_bytes(page_file, page(contents).encode())
    click.echo(f"\n{time.perf_counter() - start:.1f} s")


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        problem = f"{text!r} is not a list of numbers, such as 8,64"
        raise click.BadParameter(problem, param_hint="--sizes") from None
    if sizes[0] < 1:
        problem = f"got {sizes[0]} examples; at least 1 is needed"
        raise click.BadParameter(problem, param_hint="--sizes")
    return sizes
