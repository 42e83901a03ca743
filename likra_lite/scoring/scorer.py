"""A language model with its prompt and heads: items to the table of log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.cache import Cache, default_cache
from ..engine.head import Head
from ..engine.pairs import Pair, PairScorer
from ..errors import UnscorableItemError
from ..prompts import Prompt, as_prompt
from ..questions.item import Item
from .chunk import Chunk, chunk_size, chunked, items_named, warn_of_truncation
from .table import LogLikelihoods, choice_table

__all__ = ["ChoiceScorer"]


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

    @property
    def adapter(self) -> str:
        """The kind of the heads: ``"lora"``, ``"output"``, or ``"none"`` without any."""
        return next((head.adapter for head in self.fitted.values()), "none")

    @classmethod
    def of(
        cls,
        model: Engine,
        prompt: str | Prompt | None,
        cached: bool,
        answer_delimiter: str | None = None,
        examples: Sequence[Item] = (),
    ) -> ChoiceScorer:
        """Return a scorer without heads, with the user's cache if wanted.

        Parameters
        ----------
        model : Engine
        prompt : str, Prompt or None
            See :func:`likra_lite.prompts.as_prompt`; the model's own if None.
        cached : bool
        answer_delimiter : str, optional
            Between prompt and answer; the prompt's own if None.
        examples : sequence of Item
            Answered, to stand before every question.
        """
        manifest = model.manifest
        given = manifest.prompt if prompt is None else prompt
        chosen = as_prompt(given, answer_delimiter, manifest.chat)
        if examples:
            chosen = chosen.with_examples(examples)
        return cls(model, chosen, cache=default_cache() if cached else None)

    @property
    def heads(self) -> tuple[str, ...]:
        """Every head that can be scored."""
        return ("base", *self.fitted, "neutral")

    @property
    def pair_scorer(self) -> PairScorer:
        """Computes log-likelihoods of pairs, or takes them from the cache."""
        return PairScorer(self.model, self.cache, self.adapter == "lora")

    def pairs(self, items: Sequence[Item]) -> list[Pair]:
        """Return the text of every item: its context, and its choices as continuations."""
        return [pair for item in items for pair in self.prompt.pairs(item)]

    def owners(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """Return the index of the item that each of :meth:`pairs` belongs to."""
        return np.repeat(np.arange(len(items)), [len(self.prompt.pairs(item)) for item in items])

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

        Raises
        ------
        UnscorableItemError
            If the model cannot read an item: a choice is longer than its window, or a text has a
            token that it does not know.

        Warns
        -----
        TruncationWarning
            If contexts were cut to fit the model.
        """
        chunks = list(self.stream(items, heads, advance))
        cut = [number for chunk in chunks for number in chunk.truncated]
        warn_of_truncation(cut, len(items), self.model.manifest.max_length)
        return LogLikelihoods.concatenate([c.table for c in chunks if c.table is not None])

    def stream(
        self,
        items: Iterable[Item],
        heads: Sequence[str] | None = None,
        advance: Callable[[int], object] | None = None,
        strict: bool = True,
        first: int = 0,
    ) -> Iterator[Chunk]:
        """Score items chunk by chunk, in memory that does not grow with their number.

        Other parameters and errors are those of :meth:`table`.

        Parameters
        ----------
        strict : bool, default=True
            Raise an error for an item that cannot be scored; otherwise go on without it.
        first : int, default=0
            Number of the first item, by which others are counted too.

        Yields
        ------
        Chunk
        """
        for some in chunked(items, self.chunk_size):
            yield self.chunk(some, first, heads, advance, strict)
            first += len(some)

    @property
    def chunk_size(self) -> int:
        """Items that are scored together; which they are decides how sums are rounded."""
        return chunk_size(self.model.manifest)

    def chunk(
        self,
        items: list[Item],
        first: int = 0,
        heads: Sequence[str] | None = None,
        advance: Callable[[int], object] | None = None,
        strict: bool = True,
    ) -> Chunk:
        """Score items that are held together in memory.

        Other parameters and errors are those of :meth:`stream`.

        Parameters
        ----------
        items : list of Item
        first : int
            Number of the first of them among all items.

        Returns
        -------
        Chunk
        """
        heads = self.heads if heads is None else heads
        left = np.arange(len(items))
        problems: list[UnscorableItemError] = []
        while len(left):
            chosen = [items[index] for index in left]
            try:
                table, cut = self._read(chosen, first + left, heads, advance)
            except UnscorableItemError as error:
                if strict:
                    raise
                problems.append(error)
                left = left[~np.isin(first + left, list(error.problems))]
                continue
            return Chunk(items, left, table, _merged(problems), cut)
        return Chunk(items, left, None, _merged(problems), [])

    def _read(
        self,
        items: Sequence[Item],
        numbers: NDArray[np.int64],
        heads: Sequence[str],
        advance: Callable[[int], object] | None,
    ) -> tuple[LogLikelihoods, list[int]]:
        """Score items, which are called by these numbers."""
        asked = [name for name in heads if name != "neutral"]
        pairs, owners = self.pairs(items), self.owners(items)
        steps = None if advance is None else _steps(advance, len(items), len(pairs))
        with items_named(items, owners, numbers):
            scores = self.pair_scorer.scores(pairs, self.select(asked or ["base"]), steps)
        columns = dict(zip(asked, scores.log_likelihoods, strict=False))
        if "neutral" in heads:
            columns["neutral"] = self.neutral(items, numbers)
        cut = np.unique(numbers[owners[scores.truncated]]).tolist()
        return choice_table(items, scores.n_tokens, columns), cut

    def neutral(
        self, items: Sequence[Item], numbers: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the base log-likelihood of every choice after the neutral context.

        `numbers` is what the items are called in errors; 0, 1, ... by default.
        """
        with items_named(items, np.arange(len(items)), numbers):
            scores = self.pair_scorer.scores(self._neutral_pairs(items), self.select(["base"]))
        return scores.log_likelihoods[0]

    def _neutral_pairs(self, items: Sequence[Item]) -> list[Pair]:
        prompt = self.prompt
        return [(prompt.neutral(item), prompt.continuations(item.choices)) for item in items]

    def check(self, items: Sequence[Item]) -> None:
        """Raise UnscorableItemError if the model cannot read some of the items."""
        problems = self.unscorable(items)
        if problems:
            sources = {index: items[index].source for index in problems}
            raise UnscorableItemError(
                problems, {index: place for index, place in sources.items() if place is not None}
            )

    def unscorable(self, items: Sequence[Item]) -> dict[int, str]:
        """Return why items cannot be scored, by their index; empty if all can. No forward pass."""
        problems: dict[int, str] = {}
        for pairs, owners in (
            (self.pairs(items), self.owners(items)),
            (self._neutral_pairs(items), np.arange(len(items))),
        ):
            try:
                with items_named(items, owners):
                    self.model.encoder.trees(pairs)
            except UnscorableItemError as error:
                problems = error.problems | problems
        return dict(sorted(problems.items()))


def _steps(advance: Callable[[int], object], n_items: int, n_pairs: int) -> Callable[[int], object]:
    """Return what is called with the number of pairs done, to tell the number of items."""
    done = 0

    def step(pairs: int) -> None:
        nonlocal done
        before, done = done, done + pairs
        advance(done * n_items // n_pairs - before * n_items // n_pairs)

    return step


def _merged(errors: Sequence[UnscorableItemError]) -> UnscorableItemError | None:
    if not errors:
        return None
    problems = {number: why for error in errors for number, why in error.problems.items()}
    places = {number: where for error in errors for number, where in error.places.items()}
    return UnscorableItemError(dict(sorted(problems.items())), places)
