"""A folder of results as a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..experiments import Experiment
from ..scoring.lengths import mode_name
from .accuracies import control_charts, curve_chart, kind_plots, sweep_charts
from .captions import bands
from .charts import LineChart
from .confidence import ENOUGH, confidence_charts, with_temperature
from .contents import Report
from .findings import findings
from .forest import comparison_forest
from .measured import RATIOS, Measured
from .paper import PAPER
from .question_rows import item_rows
from .sentences import sentences, typeset
from .trajectories import MeanLogLikelihood, trajectory_charts

__all__ = ["report_of", "report_of_claims", "with_experiment"]

CONFIDENT = (*RATIOS, "sft", "base")  # modes whose abstention is shown


def report_of_claims(measured: Measured, sources: str) -> Report:
    """Return the demo's report, without the list of questions.

    Parameters
    ----------
    measured : Measured
        See :meth:`Measured.of_claims`.
    sources : str
        Which items, which model.
    """
    report = report_of(measured)
    return replace(
        report,
        title="What wrong answers teach",
        subtitle=sources[0].upper() + sources[1:],
        sentences=(report.sentences[0], *map(typeset, findings(measured))),
    )


def with_experiment(
    report: Report,
    measured: Measured,
    experiment: Experiment,
    read: Callable[[int], object] | None = None,
) -> Report:
    """Return the report with the items of the experiment's first test set, token by token.

    Parameters
    ----------
    report : Report
        See :func:`report_of`.
    measured : Measured
        On that test set.
    experiment : Experiment
    read : callable, optional
        Called with the number of items read: those of training, to fit one pair of heads again,
        and those of the test set.
    """
    results, fit = measured.results, measured.held_out_fit or measured.largest[0]
    table, y = results.table(measured.test, fit), results.y(measured.test)
    decision = measured.decision(fit, "likra")
    held_out, held_out_y = results.unused_table(fit)
    if len(held_out_y) >= ENOUGH:
        decision = with_temperature(decision, held_out, held_out_y)
    items = next(iter(experiment.tests.values()))
    scorer = experiment.fit(fit, results, read)
    return replace(
        report,
        items=item_rows(items, y, table, decision, scorer, read),
        decision=f"Answered by {mode_name('likra', measured.normalization)} at alpha "
        f"{decision.alpha:g} after {fit.n_items:,} examples, seed {fit.seed}.",
    )


def report_of(measured: Measured) -> Report:
    """Return the report without the list of questions."""
    about, n_seeds = measured.results.experiment, len(measured.largest)
    training, kinds = about["items"], kind_plots(measured)
    return Report(
        title=f"What wrong answers teach {about['model']['name']}",
        subtitle=(
            f"Fitted on up to {measured.size:,} of {training['count']:,} items "
            f"({training['name']}), drawn {n_seeds} times; tested on {measured.n_test:,} items "
            f"({measured.test})"
        ),
        sentences=tuple(sentences(measured, kinds)),
        command=about["begun"]["command"],
        setup=_setup(measured),
        curve=curve_chart(measured),
        controls=control_charts(measured),
        paper=PAPER,
        comparisons=comparison_forest(measured.comparisons, measured.size),
        kinds=kinds,
        sweeps=sweep_charts(measured),
        trajectories=_trajectories(measured),
        **_confidence(measured),
    )


def _setup(measured: Measured) -> tuple[tuple[str, str], ...]:
    """Return what was measured on what, with checksums and versions."""
    about = measured.results.experiment
    seeds = sorted({fit.seed for fit in measured.standard})
    sizes = sorted({fit.n_items for fit in measured.standard})
    test = about["tests"][measured.results.tests.index(measured.test)]
    overlap = measured.results.overlap(measured.test)
    shared = () if overlap is None else (("of them training items too", f"{overlap:,}"),)
    return (
        ("Model", f"{about['model']['name']}, {about['model']['precision']}"),
        ("Training items", f"{about['items']['name']}, {about['items']['count']:,}"),
        ("Test items", f"{measured.test}, {measured.n_test:,}"),
        *shared,
        ("Examples", ", ".join(f"{size:,}" for size in sizes)),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Fits", f"{len(measured.fits):,}"),
        ("Prompt", repr(about["prompt"])),
        ("Scores", mode_name("log-likelihoods", measured.normalization)),
        ("Heads", _heads(about)),
        ("Begun", about["begun"]["created"]),
        ("Versions", ", ".join(f"{k} {v}" for k, v in about["begun"]["versions"].items())),
        ("Checksum of the model", about["model"]["fingerprint"]),
        ("of the training items", about["items"]["sha256"]),
        ("of the test items", test["sha256"]),
    )


def _heads(about: dict[str, Any]) -> str:
    """Return what kind of heads were fitted, and how."""
    recipe = about.get("recipe")
    if recipe is None:
        return f"output matrices, penalty {about['penalty']:g}"
    given = recipe["learning_rate"]
    rate = "found in trial steps" if given is None else f"{given:g}"
    return (
        f"LoRA of rank {recipe['rank']}, learning rate {rate}, batches of {recipe['batch_size']}, "
        f"epochs {recipe['epochs']}"
    )


def _trajectories(measured: Measured) -> tuple[LineChart, ...]:
    """Return mean log-likelihoods of groups of answers under both heads."""
    return trajectory_charts(
        (
            MeanLogLikelihood(row["n_items"], row["head"], row["group"], row["log_likelihood"])
            for row in measured.trajectory_rows
        ),
        f"Answers to {measured.n_test:,} test items. {bands(len(measured.largest))}",
    )


def _confidence(measured: Measured) -> dict[str, Any]:
    """Return the charts of one fit's probabilities, by field of the report."""
    fit = measured.held_out_fit
    if fit is None:
        return {}
    return confidence_charts(
        *measured.results.unused_table(fit),
        measured.results.table(measured.test, fit),
        measured.results.y(measured.test),
        {mode: measured.decision(fit, mode) for mode in CONFIDENT},
    )._asdict()
