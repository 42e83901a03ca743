"""Tables and a chart of characters, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..experiments import Claims, Observation, name_of
from .summary import Curves, Estimate, findings, mean_log_likelihood, summarize

__all__ = ["chart", "report", "table", "tables"]

CHART_ROWS = 14
LEAST_SPAN = 0.1  # of accuracy, from the top to the bottom: noise should look like noise
CELL = 6  # characters between two sizes of the chart


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns, the first to the left and the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def chart(curves: Curves, marks: dict[str, str]) -> str:
    """Draw accuracy against the number of examples, one mark for each curve.

    Parameters
    ----------
    curves : dict
        See :func:`likra_lite.report.summary.summarize`; a curve whose only size is 0 needs
        no examples and becomes a level line.
    marks : dict of str to str
        A character for each curve to be drawn, in order: later ones are drawn on top.

    Returns
    -------
    str
    """
    sizes = sorted({size for name in marks for size in curves[name] if size})
    levels = [e.accuracy for name in marks for e in curves[name].values()]
    high = max(levels)
    span = max(high - min(levels), LEAST_SPAN)
    grid = [[" "] * (CELL * len(sizes)) for _ in range(CHART_ROWS)]

    def row_of(estimate: Estimate) -> list[str]:
        return grid[round((high - estimate.accuracy) / span * (CHART_ROWS - 1))]

    for name, mark in marks.items():
        if set(curves[name]) == {0}:
            row = row_of(curves[name][0])
            row[:] = [mark if place % 2 == 0 else " " for place in range(len(row))]
    for name, mark in marks.items():
        for place, size in enumerate(sizes):
            if size in curves[name]:
                row_of(curves[name][size])[CELL * place + CELL // 2] = mark
    lines = [
        f"{high - span * index / (CHART_ROWS - 1):6.2f} |{''.join(row)}".rstrip()
        for index, row in enumerate(grid)
    ]
    axis = "".join(str(size).center(CELL) for size in sizes)
    key = "   ".join(f"{mark} {name}" for name, mark in marks.items())
    return "\n".join([*lines, " " * 7 + "+" + "-" * len(grid[0]), " " * 8 + axis.rstrip(), key])


MARKS = {"sft": "S", "likra": "L", "base-likra": "B"}
LINES = (".", "-")  # of the base model, and of the best without examples


def report(claims: Claims) -> str:
    """Return tables, chart and findings as text.

    Parameters
    ----------
    claims : Claims

    Returns
    -------
    str
    """
    findings_in_words = "\n".join(findings(claims))
    return f"{tables(claims, with_chart=True)}\n\n{findings_in_words}"


def tables(claims: Claims, with_chart: bool = False) -> str:
    """Return every number as text.

    Parameters
    ----------
    claims : Claims
    with_chart : bool, default=False
        Whether a chart of characters belongs to it.

    Returns
    -------
    str
    """
    alpha = next(row.alpha for row in claims.curve if row.alpha is not None)
    several = len({row.draw for row in claims.curve}) > 1
    spread = " (standard deviation between draws)" if several else ""
    curve = summarize(claims.curve)
    free = {_name(row): {0: _estimate_of(row)} for row in claims.free}
    lines = dict.fromkeys(["base", _name(claims.best_free)])
    marks = dict(zip(lines, LINES, strict=False)) | MARKS
    sections = [
        f"Accuracy on {claims.n_test} test items +- standard error{spread}; alpha {alpha:g}",
        "without examples: "
        + ", ".join(map(_named, claims.free))
        + f", a guess {claims.chance:.3f}",
        _curve(curve),
        *([chart(free | curve, marks)] if with_chart else []),
        "The same with the question hidden, the answer-only control",
        f"without examples: {_named(claims.control_free[0])}",
        _curve(summarize(claims.control)),
        _kinds(claims),
        _trajectories(claims),
    ]
    return "\n\n".join(sections)


def _name(row: Observation) -> str:
    return name_of(row.mode, row.normalization)


def _estimate_of(row: Observation) -> Estimate:
    return Estimate(row.accuracy, row.standard_error, None)


def _named(row: Observation) -> str:
    return f"{_name(row)} {_estimate_of(row)}"


def _curve(curve: Curves) -> str:
    sizes = list(next(iter(curve.values())))
    rows = [[str(size), *(str(curve[mode][size]) for mode in curve)] for size in sizes]
    return table(["examples", *curve], rows)


def _kinds(claims: Claims) -> str:
    size = claims.kinds[0].n_items
    modes = list(dict.fromkeys(row.mode for row in claims.kinds))
    by_mode = {
        mode: summarize([row for row in claims.kinds if row.mode == mode], by="negatives")
        for mode in modes
    }
    rows = [
        [kind, *(str(by_mode[mode][kind][size]) for mode in modes)] for kind in by_mode[modes[0]]
    ]
    chosen = claims.kinds_alpha == "auto"
    how = ", each kind with its own alpha, chosen on unused training items" if chosen else ""
    return f"Which wrong answers teach, {size} of them{how}\n\n" + table(
        ["negatives", *modes], rows
    )


def _trajectories(claims: Claims) -> str:
    groups = list(dict.fromkeys(row.group for row in claims.trajectories))
    sizes = sorted({row.n_items for row in claims.trajectories} - {0})

    def cells(head: str, size: int) -> list[str]:
        values = [mean_log_likelihood(claims.trajectories, head, [g], size) for g in groups]
        return [f"{value:.2f}" for value in values]

    rows = [["base", "0", *cells("base", 0)]]
    for head in ("positive", "negative"):
        rows += [[head, str(size), *cells(head, size)] for size in sizes]
    return "Mean log-likelihood of the test answers, in nats\n\n" + table(
        ["head", "examples", *groups], rows
    )
