"""What a folder of results says in words, whether or not it is a gain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..scoring.comparisons import sentence
from .charts import DotPlot
from .measured import Measured

__all__ = ["headline", "sentences", "typeset"]


def sentences(measured: Measured, kinds: Sequence[DotPlot]) -> list[str]:
    """Say what was found, the most important first.

    Parameters
    ----------
    measured : Measured
    kinds : sequence of DotPlot
        Accuracy by kind of negatives; the first is told, if there is any.

    Returns
    -------
    list of str
    """
    shares = {name: float(found.mean()) for name, found in measured.correct.items()}
    best = measured.best_free
    lines = [headline(shares, measured.size, best, measured.chance)]
    told = {(each.mode, each.reference): each for each in measured.comparisons}
    pairs = [("likra", best), ("base-likra", best), ("likra", "sft")]
    lines += [sentence(told[pair]) + "." for pair in pairs]
    lines += [_by_kind(plot) for plot in kinds[:1]]
    lines += [line + "." for line in measured.remaining()]
    return [typeset(line[0].upper() + line[1:]) for line in lines]


def _by_kind(plot: DotPlot) -> str:
    rows = sorted(plot.rows, key=lambda row: -row.mean)
    listed = ", ".join(f"{row.name} {row.mean:.3f}" for row in rows)
    error = max(row.error or 0.0 for row in rows)
    return (
        f"By kind of wrong answers, {plot.title}: {listed} (standard errors up to {error:.3f}; "
        "differences between kinds were not tested)."
    )


def typeset(line: str) -> str:
    """Return a sentence of the terminal with the signs of print."""
    line = line.replace("+-", "\N{PLUS-MINUS SIGN}")
    return re.sub(r"(?<![\w.])-(?=[\d.])", "\N{MINUS SIGN}", line)


def headline(shares: Mapping[str, float], n_examples: int, best: str, chance: float) -> str:
    """Say how many questions are answered right, with examples and without.

    Parameters
    ----------
    shares : dict of str to float
        Accuracy of ``likra``, ``base-likra`` and ``sft``, and of `best`.
    n_examples : int
    best : str
        The most accurate of what needs no examples.
    chance : float

    Returns
    -------
    str
    """
    ratios = sorted(("likra", "base-likra"), key=lambda mode: -shares[mode])
    first, second = (f"{mode} answers {_percent(shares[mode])}" for mode in ratios)
    return (
        f"After {n_examples:,} examples {first} of the test questions right, "
        f"{second.replace(' answers', '')} and sft, which learns from right answers alone, "
        f"{_percent(shares['sft'])}. Without examples the model answers {_percent(shares[best])} "
        f"({best}); a guess gets {_percent(chance)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
