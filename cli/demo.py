"""``likra-lite demo``."""

from __future__ import annotations

import shlex
import sys
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
    help='Items to test on; "demo" for the bundled ones.',
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
    help="Numbers of examples.  [default: 8, 16, 32, ... as far as there are items]",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    help="Weight of the negative head.",
)
@click.option("--png", metavar="FILE", type=click.Path(), help="Picture to write.")
@click.option("--html", metavar="FILE", type=click.Path(), help="Page to write.")
@threads_option
@debug_option
def demo(
    items: str,
    test_items: str,
    model: str | None,
    draws: int,
    sizes: str | None,
    alpha: float,
    png: str | None,
    html: str | None,
    n_threads: int | None,
) -> None:
    """Show on a thousand test questions what a model learns from wrong answers.

    Fits on growing numbers of examples and prints the accuracy of every mode, the
    answer-only control, which wrong answers teach most, and what happens to the likelihood
    of right and wrong answers. Without options it takes half a minute, with a tiny bundled
    model that knows a small made-up world. --items, --test and --model do the same for
    questions and a model of your own. --png and --html need the extra "report".
    """
    from likra_lite.errors import LikraError, import_extra
    from likra_lite.experiments import Bench, check_claims, curve_sizes
    from likra_lite.experiments.claims import number_of_fits
    from likra_lite.progress import progress_bar
    from likra_lite.report.text import report
    from likra_lite.scoring import ChoiceScorer
    from likra_lite.storage import write_bytes

    from .opening import open_model, read_answered

    if png or html:
        import_extra("matplotlib", "report")
    start = time.perf_counter()
    training, test = read_answered(items, "train"), read_answered(test_items, "test")
    wanted = curve_sizes(len(training)) if sizes is None else _sizes(sizes)
    if wanted[-1] > len(training):
        raise LikraError(f"got {wanted[-1]} examples in --sizes but there are {len(training)}")
    scorer, _, _ = open_model(model, n_threads)
    hidden = ChoiceScorer(scorer.model, scorer.prompt.without_question())
    with progress_bar(2 * (len(training) + len(test)), "reading", show=True) as bar:
        bench, control = (
            Bench(one, training, test, n_threads=n_threads, advance=bar.update)
            for one in (scorer, hidden)
        )
    seeds = range(draws)
    with progress_bar(number_of_fits(bench, wanted, seeds), "fitting", True, "fit") as bar:
        claims = check_claims(bench, control, wanted, seeds, alpha, bar.update)
    click.echo(report(claims))
    if png:
        from likra_lite.report.figure import png as draw

        write_bytes(png, draw(claims))
    if html:
        from likra_lite.report.page import page

        command = shlex.join(["likra-lite", *sys.argv[1:]])
        write_bytes(html, page(claims, "What wrong answers teach", command).encode())
    click.echo(f"\n{time.perf_counter() - start:.1f} s")


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers, such as 8,64") from None
    if sizes[0] < 2:
        raise click.BadParameter(f"got {sizes[0]} examples; at least 2 are needed")
    return sizes
