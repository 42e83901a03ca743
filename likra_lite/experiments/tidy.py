"""Tidy tables of results: a row for every observation, as dicts or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..questions.roles import RIGHT
from ..scoring.decision import Decision, LinearDecision
from ..scoring.lengths import NORMALIZATIONS
from ..scoring.modes import MODES
from ..scoring.statistics import accuracy
from ..scoring.table import LogLikelihoods
from ..validation import check_number_or_auto, check_one_of
from .points import Point
from .results import Results

__all__ = [
    "AUTO",
    "FREE_MODES",
    "NEAR_MISS",
    "check_decisions",
    "is_right",
    "observations",
    "trajectories",
    "uses_negatives",
]

FREE_MODES = ("base", "pmi")  # modes that need no fitting
AUTO = "auto"  # weights fitted on the training items that a fit has not used
NEAR_MISS = "near-miss"  # a wrong choice of the same question, of whatever role
DECIMALS = 4  # of nats: beyond, graphs on different machines differ

Row = dict[str, Any]


def uses_negatives(mode: str) -> bool:
    """Return whether wrong answers matter to a mode."""
    return mode == AUTO or "negative" in MODES[mode].heads


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(np.mean(values)), DECIMALS)


def is_right(table: LogLikelihoods, y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which choices are right.

    Parameters
    ----------
    table : LogLikelihoods
    y : ndarray of shape (n_items,)
        Index of the right choice.

    Returns
    -------
    ndarray of shape (n_choices,)
    """
    right = np.zeros(table.offsets[-1], dtype=bool)
    right[table.offsets[:-1] + y] = True
    return right


def check_decisions(
    modes: Sequence[str], alphas: Sequence[float | str], normalizations: Sequence[str]
) -> None:
    """Raise LikraError if a mode, an alpha or a normalization is none."""
    for mode in modes:
        check_one_of("mode", mode, (*MODES, AUTO))
    for normalization in normalizations:
        check_one_of("normalization", normalization, NORMALIZATIONS)
    for alpha in alphas:
        check_number_or_auto("alpha", alpha)


def observations(
    results: Results,
    modes: Sequence[str] = tuple(MODES),
    alphas: Sequence[float | str] = (0.9,),
    normalizations: Sequence[str] = ("none",),
    points: Iterable[Point] | None = None,
) -> list[Row]:
    """Return accuracy and mean log-likelihoods of every mode at every point, for every test set.

    Parameters
    ----------
    results : Results
    modes : sequence of str
        See :data:`likra_lite.scoring.modes.MODES`. ``pmi`` is left out where questions are
        hidden: it is 0 for every choice there. ``auto`` stands for weights that are fitted on
        training items which the fit has not used, and is left out where it has used all.
    alphas : sequence of float or "auto"
        Weights of the negative head: a sweep costs no fit. ``auto`` is chosen, for every
        point, mode and normalization, on training items that the fit has not used.
    normalizations : sequence of str
    points : iterable of Point, optional
        All that are finished by default.

    Returns
    -------
    list of dict
        With the keys ``experiment``, ``test``, ``control``, ``n_items`` (0 for modes that need
        no fitting), ``seed``, ``negatives``, ``n_negatives``, ``contamination``, ``mode``,
        ``alpha``, ``alpha_auto``, ``normalization``, ``accuracy``, ``standard_error`` (of
        testing on these items), ``n_test``, ``chance``, and ``plus_right``, ``plus_wrong``,
        ``minus_right``, ``minus_wrong``: the mean log-likelihoods, in nats per answer, of
        right and wrong choices under the head that speaks for a choice and under the one that
        speaks against it. None where something does not apply. Modes to which wrong answers
        do not matter have one row for all kinds of them.

    Raises
    ------
    LikraError
        If a mode, an alpha or a normalization is none, or alpha is to be chosen where all
        training items were used.
    """
    check_decisions(modes, alphas, normalizations)
    chosen = results.points() if points is None else sorted(set(points))
    controls = list(dict.fromkeys(point.control for point in chosen))
    rows = []
    for test in results.tests:
        for control in sorted(controls, key=results.controls.index):
            for mode in modes:
                if mode in FREE_MODES and not (mode == "pmi" and control == "hidden"):
                    decisions = [Decision(mode, normalization=n) for n in normalizations]
                    rows += [_row(results, test, control, mode, d) for d in decisions]
            told: set[tuple[int, int, str]] = set()
            for point in (point for point in chosen if point.control == control):
                for mode in modes:
                    once = (point.n_items, point.seed, mode)
                    if mode in FREE_MODES or once in told:
                        continue
                    if not uses_negatives(mode):
                        told.add(once)
                    rows += _rows_of(results, test, point, mode, alphas, normalizations)
    return rows


