"""Log-likelihoods and features of pairs, each a context with its continuations.

Equal pairs are computed once, and pairs that were computed before are taken from the cache,
under a key that holds all that the result depends on: the model, the head and the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UnscorableItemError
from .base import Engine
from .cache import Cache, cache_key
from .features import Features
from .head import Head
from .ragged import span_indices
from .trees import TokenTree

__all__ = ["PAIRS_PER_CHUNK", "Pair", "PairFeatures", "PairScorer", "PairScores"]

PAIRS_PER_CHUNK = 256  # pairs held in memory, and lost by an interrupt, at a time

TOKENS_IN_MEMORY = 16_384  # continuation tokens whose hidden states are held at a time

# Part of every key: a change to how pairs are encoded or scored must raise it.
SCORES, FEATURES = "log-likelihoods 2", "features 2"

Pair = tuple[str, Sequence[str]]


class PairScores(NamedTuple):
    """Log-likelihoods of all continuations of some pairs.

    Attributes
    ----------
    log_likelihoods : ndarray of shape (n_heads, n_continuations)
        In nats.
    n_tokens : ndarray of shape (n_continuations,)
    truncated : ndarray of shape (n_pairs,)
        Whether the context was cut to fit the model.
    """

    log_likelihoods: NDArray[np.float64]
    n_tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class PairFeatures(NamedTuple):
    """Features of all continuations of some pairs, and whose context was cut."""

    features: Features
    truncated: NDArray[np.bool_]


@dataclass(frozen=True)
class PairScorer:
    """Scores pairs with a language model, and reuses what was computed before.

    Parameters
    ----------
    model : Engine
    cache : Cache or None
        None to keep nothing on disk.
    """

    model: Engine
    cache: Cache | None = None

    def scores(
        self,
        pairs: Sequence[Pair],
        heads: Sequence[Head | None],
        advance: Callable[[int], object] | None = None,
    ) -> PairScores:
        """Return log-likelihoods.

        Parameters
        ----------
        pairs : sequence of (context, continuations)
        heads : sequence of Head or None
            None is the base model.
        advance : callable, optional
            Called with the number of pairs done.

        Returns
        -------
        PairScores

        Raises
        ------
        UnscorableItemError
            If the model cannot read a pair; it tells of all such pairs, by their numbers.
        """
        owners = [
            cache_key(SCORES, self._fingerprint, b"" if head is None else head.key)
            for head in heads
        ]
        distinct = _Distinct.of(pairs)
        keys = [[_key(owner, pair) for owner in owners] for pair in distinct.pairs]
        known = {} if self.cache is None else self.cache.get(key for row in keys for key in row)
        found = {
            place: np.stack([np.frombuffer(known[key]) for key in row])
            for place, row in enumerate(keys)
            if known.keys() >= {*row}
        }
        missing = [place for place in range(len(keys)) if place not in found]
        if missing:
            found.update(self._new_scores(distinct, missing, heads, advance))
            if self.cache is not None:
                self.cache.put(
                    {
                        key: row.tobytes()
                        for place in missing
                        for key, row in zip(keys[place], found[place], strict=True)
                    }
                )
        if advance is not None:
            advance(len(pairs) - len(missing))
        rows = [found[place] for place in distinct.place]
        return PairScores(
            np.concatenate([row[:, 1 + row.shape[1] // 2 :] for row in rows], axis=1),
            np.concatenate([row[0, 1 : 1 + row.shape[1] // 2] for row in rows]).astype(np.int64),
            np.array([bool(row[0, 0]) for row in rows]),
        )

    def _new_scores(
        self,
        distinct: _Distinct,
        places: list[int],
        heads: Sequence[Head | None],
        advance: Callable[[int], object] | None,
    ) -> dict[int, NDArray[np.float64]]:
        """Compute what is kept of some distinct pairs of n continuations.

        An array of shape (n_heads, 1 + 2 * n) for each: whether the context was cut, the
        numbers of tokens, the log-likelihoods.
        """
        trees, truncated = self._encode(distinct, places)
        parts = []
        for start, stop in _runs(trees):
            features, tokens = self.model.read_and_score(trees[start:stop], heads, advance)
            parts.append(np.add.reduceat(tokens, features.offsets[:-1], axis=1))
        values = np.concatenate(parts, axis=1)
        ends = np.cumsum([len(tree.lengths) for tree in trees])[:-1]
        cut = {places[number] for number in truncated}
        return {
            place: np.array([[place in cut, *tree.lengths, *row] for row in part], np.float64)
            for place, tree, part in zip(places, trees, np.split(values, ends, axis=1), strict=True)
        }

    def _encode(
        self, distinct: _Distinct, places: Sequence[int]
    ) -> tuple[list[TokenTree], list[int]]:
        """Encode some distinct pairs; an error tells of all given pairs that equal a bad one."""
        try:
            return self.model.encoder.trees([distinct.pairs[place] for place in places])
        except UnscorableItemError as error:
            reasons = {places[number]: reason for number, reason in error.problems.items()}
            raise UnscorableItemError(
                {n: reasons[place] for n, place in enumerate(distinct.place) if place in reasons}
            ) from None

    def features(
        self, pairs: Sequence[Pair], advance: Callable[[int], object] | None = None
    ) -> PairFeatures:
        """Return features, to fit heads on.

        Parameters, errors and order are those of :meth:`scores`. Hidden states that are too
        many for the memory come back in a temporary file that is mapped into it.
        """
        distinct = _Distinct.of(pairs)
        cut: list[int] = []
        joined = Features.concatenate(self._feature_chunks(distinct, cut, advance))
        if advance is not None:
            advance(len(pairs) - len(distinct.pairs))
        truncated = np.isin(np.arange(len(distinct.pairs)), cut)[distinct.place]
        if len(distinct.pairs) == len(pairs):
            return PairFeatures(joined, truncated)
        counts = np.array([len(continuations) for _, continuations in distinct.pairs])
        starts = np.cumsum(counts) - counts
        chosen = span_indices(starts[distinct.place], counts[distinct.place])
        return PairFeatures(joined.take(chosen), truncated)

    def _feature_chunks(
        self, distinct: _Distinct, cut: list[int], advance: Callable[[int], object] | None
    ) -> Iterator[Features]:
        """Yield the features of some distinct pairs at a time, noting whose context was cut."""
        owner = cache_key(FEATURES, self._fingerprint)
        for start in range(0, len(distinct.pairs), PAIRS_PER_CHUNK):
            pairs = distinct.pairs[start : start + PAIRS_PER_CHUNK]
            keys = [_key(owner, pair) for pair in pairs]
            known = {} if self.cache is None else self.cache.get(keys)
            missing = [place for place, key in enumerate(keys) if key not in known]
            if advance is not None:
                advance(len(pairs) - len(missing))
            if missing:
                trees, truncated = self._encode(distinct, [start + place for place in missing])
                cut_here = {missing[number] for number in truncated}
                new = self.model.features(trees, advance=advance)
                ends = np.cumsum([len(tree.lengths) for tree in trees])
                for place, end in zip(missing, ends, strict=True):
                    part = new.take(np.arange(end - len(pairs[place][1]), end))
                    known[keys[place]] = _to_bytes(part, place in cut_here)
                if self.cache is not None:
                    self.cache.put({keys[place]: known[keys[place]] for place in missing})
            parts = [_from_bytes(known[key], self.model.hidden_size) for key in keys]
            cut.extend(start + place for place, (_, was_cut) in enumerate(parts) if was_cut)
            yield Features.concatenate(part for part, _ in parts)

    @property
    def _fingerprint(self) -> str:
        return self.model.manifest.fingerprint


@dataclass(frozen=True)
class _Distinct:
    """Pairs without repetition.

    Attributes
    ----------
    pairs : list of (context, continuations)
    place : list of int
        Which of `pairs` each of the given pairs is.
    """

    pairs: list[Pair]
    place: list[int]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _Distinct:
        places: dict[tuple[str, tuple[str, ...]], int] = {}
        distinct: list[Pair] = []
        place = []
        for context, continuations in pairs:
            where = places.setdefault((context, tuple(continuations)), len(places))
            if where == len(distinct):
                distinct.append((context, continuations))
            place.append(where)
        return cls(distinct, place)


def _runs(trees: Sequence[TokenTree]) -> Iterator[tuple[int, int]]:
    """Cut trees into runs whose hidden states are held in memory together."""
    start, held = 0, 0
    for place, tree in enumerate(trees):
        if held and held + len(tree.targets) > TOKENS_IN_MEMORY:
            yield start, place
            start, held = place, 0
        held += len(tree.targets)
    yield start, len(trees)


def _key(owner: bytes, pair: Pair) -> bytes:
    context, continuations = pair
    return cache_key(owner, context, *continuations)


def _to_bytes(features: Features, truncated: bool) -> bytes:
    sizes = [truncated, len(features.lengths), len(features.targets), len(features.hidden)]
    numbers = np.concatenate([sizes, features.lengths, features.targets, features.rows])
    return numbers.astype("<i4").tobytes() + features.hidden.astype("<f4").tobytes()


def _from_bytes(content: bytes, hidden_size: int) -> tuple[Features, bool]:
    truncated, n_continuations, n_tokens, n_rows = np.frombuffer(content, "<i4", 4).tolist()
    sizes = np.cumsum([n_continuations, n_tokens, n_tokens])
    numbers = np.frombuffer(content, "<i4", sizes[-1], offset=16).astype(np.int64)
    lengths, targets, rows = np.split(numbers, sizes[:-1])
    hidden = np.frombuffer(content, "<f4", offset=16 + 4 * int(sizes[-1]))
    return Features(hidden.reshape(n_rows, hidden_size), rows, targets, lengths), bool(truncated)
