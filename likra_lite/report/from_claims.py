"""The demo's results as a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..experiments import Claims, Observation, name_of
from ..experiments.claims import RATIO_MODES
from .captions import WHISKERS, bands
from .contents import DotPlot, DotRow, Level, Line, LineChart, Point, Report, mean_points
from .paper import PAPER
from .summary import Curves, findings, summarize

__all__ = ["report_of_claims"]

ORDER = ("likra", "base-likra", "sft", "pos-base")


def report_of_claims(
    claims: Claims,
    title: str,
    command: str,
    setup: Sequence[tuple[str, str]] = (),
) -> Report:
    """Arrange what :func:`likra_lite.experiments.check_claims` measured.

    Parameters
    ----------
    claims : Claims
    title : str
    command : str
        What repeats it.
    setup : sequence of (str, str)
        Names and values: which items, which model.

    Returns
    -------
    Report
    """
    n_seeds = len({row.draw for row in claims.curve})
    alpha = next(row.alpha for row in claims.curve if row.alpha is not None)
    about = f"{claims.n_test:,} test items, alpha {alpha:g}"
    return Report(
        title=title,
        sentences=tuple(line.replace("+-", "\N{PLUS-MINUS SIGN}") for line in findings(claims)),
        command=command,
        setup=(
            *setup,
            ("Test items", f"{claims.n_test:,}"),
            ("Alpha", f"{alpha:g}"),
            ("Draws", f"{n_seeds} of examples and their wrong answers"),
        ),
        curve=LineChart(
            "Learning curve",
            "examples",
            "accuracy",
            _lines(summarize(claims.curve), ORDER, n_seeds),
            _levels(claims),
            f"{about}. {bands(n_seeds)} {WHISKERS}",
        ),
        controls=_controls(claims, n_seeds, f"{about}. {bands(n_seeds)}"),
        paper=PAPER,
        kinds=_kinds(claims, n_seeds),
        trajectories=_trajectories(claims, n_seeds),
    )


def _lines(curves: Curves, names: Iterable[str], n_seeds: int) -> tuple[Line, ...]:
    return tuple(
        Line(
            name,
            tuple(
                Point(size, e.accuracy, e.deviation, e.standard_error, n_seeds)
                for size, e in curves[name].items()
            ),
        )
        for name in names
        if name in curves
    )


def _levels(claims: Claims) -> tuple[Level, ...]:
    named = [Level(name_of(r.mode, r.normalization), r.accuracy) for r in claims.free]
    return (*named, Level("chance", claims.chance))


def _controls(claims: Claims, n_seeds: int, about: str) -> tuple[LineChart, ...]:
    asked, hidden = summarize(claims.curve), summarize(claims.control)
    charts = []
    for mode in RATIO_MODES:
        both = {"question shown": asked[mode], "answer only": hidden[mode]}
        lines = _lines(both, both, n_seeds)
        levels = (Level("chance", claims.chance),)
        charts.append(LineChart(mode, "examples", "accuracy", lines, levels, about))
    return tuple(charts)


def _kinds(claims: Claims, n_seeds: int) -> tuple[DotPlot, ...]:
    size = claims.kinds[0].n_items
    weight = "each kind with an alpha of its own, chosen on unused training items"
    if claims.kinds_alpha != "auto":
        weight = f"alpha {claims.kinds_alpha}"
    seeds = f"Small rings are the {n_seeds} draws, dots their means." if n_seeds > 1 else ""
    plots = []
    for mode in RATIO_MODES:
        mine = [row for row in claims.kinds if row.mode == mode]
        best = name_of(claims.best_free.mode, claims.best_free.normalization)
        plots.append(
            DotPlot(
                f"{mode}, {size} wrong answers",
                mode,
                "accuracy",
                _dot_rows(mine, n_seeds),
                (Level(best, claims.best_free.accuracy), Level("chance", claims.chance)),
                f"{claims.n_test:,} test items, {weight}. {seeds} {WHISKERS}".replace("  ", " "),
            )
        )
    return tuple(plots)


def _dot_rows(rows: Sequence[Observation], n_seeds: int) -> tuple[DotRow, ...]:
    kinds = summarize(rows, by="negatives")
    found = []
    for name, curve in kinds.items():
        (estimate,) = curve.values()
        values = tuple(row.accuracy for row in rows if row.negatives == name)
        shown = values if n_seeds > 1 else ()
        found.append(DotRow(name, estimate.accuracy, shown, estimate.standard_error))
    return tuple(found)


def _trajectories(claims: Claims, n_seeds: int) -> tuple[LineChart, ...]:
    rows = claims.trajectories
    groups = list(dict.fromkeys(row.group for row in rows))
    groups.sort(key=lambda group: group != "right")
    heads = (("positive", "right"), ("negative", "wrong"))
    charts = []
    for head, fitted_on in heads:
        lines = []
        for group in groups:
            values: dict[int, list[float]] = {}
            for row in rows:
                if row.group == group and row.head in (head, "base"):
                    values.setdefault(row.n_items, []).append(row.log_likelihood)
            lines.append(Line(group, mean_points(values)))
        charts.append(
            LineChart(
                f"{head.capitalize()} head, fitted on {fitted_on} answers",
                "examples",
                "nats per answer",
                tuple(lines),
                caption=f"Means over the answers of {claims.n_test:,} test items. "
                + bands(n_seeds),
            )
        )
    return tuple(charts)
