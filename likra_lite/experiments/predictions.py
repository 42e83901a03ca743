"""Right and wrong predictions of every mode, to be compared on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..scoring.comparisons import Comparison, compare_modes, remaining_share_sentence
from ..scoring.decision import Decision
from ..scoring.modes import MODES
from ..scoring.statistics import LEVEL
from ..scoring.table import LogLikelihoods
from ..validation import check_number_or_auto, check_one_of
from .points import Point
from .results import Results
from .tidy import AUTO, FREE_MODES, uses_negatives

__all__ = ["Setting", "correct_by_mode", "correct_of_table", "largest_size", "what_remains"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Setting:
    """The setting that modes are compared in.

    Parameters
    ----------
    test : str
        Name of the test set.
    n_items : int
        Training items.
    control : str
        What becomes of the questions.
    negatives : sequence of str
        Kinds of wrong answers; with several, a mode is compared under each.
    n_negatives : int
    contamination : float
    alpha : float or "auto"
        Weight of the negative head; ``auto`` is chosen, for every seed, on training items that
        the fit has not used.
    normalization : str
    """

    test: str
    n_items: int
    control: str = "none"
    negatives: Sequence[str] = ("own",)
    n_negatives: int = 1
    contamination: float = 0.0
    alpha: float | str = 0.9
    normalization: str = "none"

    def points(self, results: Results, kind: str) -> list[Point]:
        """Return the finished points of one kind of wrong answers, a seed each."""
        wanted = (self.control, self.n_items, kind, self.n_negatives, self.contamination)
        return [
            p
            for p in results.points()
            if (p.control, p.n_items, p.negatives, p.n_negatives, p.contamination) == wanted
        ]


def largest_size(results: Results) -> int:
    """Return the largest number of training items that any fit had.

    Raises
    ------
    LikraError
        If no fit is finished.
    """
    points = results.points()
    if not points:
        raise LikraError(f"{results.folder} has no finished fit yet; run curve again")
    return max(point.n_items for point in points)


def correct_by_mode(
    results: Results, setting: Setting, modes: Sequence[str] = tuple(MODES)
) -> dict[str, BoolArray]:
    """Return whether the predictions of every mode were right.

    Parameters
    ----------
    results : Results
    setting : Setting
    modes : sequence of str

    Returns
    -------
    dict of str to ndarray
        Of shape (n_items,) for modes that need no fitting, (n_seeds, n_items) for the others,
        with the seeds that all kinds of wrong answers have. A mode to which wrong answers
        matter is called, for example, ``likra hardest``, if there are several kinds.

    Raises
    ------
    LikraError
        If nothing was measured in this setting.
    """
    check_number_or_auto("alpha", setting.alpha)
    found: dict[str, BoolArray] = {}
    by_kind = {
        kind: {point.seed: point for point in setting.points(results, kind)}
        for kind in setting.negatives
    }
    seeds = sorted(set.intersection(*(set(points) for points in by_kind.values())))
    if not seeds:
        sizes = sorted({p.n_items for p in results.points() if p.control == setting.control})
        kinds = sorted({p.negatives for p in results.points()})
        raise LikraError(
            f"{results.folder} has no fits on {setting.n_items} items with {setting.n_negatives} "
            f"{' and '.join(setting.negatives)} negatives, control {setting.control}; it has the "
            f"sizes {', '.join(map(str, sizes)) or 'none'} and the kinds {', '.join(kinds)}"
        )
    for mode in modes:
        check_one_of("mode", mode, (*MODES, AUTO))
        if mode in FREE_MODES:
            if not (mode == "pmi" and setting.control == "hidden"):  # 0 for every choice
                decision = Decision(mode, normalization=setting.normalization)
                found[mode] = results.correct(setting.test, setting.control, decision)
            continue
        kinds = list(setting.negatives) if uses_negatives(mode) else [setting.negatives[0]]
        for kind in kinds:
            rows = []
            for seed in seeds:
                point = by_kind[kind][seed]
                rule = (
                    results.fitted_decision(point)
                    if mode == AUTO
                    else results.decision(point, mode, setting.alpha, setting.normalization)
                )
                rows.append(results.correct(setting.test, point, rule))
            found[f"{mode} {kind}" if len(kinds) > 1 else mode] = np.stack(rows)
    return found


def correct_of_table(
    table: LogLikelihoods, y: NDArray[np.int64], modes: Sequence[str], like: Decision
) -> dict[str, BoolArray]:
    """Return whether the predictions of every mode were right, from one table.

    Parameters
    ----------
    table : LogLikelihoods
    y : ndarray of shape (n_items,)
    modes : sequence of str
        Those whose heads the table lacks are left out.
    like : Decision
        Whose alpha and normalization are used.

    Returns
    -------
    dict of str to ndarray of shape (n_items,)
    """
    return {
        mode: np.asarray(replace(like, mode=mode).predict(table) == y)
        for mode in modes
        if set(table.heads) >= set(MODES[mode].heads)
    }


def what_remains(
    results: Results, setting: Setting, comparisons: Sequence[Comparison]
) -> list[str]:
    """Return sentences on how much of each gain remains with the question hidden, if measured.

    Parameters
    ----------
    results : Results
    setting : Setting
        With the questions asked.
    comparisons : sequence of Comparison
        In this setting.

    Returns
    -------
    list of str
        A sentence for every gain of a mode with a fitted head that was found.
    """
    hidden = replace(setting, control="hidden")
    if not all(hidden.points(results, kind) for kind in setting.negatives):
        return []
    names = {name for each in comparisons for name in (each.mode, each.reference)}
    modes = [mode for mode in MODES if any(name.split()[0] == mode for name in names)]
    correct = correct_by_mode(results, hidden, modes)
    lines = []
    for gain in comparisons:
        unfit = gain.mode in FREE_MODES or not {gain.mode, gain.reference} <= correct.keys()
        if unfit or gain.difference <= 0 or gain.p_adjusted >= LEVEL:
            continue
        pair = {name: correct[name] for name in (gain.mode, gain.reference)}
        (found,) = compare_modes(pair, [gain.reference])
        lines.append(f"{gain.mode}: {remaining_share_sentence(gain, found)}")
    return lines
