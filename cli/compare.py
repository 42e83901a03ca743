"""``likra-lite compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .curve import MODES, modes_option, negatives_option
from .kinds import NumberOrAuto, Registered
from .options import (
    cache_option,
    contamination_option,
    debug_option,
    n_negatives_option,
    reading_options,
    threads_option,
)

__all__ = ["compare"]


@click.command()
@click.argument("folder", type=click.Path())
@click.option("--items", metavar="FILE", type=click.Path(), help="Items, for a model folder.")
@reading_options
@click.option("--test", "test_name", metavar="NAME", help="Test set.  [default: the first]")
@click.option(
    "--size", type=click.IntRange(min=1), help="Number of examples.  [default: the largest]"
)
@modes_option
@click.option(
    "--reference",
    "references",
    type=MODES,
    multiple=True,
    default=("base", "sft"),
    show_default=True,
    help="What modes are compared with. May be repeated.",
)
@click.option(
    "--alpha",
    type=NumberOrAuto(),
    help="Weight of the negative head; auto chooses it on unused training items.  "
    "[default: 0.9, or that of the model folder]",
)
@click.option(
    "--normalization",
    type=Registered("scoring.lengths:NORMALIZATIONS"),
    help="Length that scores are divided by.  [default: none, or that of the model folder]",
)
@negatives_option
@n_negatives_option
@contamination_option
@click.option(
    "--control",
    type=click.Choice(["none", "hidden", "shuffled"]),
    default="none",
    show_default=True,
    help="What has become of the questions.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(),
    help="Page to write (HTML) of all that curve has measured; that of curve --report has the "
    "questions too.",
)
@threads_option
@cache_option
@debug_option
def compare(
    folder: str,
    items: str | None,
    test_name: str | None,
    size: int | None,
    modes: tuple[str, ...],
    references: tuple[str, ...],
    alpha: float | str | None,
    normalization: str | None,
    negatives: tuple[str, ...],
    n_negatives: int,
    contamination: float,
    control: str,
    report_file: str | None,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Compare modes on the same items: paired differences, intervals and tests.

    FOLDER has results of curve, where seeds are taken together and nothing is computed
    again; or it is a model folder, written by fit, that is tested on --items. Tells how much
    of a gain remains where the question was hidden, if curve has measured that.
    """
    from likra_lite.errors import LikraError
    from likra_lite.experiments import Results, is_results_folder
    from likra_lite.experiments.predictions import (
        Setting,
        correct_by_mode,
        largest_size,
        what_remains,
    )
    from likra_lite.experiments.text import comparison_text
    from likra_lite.scoring.columns import wrapped
    from likra_lite.scoring.comparisons import compare_modes

    if report_file is not None:
        from likra_lite.system.atomic import check_file_target

        check_file_target(report_file)
        if not is_results_folder(folder):
            raise LikraError(f"{folder} holds no results of curve; --report needs them")
    if not Path(folder).is_dir():
        raise LikraError(f"{folder} does not exist; expected a folder of curve or of fit")
    if not is_results_folder(folder):
        if items is None:
            raise LikraError(
                f"{folder} holds no results of curve; for a model folder, give --items FILE"
            )
        correct, like = _of_model(folder, items, modes, alpha, normalization, n_threads, cached)
        click.echo(f"{items}, {folder}, alpha {like.alpha:g}, scores {like.normalization}\n")
    else:
        if items is not None:
            raise LikraError(f"{folder} has results of its own test items; leave --items out")
        results = Results(folder)
        setting = Setting(
            test=test_name or results.tests[0],
            n_items=size or largest_size(results),
            control=control,
            negatives=negatives,
            n_negatives=n_negatives,
            contamination=contamination,
            alpha=0.9 if alpha is None else alpha,
            normalization=normalization or "none",
        )
        correct = correct_by_mode(results, setting, modes)
        weight = setting.alpha if isinstance(setting.alpha, str) else f"{setting.alpha:g}"
        click.echo(
            f"{setting.test}, {setting.n_items} examples of {results.name}, control {control}, "
            f"alpha {weight}\n"
        )
    known = [name for name in dict.fromkeys(references) if name in correct]
    comparisons = compare_modes(correct, known)
    click.echo(comparison_text(correct, comparisons))
    if report_file is not None:
        from likra_lite.report.from_results import report_of
        from likra_lite.report.measured import Measured
        from likra_lite.report.page import page
        from likra_lite.system.atomic import write_bytes

        measured = Measured(results, setting.test, setting.alpha, setting.normalization)
        write_bytes(report_file, page(report_of(measured)).encode())
    if is_results_folder(folder) and control == "none":
        remaining = what_remains(results, setting, comparisons)
        if not remaining and "hidden" in results.controls:
            click.echo("\nno gain was found, so none can remain with the question hidden")
        if remaining:
            click.echo("\nwith the question hidden, in fitting and testing")
            click.echo("\n".join(map(wrapped, remaining)))


def _of_model(
    folder: str,
    items: str,
    modes: tuple[str, ...],
    alpha: float | str | None,
    normalization: str | None,
    n_threads: int | None,
    cached: bool,
) -> Any:
    """Score items with a model folder and return which predictions of each mode are right."""
    from likra_lite.errors import LikraError
    from likra_lite.experiments.predictions import correct_of_table
    from likra_lite.progress import progress_bar
    from likra_lite.questions.inputs import answer_indices
    from likra_lite.scoring.decision import Decision

    from .opening import open_model, read_answered, warn_of_training_items

    if alpha == "auto":
        raise LikraError("alpha is never chosen on the items of the comparison; give a number")
    opened = open_model(folder, n_threads, cached)
    answered = read_answered(items, "test")
    warn_of_training_items(folder, answered)
    with progress_bar(len(answered), "scoring") as bar:
        table = opened.scorer.table(answered, advance=bar.update)
    length = opened.decision.reference.normalization if normalization is None else normalization
    like = Decision("base", opened.alpha if alpha is None else float(alpha), length)
    y = answer_indices(answered)
    correct = correct_of_table(table, y, [mode for mode in modes if mode != "auto"], like)
    if opened.decision.name == "auto":
        correct["auto"] = opened.decision.predict(table) == y
    return correct, like