def _rows_of(
    results: Results,
    test: str,
    point: Point,
    mode: str,
    alphas: Sequence[float | str],
    normalizations: Sequence[str],
) -> Iterator[Row]:
    if mode == AUTO:
        if point.n_items < results.experiment["items"]["count"]:
            yield _row(results, test, point, mode, results.fitted_decision(point))
        return
    tried: Sequence[float | str] = alphas if MODES[mode].weighted else (1.0,)
    for normalization in normalizations:
        for alpha in tried:
            decision = results.decision(point, mode, alpha, normalization)
            row = _row(results, test, point, mode, decision)
            yield {**row, "alpha_auto": isinstance(alpha, str)}


def _row(
    results: Results, test: str, where: Point | str, mode: str, decision: LinearDecision
) -> Row:
    table, y = results.table(test, where), results.y(test)
    share, error = accuracy(decision.predict(table) == y)
    right = is_right(table, y)
    fixed = decision if isinstance(decision, Decision) else None
    row = {
        **_setting(results, test, where, uses_negatives(mode)),
        "mode": mode,
        "alpha": fixed.alpha if fixed is not None and MODES[mode].weighted else None,
        "alpha_auto": False,
        "normalization": None if fixed is None else fixed.normalization,
        "accuracy": share,
        "standard_error": error,
        "n_test": len(table),
        "chance": float(np.mean(1.0 / table.n_choices)),
    }
    plus, minus = (None, None) if fixed is None else (MODES[mode].plus, MODES[mode].minus)
    for name, head in (("plus", plus), ("minus", minus)):
        values = None if head is None else table.head(head)
        row[f"{name}_right"] = None if values is None else _mean(values[right])
        row[f"{name}_wrong"] = None if values is None else _mean(values[~right])
    return row


def _setting(results: Results, test: str, where: Point | str, drawn: bool) -> Row:
    """Return the columns that say what was fitted and tested; `where` may be a control alone.

    `drawn` tells whether it matters which wrong answers were drawn.
    """
    point = None if isinstance(where, str) else where
    negatives = point if drawn else None
    return {
        "experiment": results.name,
        "test": test,
        "control": where if point is None else point.control,
        "n_items": 0 if point is None else point.n_items,
        "seed": None if point is None else point.seed,
        "negatives": None if negatives is None else negatives.negatives,
        "n_negatives": None if negatives is None else negatives.n_negatives,
        "contamination": None if negatives is None else negatives.contamination,
    }


def trajectories(
    results: Results,
    points: Iterable[Point] | None = None,
    roles: NDArray[np.str_] | None = None,
) -> list[Row]:
    """Return what becomes of the likelihood of answers, under every head.

    Parameters
    ----------
    results : Results
    points : iterable of Point, optional
        All that are finished by default.
    roles : ndarray of shape (n_choices,), optional
        Names for the choices of the first test set, such as those of
        :func:`likra_lite.questions.roles.roles_of`: its only groups then.

    Returns
    -------
    list of dict
        With the keys ``experiment``, ``test``, ``control``, ``n_items`` (0 for the base model),
        ``seed``, ``negatives``, ``n_negatives``, ``contamination`` (None for the positive head
        too), ``head`` (``base``, ``positive``, ``negative``), ``group``, ``log_likelihood``
        (mean, in nats per answer) and ``n_answers``. Groups are ``right``, ``near-miss`` (the
        wrong choices of the same question), ``other`` (right answers of other questions) and
        ``unrelated`` (text from another source).
    """
    chosen = results.points() if points is None else sorted(set(points))
    rows: list[Row] = []
    for test in results.tests:
        given = roles if test == results.tests[0] else None
        for control in results.controls:
            here = [point for point in chosen if point.control == control]
            if not here:
                continue
            rows += _trajectory(results, test, control, "base", given)
            told: set[tuple[int, int]] = set()
            for point in here:
                if (point.n_items, point.seed) not in told:
                    told.add((point.n_items, point.seed))
                    rows += _trajectory(results, test, point, "positive", given)
                rows += _trajectory(results, test, point, "negative", given)
    return rows


def _trajectory(
    results: Results, test: str, where: Point | str, head: str, roles: NDArray[np.str_] | None
) -> Iterator[Row]:
    table = results.table(test, where)
    values = table.head(head)
    if roles is not None:
        groups = {role: values[roles == role] for role in dict.fromkeys([RIGHT, *roles.tolist()])}
    else:
        right = is_right(table, results.y(test))
        groups = {RIGHT: values[right], NEAR_MISS: values[~right]}
        for (group, under), found in results.probes(test, where).items():
            if under == head:
                groups[group] = found[~np.isnan(found)]
    for group, found in groups.items():
        if len(found):
            yield {
                **_setting(results, test, where, head == "negative"),
                "head": head,
                "group": group,
                "log_likelihood": _mean(found),
                "n_answers": len(found),
            }
