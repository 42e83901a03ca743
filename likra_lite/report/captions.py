"""What captions say of bands and whiskers: the same words for the same things."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["WHISKERS", "bands", "headline", "typeset"]

WHISKERS = "A whisker is one standard error of testing on these items, either way."


def bands(n_seeds: int) -> str:
    """Say what a line and its band are."""
    if n_seeds == 1:
        return "A single draw of the examples, so that there is no band."
    return (
        f"Means over {n_seeds} draws of the examples; a band is one standard deviation between "
        "draws, either way."
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
