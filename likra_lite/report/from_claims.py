"""The demo's results as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..experiments import Bench, Claims, Observation, name_of
from ..experiments.claims import RATIO_MODES
from ..experiments.identity import versions
from ..scoring.comparisons import compare_modes
from ..scoring.decision import Decision
from .captions import NOT_TESTED, WHISKERS, bands
from .charts import DotPlot, DotRow, Level, Line, LineChart, Point
from .confidence import ENOUGH, confidence_charts, with_temperature
from .contents import Report
from .forest import comparison_forest
from .paper import PAPER
from .question_rows import item_rows
from .sentences import headline, typeset
from .summary import Curves, findings, summarize
from .trajectories import MeanLogLikelihood, trajectory_charts

__all__ = ["report_of_claims", "with_items"]

ORDER = ("likra", "base-likra", "sft", "pos-base")


def report_of_claims(
    claims: Claims,
    title: str,
    command: str,
    sources: str,
) -> Report:
    """Arrange what :func:`likra_lite.experiments.check_claims` measured.

    Parameters
    ----------
    claims : Claims
    title : str
    command : str
        What repeats it.
    sources : str
        Which items, which model.

    Returns
    -------
    Report
    """
    n_seeds = len({row.draw for row in claims.curve})
    alpha = next(row.alpha for row in claims.curve if row.alpha is not None)
    about = f"{claims.n_test:,} test items, alpha {alpha:g}"
    return Report(
        title=title,
        subtitle=sources[0].upper() + sources[1:],
        sentences=(
            _headline(claims),
            *map(typeset, findings(claims)),
        ),
        command=command,
        setup=(
            ("Items and model", sources),
            ("Alpha", f"{alpha:g}"),
            ("Seeds", ", ".join(map(str, sorted({row.draw for row in claims.curve})))),
            ("Versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
        ),
        curve=LineChart(
            "Learning curve",
            "examples",
            "accuracy",
            _lines(summarize(claims.curve), ORDER, n_seeds),
            _levels(claims),
            f"{about}. {bands(n_seeds)} {WHISKERS}",
        ),
        controls=_controls(claims, n_seeds, f"{about}. {bands(n_seeds)} {WHISKERS}"),
        paper=PAPER,
        kinds=_kinds(claims, n_seeds),
        trajectories=trajectory_charts(
            (
                MeanLogLikelihood(row.n_items, row.head, row.group, row.log_likelihood)
                for row in claims.trajectories
            ),
            f"Answers to {claims.n_test:,} test items. {bands(n_seeds)}",
        ),
    )


def with_items(
    report: Report,
    bench: Bench,
    claims: Claims,
    advance: Callable[[int], object] | None = None,
) -> Report:
    """Add comparisons, confidence and the test items, of one fit with the first draw.

    Parameters
    ----------
    report : Report
    bench : Bench
        On which `claims` were measured.
    claims : Claims
    advance : callable, optional
        Called with 1 after every item that was read token by token.

    Returns
    -------
    Report
    """
    size, draw = claims.kinds[0].n_items, claims.kinds[0].draw
    alpha = next(row.alpha for row in claims.curve if row.alpha is not None)
    fitted = bench.fit(size, draw)
    table, y = bench.test(fitted), bench.test_y
    decisions = {mode: Decision(mode, alpha) for mode in (*RATIO_MODES, "sft", "base")}
    free = {
        name_of(row.mode, row.normalization): Decision(row.mode, normalization=row.normalization)
        for row in claims.free
    }
    correct = {name: rule.predict(table) == y for name, rule in (decisions | free).items()}
    comparisons = compare_modes(correct, [*free, "sft"], modes=(*RATIO_MODES, "sft"))
    decision = decisions[RATIO_MODES[0]]
    unused = bench.unused(size, draw)
    if len(unused) >= ENOUGH:
        held_out, held_out_y = bench.score_training(fitted, unused), bench.y[unused]
        charts = confidence_charts(held_out, held_out_y, table, y, decisions)
        report = replace(report, **charts._asdict())
        decision = with_temperature(decision, held_out, held_out_y)
    return replace(
        report,
        comparisons=comparison_forest(comparisons, size),
        items=item_rows(bench.test_items, y, table, decision, fitted, advance),
        decision=f"Answered by {decision.mode} at alpha {alpha:g} after {size:,} examples, "
        f"seed {draw}.",
    )


def _headline(claims: Claims) -> str:
    curves = summarize(claims.curve)
    size = max(curves["sft"])
    best = name_of(claims.best_free.mode, claims.best_free.normalization)
    shares = {mode: curves[mode][size].accuracy for mode in (*RATIO_MODES, "sft")}
    return headline(shares | {best: claims.best_free.accuracy}, size, best, claims.chance)


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
                f"{claims.n_test:,} test items, {weight}. {seeds} {WHISKERS} {NOT_TESTED}".replace(
                    "  ", " "
                ),
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
