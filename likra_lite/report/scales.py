"""Axes: from values to places, ticks, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

__all__ = ["Scale", "decimals", "linear_ticks", "number", "padded", "scale_log2", "spread"]

Scale = Callable[[float], float]


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from `low` to `high`, about as many as asked for."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """Return how many decimals tell the values apart, at most 3."""
    return next((n for n in range(3) if all(abs(v - round(v, n)) < 1e-9 for v in values)), 3)


def number(value: float, places: int) -> str:
    """Return a number with so many decimals and a true minus sign; never a minus before zero."""
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def padded(values: Sequence[float], least: float, share: float = 0.06) -> tuple[float, float]:
    """Return a range around the values that is at least so long: noise should look like noise."""
    low, high = min(values), max(values)
    missing = max(0.0, least - (high - low)) / 2
    margin = share * max(high - low, least)
    return low - missing - margin, high + missing + margin


def scale_log2(values: Sequence[float]) -> Scale:
    """Return log2, with 0 one doubling before the smallest positive value."""
    positive = [value for value in values if value > 0]
    before = math.log2(min(positive)) - 1 if positive else 0.0
    return lambda value: math.log2(value) if value > 0 else before


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart as little as possible.

    Parameters
    ----------
    wanted : sequence of float
        Where each label would like to be.
    gap : float
        Least distance between two.
    low, high : float
        Where they have to stay.

    Returns
    -------
    list of float
        In the order of `wanted`. If they do not fit, the gap shrinks.
    """
    if not wanted:
        return []
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    # Blocks of touching labels: members, and the mean of their wishes less their places inside.
    blocks: list[tuple[list[int], float]] = []
    for index in order:
        members, start = [index], wanted[index]
        while blocks and blocks[-1][1] + gap * len(blocks[-1][0]) > start:
            before, _ = blocks.pop()
            members = before + members
            start = sum(wanted[m] - gap * i for i, m in enumerate(members)) / len(members)
        start = min(max(start, low), high - gap * (len(members) - 1))
        blocks.append((members, start))
    places = [0.0] * len(wanted)
    for members, start in blocks:
        for i, member in enumerate(members):
            places[member] = start + gap * i
    # Keeping the last inside may have pushed it into the one before.
    last = high + gap
    for index in reversed(order):
        places[index] = last = min(places[index], last - gap)
    return places
