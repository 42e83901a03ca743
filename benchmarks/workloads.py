"""Random items with the lengths of multiple-choice benchmarks, as token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["WORKLOADS", "Item", "Row", "longest_row", "rows_of", "useful_tokens"]

TEMPLATE_TOKENS = 5  # that begin every item, like "\n\nQuestion:"
SHOTS, SHOT_TOKENS = 25, 47
MAX_PER_PASSAGE = 3


class Item(NamedTuple):
    """A context and the choices that may follow it."""

    context: list[int]
    choices: list[list[int]]


class Row(NamedTuple):
    """A context and one choice, as most engines read them."""

    context: list[int]
    choice: list[int]

    @property
    def read(self) -> list[int]:
        """The tokens that must be read: the last one is only predicted."""
        return (self.context + self.choice)[:-1]

    @property
    def span(self) -> slice:
        """Where, among the tokens read, those stand that predict the choice."""
        return slice(len(self.context) - 1, len(self.context) + len(self.choice) - 1)


class _Source:
    """Draws token ids and lengths."""

    def __init__(self, vocabulary: int) -> None:
        self.rng = np.random.default_rng(0)
        self.vocabulary = vocabulary

    def tokens(self, length: int) -> list[int]:
        return self.rng.integers(0, self.vocabulary, length).tolist()

    def gamma(self, shape: float, mean: float) -> int:
        return round(self.rng.gamma(shape, mean / shape))

    def choices(self, count: int, length: Callable[[], int]) -> list[list[int]]:
        """Draw choices until `count` of them are distinct."""
        distinct: dict[tuple[int, ...], None] = {}
        while len(distinct) < count:
            distinct[tuple(self.tokens(length()))] = None
        return [list(choice) for choice in distinct]


def zero_shot(count: int, vocabulary: int, n_choices: int = 4) -> list[Item]:
    """Draw questions like ARC's: about 34 tokens, choices of about 7."""
    source = _Source(vocabulary)
    template = source.tokens(TEMPLATE_TOKENS)
    return [
        Item(
            template + source.tokens(1 + source.gamma(4.0, 28.0)),
            source.choices(n_choices, lambda: 1 + source.gamma(1.6, 6.0)),
        )
        for _ in range(count)
    ]


def few_shot(count: int, vocabulary: int) -> list[Item]:
    """Put the same 25 examples before the questions of :func:`zero_shot`, 1,200 tokens in all."""
    examples = _Source(vocabulary).tokens(SHOTS * SHOT_TOKENS)
    return [Item(examples + context, choices) for context, choices in zero_shot(count, vocabulary)]


def passage(count: int, vocabulary: int) -> list[Item]:
    """Draw questions like SciQ's.

    One to three consecutive questions of about 20 tokens share a passage of about 100; the
    choices have about 3 tokens.
    """
    source = _Source(vocabulary)
    items: list[Item] = []
    while len(items) < count:
        text = source.tokens(1 + source.gamma(16.0, 99.0))
        items.extend(
            Item(
                text + source.tokens(1 + source.gamma(8.0, 19.0)),
                source.choices(4, lambda: 1 + source.rng.poisson(2.0)),
            )
            for _ in range(source.rng.integers(1, MAX_PER_PASSAGE + 1))
        )
    return items[:count]


WORKLOADS: dict[str, Callable[[int, int], list[Item]]] = {
    "zero-shot": zero_shot,
    "25-shot": few_shot,
    "passage": passage,
}


def rows_of(items: Sequence[Item]) -> list[Row]:
    """Return one row for every choice of every item."""
    return [Row(context, choice) for context, choices in items for choice in choices]


def longest_row(items: Sequence[Item]) -> int:
    """Return the number of tokens in the longest row."""
    return max(len(row.read) for row in rows_of(items))


def useful_tokens(items: Sequence[Item]) -> int:
    """Return how many tokens an engine reads that has one row per choice, without padding."""
    return sum(len(row.read) for row in rows_of(items))
