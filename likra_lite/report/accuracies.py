"""Accuracy against examples, controls, kinds of negatives and settings, as charts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np

from .captions import NOT_TESTED, WHISKERS, bands
from .charts import DotPlot, DotRow, Level, Line, LineChart, mean_points
from .measured import RATIOS, Fit, Measured, Row

__all__ = ["control_charts", "curve_chart", "kind_plots", "sweep_charts"]

FITTED = ("likra", "base-likra", "sft", "pos-base")
CONTROLS = {"none": "question shown", "hidden": "answer only", "shuffled": "shuffled"}
ALPHAS = tuple(np.round(np.arange(0.0, 1.55, 0.1), 2).tolist())


def _about(measured: Measured, n_seeds: int) -> str:
    return f"{measured.how}. {bands(n_seeds)} {WHISKERS}"


def _levels(measured: Measured) -> dict[str, Level]:
    """Return the accuracies of what needs no examples, and of a guess, by name."""
    shares = {name: float(measured.correct[name].mean()) for name in measured.free}
    return {
        name: Level(name, share) for name, share in (shares | {"chance": measured.chance}).items()
    }


def _lines(rows: Iterable[Row], names: Iterable[str], x: str, key: str) -> list[Line]:
    """Return a line for each name under a key, if there are rows of it."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[key], []).append(row)
    lines = []
    for name in names:
        values: dict[float, list[float]] = {}
        errors: dict[float, list[float]] = {}
        for row in grouped.get(name, []):
            values.setdefault(row[x], []).append(row["accuracy"])
            errors.setdefault(row[x], []).append(row["standard_error"])
        if values:
            lines.append(Line(name, mean_points(values, errors)))
    return lines


def curve_chart(measured: Measured) -> LineChart:
    """Return accuracy against examples."""
    lines = _lines(measured.standard_rows(), FITTED, "n_items", "mode")
    levels = tuple(_levels(measured).values())
    about = _about(measured, len(measured.largest))
    return LineChart("Learning curve", "examples", "accuracy", tuple(lines), levels, about)


def control_charts(measured: Measured) -> tuple[LineChart, ...]:
    """Return the same with the question hidden, and with a wrong one, if that was measured."""
    if set(measured.results.controls) <= {"none"}:
        return ()
    rows = [row for control in CONTROLS for row in measured.standard_rows(control)]
    chance = Level("chance", measured.chance)
    about = _about(measured, len(measured.largest))
    charts = []
    for mode in RATIOS:
        mine = (row for row in rows if row["mode"] == mode)
        lines = tuple(
            Line(CONTROLS[line.name], line.points)
            for line in _lines(mine, CONTROLS, "n_items", "control")
        )
        charts.append(LineChart(mode, "examples", "accuracy", lines, (chance,), about))
    return tuple(charts)


def kind_plots(measured: Measured) -> tuple[DotPlot, ...]:
    """Return accuracy by kind of negatives, at the size that has most kinds, if any has two."""
    found, size = measured.kinds_rows, measured.kinds_size
    kinds = sorted({row["negatives"] for row in found})
    if len(kinds) < 2:
        return ()
    levels = _levels(measured)
    plots = []
    for mode in RATIOS:
        mine = [row for row in found if row["mode"] == mode]
        rows = []
        for line in _lines(mine, kinds, "n_items", "negatives"):
            (point,) = line.points
            values = [row["accuracy"] for row in mine if row["negatives"] == line.name]
            seeds = tuple(values) if len(values) > 1 else ()
            rows.append(DotRow(line.name, point.y, seeds, point.error))
        several = "Rings are seeds, filled marks their means. " if rows[0].values else ""
        plots.append(
            DotPlot(
                f"{mode}, {size:,} examples",
                mode,
                "accuracy",
                tuple(rows),
                (levels[measured.base], levels["chance"]),
                f"{measured.how_kinds}. {several}{WHISKERS} {NOT_TESTED}",
            )
        )
    return tuple(plots)


def sweep_charts(measured: Measured) -> tuple[LineChart, ...]:
    """Return accuracy against alpha, contamination and number of negatives."""
    found = _levels(measured)
    levels = found[measured.base], found["pmi"]
    rows = [row for row in measured.observe(measured.largest, ALPHAS, RATIOS) if row["n_items"]]
    about = (
        f"{measured.size:,} examples, {measured.n_test:,} test items. "
        f"{bands(len(measured.largest))} {WHISKERS} Read off the test items: it tells how much "
        "alpha matters, not which to take; an alpha chosen here would look better than it is."
    )
    lines = tuple(_lines(rows, RATIOS, "alpha", "mode"))
    title = "Weight of the negative head"
    return (
        LineChart(title, "alpha", "accuracy", lines, levels, about, log2=False),
        *_sweep(
            measured, "contamination", "n_negatives", "Right answers among the wrong ones",
            "share of right answers", levels,
        ),
        *_sweep(
            measured, "n_negatives", "contamination", "Number of wrong answers",
            "wrong answers per example", levels,
        ),
    )  # fmt: skip


def _sweep(
    measured: Measured, field: str, other: str, title: str, label: str, levels: tuple[Level, ...]
) -> list[LineChart]:
    """Return a chart of what differs in one field, for the settings that have most of it."""
    plain = {"contamination": 0.0, "n_negatives": 1}[other]

    def setting(fit: Fit) -> tuple[Any, ...]:
        return fit.n_items, fit.negatives

    fits = [f for f in measured.fits if f.control == "none" and getattr(f, other) == plain]
    grouped = [list(g) for _, g in groupby(sorted(fits, key=setting), key=setting)]
    if not grouped:
        return []
    best = max(grouped, key=lambda group: len({getattr(fit, field) for fit in group}))
    if len({getattr(fit, field) for fit in best}) < 2:
        return []
    rows = [row for row in measured.observe(best, (measured.alpha,), RATIOS) if row["n_items"]]
    lines = tuple(_lines(rows, RATIOS, field, "mode"))
    n_seeds = len({fit.seed for fit in best})
    about = (
        f"{best[0].n_items:,} examples, negatives {best[0].negatives}, {_about(measured, n_seeds)}"
    )
    return [LineChart(title, label, "accuracy", lines, levels, about, log2=False)]
