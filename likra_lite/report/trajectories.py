"""What becomes of the likelihood of answers as heads are fitted, as charts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .charts import Line, LineChart, mean_points

__all__ = ["MeanLogLikelihood", "trajectory_charts"]

HEADS = {"positive": "right", "negative": "wrong"}
NAMES = {"other": "other question"}


class MeanLogLikelihood(NamedTuple):
    """The mean log-likelihood of a group of test answers under one head of one fit.

    Attributes
    ----------
    n_items : int
        Examples, 0 for the base model.
    head : str
        ``base``, ``positive`` or ``negative``.
    group : str
    value : float
        In nats per answer.
    """

    n_items: int
    head: str
    group: str
    value: float


def trajectory_charts(rows: Iterable[MeanLogLikelihood], caption: str) -> tuple[LineChart, ...]:
    """Return, for each head, the log-likelihoods and their distance from the base model's.

    Parameters
    ----------
    rows : iterable of MeanLogLikelihood
        Several rows of one group, head and number of examples are seeds.
    caption : str

    Returns
    -------
    tuple of LineChart
        Positive and negative head, then the change of either.
    """
    found = list(rows)
    groups = sorted(dict.fromkeys(row.group for row in found), key=lambda group: group != "right")
    base = {row.group: row.value for row in found if row.head == "base"}
    charts = []
    for change in (False, True):
        for head, fitted_on in HEADS.items():
            lines = []
            for group in groups:
                values: dict[float, list[float]] = {}
                for row in found:
                    if row.group == group and row.head in (head, "base"):
                        value = row.value - base[group] if change else row.value
                        values.setdefault(row.n_items, []).append(value)
                lines.append(Line(NAMES.get(group, group), mean_points(values)))
            title = f"{head.capitalize()} head, fitted on {fitted_on} answers"
            charts.append(
                LineChart(
                    f"{title}: change" if change else title,
                    "examples",
                    "nats per answer, change" if change else "nats per answer",
                    tuple(lines),
                    caption=caption,
                )
            )
    return tuple(charts)
