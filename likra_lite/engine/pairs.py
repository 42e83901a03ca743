"""Log-likelihoods and features of pairs, each a context with its continuations.

Equal pairs are computed once, and what was computed before is taken from the cache, under a key
that holds all that the result depends on: the model, the heads and the text. Which pairs and
heads are read together decides how sums are rounded. Log-likelihoods are what users are shown, so
their key holds these too: the same question gets the same answer, to the last bit, whatever the
cache holds. Features are what heads are fitted on; a pair's are used in any company, for
cross-validation asks for many subsets of the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
SCORES, FEATURES = "log-likelihoods 3", "features 2"

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
    beside_lora : bool
        Whether LoRA heads are scored too, at another time; see
        :meth:`likra_lite.LanguageModel.read_and_score`.
    """

    model: Engine
    cache: Cache | None = None
    beside_lora: bool = False

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
        distinct = _Distinct.of(pairs).in_order()
        names = [b"" if head is None else head.key for head in heads]
        by_name = dict(zip(names, heads, strict=True))
        by_name = {name: by_name[name] for name in sorted(by_name)}  # the base model first
        values = self._known_or_new(distinct, by_name, advance)
        if advance is not None:
            advance(len(pairs) - len(distinct.pairs))
        cut, n_tokens, *columns = values[:, distinct.continuations]
        of_name = dict(zip(by_name, columns, strict=True))
        counts = np.array([len(continuations) for _, continuations in pairs])
        return PairScores(
            np.array([of_name[name] for name in names]),
            n_tokens.astype(np.int64),
            cut[np.cumsum(counts) - counts].astype(bool),
        )

    def _known_or_new(
        self,
        distinct: _Distinct,
        heads: Mapping[bytes, Head | None],
        advance: Callable[[int], object] | None,
    ) -> NDArray[np.float64]:
        """Return what :meth:`_new_scores` does, from the cache if it is there."""
        owner = cache_key(SCORES, self._fingerprint, str(self.beside_lora), *heads)
        key = cache_key(*(_key(owner, pair) for pair in distinct.pairs))
        known = {} if self.cache is None else self.cache.get([key])
        if key in known:
            if advance is not None:
                advance(len(distinct.pairs))
            return np.frombuffer(known[key]).reshape(2 + len(heads), -1)
        values = self._new_scores(distinct, [*heads.values()], advance)
        if self.cache is not None:
            self.cache.put({key: values.tobytes()})
        return values

    def _new_scores(
        self,
        distinct: _Distinct,
        heads: Sequence[Head | None],
        advance: Callable[[int], object] | None,
    ) -> NDArray[np.float64]:
        """Compute what is kept of distinct pairs.

        An array of shape (2 + n_heads, n_continuations): whether the context was cut, the numbers
        of tokens, the log-likelihoods.
        """
        trees, truncated = self._encode(distinct, range(len(distinct.pairs)))
        parts = []
        for start, stop in _runs(trees):
            features, tokens = self.model.read_and_score(
                trees[start:stop], heads, advance, self.beside_lora
            )
            parts.append(np.add.reduceat(tokens, features.offsets[:-1], axis=1))
        n_tokens = np.concatenate([tree.lengths for tree in trees])
        was_cut = np.isin(np.arange(len(trees)), truncated)
        cut = np.repeat(was_cut, [len(tree.lengths) for tree in trees])
        return np.concatenate([[cut, n_tokens], np.concatenate(parts, axis=1)])

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
        return PairFeatures(joined.take(distinct.continuations), truncated)

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

    def in_order(self) -> _Distinct:
        """Return the same with the pairs in alphabetical order, however they were given."""
        order = sorted(
            range(len(self.pairs)), key=lambda i: (self.pairs[i][0], tuple(self.pairs[i][1]))
        )
        new = np.argsort(order)
        return _Distinct([self.pairs[i] for i in order], new[self.place].tolist())

    @property
    def continuations(self) -> NDArray[np.int64]:
        """Return where the continuations of all given pairs are among those of `pairs`."""
        counts = np.array([len(continuations) for _, continuations in self.pairs])
        starts = np.cumsum(counts) - counts
        return span_indices(starts[self.place], counts[self.place])


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
