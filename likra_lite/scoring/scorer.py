"""A language model with its prompt and heads: items to the table of log-likelihoods."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.cache import Cache, default_cache
from ..engine.head import Head
from ..engine.pairs import PAIRS_PER_CHUNK, Pair, PairScorer
from ..errors import TruncationWarning
from ..prompts import Prompt, as_prompt
from ..questions.item import Item
from .table import LogLikelihoods

__all__ = ["ChoiceScorer", "choice_table", "warn_of_truncation"]


def choice_table(
    items: Sequence[Item], n_tokens: NDArray[np.int64], heads: Mapping[str, NDArray[np.float64]]
) -> LogLikelihoods:
    """Put the log-likelihoods of every choice of `items` into a table."""
    choices = [choice for item in items for choice in item.choices]
    return LogLikelihoods(
        offsets=np.concatenate([[0], np.cumsum([len(item.choices) for item in items])]),
        heads=dict(heads),
        n_tokens=n_tokens,
        n_chars=np.array([len(choice) for choice in choices]),
        n_bytes=np.array([len(choice.encode()) for choice in choices]),
    )


def warn_of_truncation(truncated: Sequence[int], total: int, max_length: int) -> None:
    """Warn once of the contexts that were cut."""
    if truncated:
        warnings.warn(
            f"{len(truncated)} of {total} contexts exceed the model's {max_length} tokens and were "
            f"cut on the left, first item {truncated[0]}",
            TruncationWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class ChoiceScorer:
    """Scores the choices of items under the base model and its heads.

    Parameters
    ----------
    model : Engine
    prompt : Prompt
    fitted : dict of str to Head
        ``positive`` and ``negative``.
    cache : Cache or None
        Where results are kept; nowhere if None.
    """

    model: Engine
    prompt: Prompt
    fitted: Mapping[str, Head] = field(default_factory=dict)
    cache: Cache | None = None

    @classmethod
    def of(cls, model: Engine, prompt: str | None, cached: bool) -> ChoiceScorer:
        """Return a scorer without heads, with the user's cache if wanted.

        Parameters
        ----------
        model : Engine
        prompt : str or None
            See :func:`likra_lite.prompts.as_prompt`; the model's own if None.
        cached : bool
        """
        chosen = as_prompt(model.manifest.prompt if prompt is None else prompt)
        return cls(model, chosen, cache=default_cache() if cached else None)

    @property
    def heads(self) -> tuple[str, ...]:
        """Every head that can be scored."""
        return ("base", *self.fitted, "neutral")

    @property
    def pair_scorer(self) -> PairScorer:
        """What computes, or remembers."""
        return PairScorer(self.model, self.cache)

    def pairs(self, items: Sequence[Item]) -> list[Pair]:
        """Return the text of every item: its context, and its choices as continuations."""
        return [
            (self.prompt.context(item), self.prompt.continuations(item.choices)) for item in items
        ]

    def select(self, heads: Iterable[str]) -> list[Head | None]:
        """Return some heads; ``base`` is None."""
        return [None if name == "base" else self.fitted[name] for name in heads]

    def table(
        self,
        items: Sequence[Item],
        heads: Sequence[str] | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> LogLikelihoods:
        """Score items.

        Parameters
        ----------
        items : sequence of Item
        heads : sequence of str, optional
            All of :attr:`heads` by default.
        advance : callable, optional
            Called with the number of items done after each forward pass.

        Returns
        -------
        LogLikelihoods

        Warns
        -----
        TruncationWarning
            If contexts were cut to fit the model.
        """
        return LogLikelihoods.concatenate(
            [table for _, table in self.stream(items, heads, advance)]
        )

    def stream(
        self,
        items: Iterable[Item],
        heads: Sequence[str] | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> Iterator[tuple[list[Item], LogLikelihoods]]:
        """Score items chunk by chunk, in memory that does not grow with their number.

        Parameters and warnings are those of :meth:`table`.

        Yields
        ------
        items : list of Item
        table : LogLikelihoods
        """
        heads = self.heads if heads is None else heads
        iterator = iter(items)
        first = 0
        cut: list[int] = []
        while chunk := list(islice(iterator, PAIRS_PER_CHUNK)):
            table, truncated = self._chunk(chunk, heads, first, advance)
            first += len(chunk)
            cut.extend(truncated)
            yield chunk, table
        warn_of_truncation(cut, first, self.model.manifest.max_length)

    def _chunk(
        self,
        items: Sequence[Item],
        heads: Sequence[str],
        first: int,
        advance: Callable[[int], object] | None,
    ) -> tuple[LogLikelihoods, list[int]]:
        asked = [name for name in heads if name != "neutral"]
        scores = self.pair_scorer.scores(
            self.pairs(items), self.select(asked or ["base"]), first, advance
        )
        columns = dict(zip(asked, scores.log_likelihoods, strict=False))
        if "neutral" in heads:
            columns["neutral"] = self.neutral(items)
        truncated = (first + np.flatnonzero(scores.truncated)).tolist()
        return choice_table(items, scores.n_tokens, columns), truncated

    def neutral(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """Return the base log-likelihood of every choice without the question."""
        context = self.prompt.neutral_context
        pairs: list[Pair] = [(context, self.prompt.continuations(item.choices)) for item in items]
        return self.pair_scorer.scores(pairs, self.select(["base"])).log_likelihoods[0]
