"""The rows of the study as charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jobs import NEGATIVES
from tables import WITHOUT_HEADS

from likra_lite.report.charts import Chart, DotPlot, DotRow, Level, Line, LineChart, mean_points

__all__ = ["figures"]

Rows = Sequence[Mapping[str, Any]]
CURVES = ("auto", "likra", "sft", "base-likra", WITHOUT_HEADS)
HEADS = ("positive", "negative")


def figures(accuracies: Rows, likelihoods: Rows, first: str) -> dict[str, list[Chart]]:
    """Return charts by the name of their file: those of one file stand side by side.

    Kinds of wrong answers, and likelihoods, are shown for the first set of questions.
    """
    plain = [r for r in accuracies if r["control"] == "none" and r["negatives"] in ("", "own")]
    names = list(dict.fromkeys(row["questions"] for row in plain))
    found: dict[str, list[Chart]] = {name: [_curve(plain, name)] for name in names}
    found["negatives"] = _negatives(accuracies, first)
    found["likelihoods"] = [_trajectory(likelihoods, first, head) for head in HEADS]
    return {name: charts for name, charts in found.items() if charts}


def _curve(rows: Rows, questions: str) -> LineChart:
    here = [row for row in rows if row["questions"] == questions]
    base = next(row["accuracy"] for row in here if row["decision"] == "base")
    return LineChart(
        questions,
        "questions fitted",
        "accuracy",
        tuple(_line(here, "decision", name, "accuracy") for name in CURVES),
        (Level("base", base),),
    )


def _negatives(rows: Rows, questions: str) -> list[Chart]:
    """Return what likra gets by kind of wrong answers, at every size that has several kinds."""
    chosen = [
        row
        for row in rows
        if (row["questions"], row["control"]) == (questions, "none")
        and row["decision"] in ("likra", "sft")
    ]
    sizes = sorted({row["size"] for row in chosen if row["negatives"] != "own"})
    charts: list[Chart] = []
    for size in sizes:
        here = [row for row in chosen if row["size"] == size]
        shares = {
            kind: [
                (row["accuracy"], row["standard_error"])
                for row in here
                if (row["negatives"], row["decision"]) == (kind, "likra")
            ]
            for kind in NEGATIVES
        }
        sft = [row["accuracy"] for row in here if row["decision"] == "sft"]
        dots = [
            DotRow(kind, float(np.mean(found)), tuple(found), float(np.mean(errors)))
            for kind, pairs in shares.items()
            if pairs
            for found, errors in [tuple(zip(*pairs, strict=True))]
        ]
        level = Level("sft", float(np.mean(sft)))
        title = f"likra on {questions}, {size:,} questions"
        charts.append(DotPlot(title, "likra", "accuracy", tuple(dots), (level,)))
    return charts


def _trajectory(rows: Rows, questions: str, head: str) -> LineChart:
    """Return what becomes of the likelihood of kinds of answers under a head."""
    here = [
        row
        for row in rows
        if row["questions"] == questions
        and row["negatives"] in ("", "own")
        and row["head"] in ("base", head)
    ]
    kinds = dict.fromkeys(row["answers"] for row in here)
    return LineChart(
        f"{head} head, {questions}",
        "questions fitted",
        "log-likelihood, nats per answer",
        tuple(_line(here, "answers", kind, "log_likelihood") for kind in kinds),
    )


def _line(rows: Iterable[Mapping[str, Any]], column: str, name: str, measured: str) -> Line:
    values: dict[float, list[float]] = {}
    for row in rows:
        if row[column] == name:
            values.setdefault(row["size"], []).append(row[measured])
    return Line(name, mean_points(values))
