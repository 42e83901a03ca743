"""Test items, read once by the trunk, to be scored by any number of heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..engine.features import Features
from ..engine.head import Lora
from ..engine.pairs import Pair
from ..questions.inputs import answer_indices
from ..questions.item import Item
from ..scoring.chunk import items_named, warn_of_truncation
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods, choice_table

__all__ = ["HeldOut", "score_texts"]

FloatArray = NDArray[np.float64]
Probes = Mapping[str, Sequence[str | None]]


def score_texts(
    fitted: ChoiceScorer, heads: Sequence[str], features: Features, pairs: Sequence[Pair]
) -> FloatArray:
    """Return log-likelihoods under some heads, with the least work that their kind allows.

    Parameters
    ----------
    fitted : ChoiceScorer
    heads : sequence of str
    features : Features
        Of all continuations under the base model, which is all that output matrices need.
    pairs : sequence of (context, continuations)
        The texts, to be read again under other heads.

    Returns
    -------
    ndarray of shape (n_heads, n_continuations)
        In nats.
    """
    chosen = fitted.select(heads)
    if any(isinstance(head, Lora) for head in chosen):
        return fitted.pair_scorer.scores(pairs, chosen).log_likelihoods
    return fitted.model.log_likelihoods(features, chosen)


@dataclass(frozen=True)
class HeldOut:
    """Test items with their hidden states.

    Attributes
    ----------
    items : sequence of Item
    table : LogLikelihoods
        Under the heads that need no fitting, ``base`` and ``neutral``.
    features : Features
        Of every choice of every item.
    probes : dict of str to ndarray of shape (n_items,)
        For every group of answers from elsewhere, the number of each item's answer among
        `probe_pairs`, -1 where it has none.
    probe_pairs : list of (context, continuations)
    probe_features : Features or None
        Of those, None if there are none.
    """

    items: Sequence[Item]
    table: LogLikelihoods
    features: Features
    probes: Mapping[str, NDArray[np.int64]]
    probe_pairs: list[Pair]
    probe_features: Features | None

    @classmethod
    def read(
        cls,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        probes: Probes | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> HeldOut:
        """Run the trunk over items.

        Parameters
        ----------
        scorer : ChoiceScorer
        items : sequence of Item
            Every item has an answer.
        probes : dict of str to sequence of (str or None), optional
            Groups of answers from elsewhere, one for each item.
        advance : callable, optional
            Called with the number of items read.

        Warns
        -----
        TruncationWarning
            If contexts were cut to fit the model.
        """
        owners = scorer.owners(items)
        with items_named(items, owners):
            features, truncated = scorer.pair_scorer.features(scorer.pairs(items), advance)
        cut = np.unique(owners[truncated]).tolist()
        warn_of_truncation(cut, len(items), scorer.model.manifest.max_length)
        base = scorer.model.log_likelihoods(features, [None])[0]
        columns = {"base": base, "neutral": base if scorer.prompt.hidden else scorer.neutral(items)}
        table = choice_table(items, features.lengths, columns)
        pairs: list[Pair] = []
        places = {}
        for group, answers in (probes or {}).items():
            places[group] = np.full(len(items), -1)
            for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
                if answer is not None:
                    places[group][index] = len(pairs)
                    pairs.append(scorer.prompt.borrowed(item, answer))
        read = scorer.pair_scorer.features(pairs).features if pairs else None
        return cls(items, table, features, places, pairs, read)

    def moved(self, mapped: Callable[[Features], Features]) -> HeldOut:
        """Return the same with the features elsewhere."""
        probes = None if self.probe_features is None else mapped(self.probe_features)
        return replace(self, features=mapped(self.features), probe_features=probes)

    @cached_property
    def y(self) -> NDArray[np.int64]:
        """Index of every right choice, of shape (n_items,)."""
        return answer_indices(self.items)

    def score(self, fitted: ChoiceScorer) -> LogLikelihoods:
        """Return the table with the columns of fitted heads."""
        heads = tuple(fitted.fitted)
        scored = score_texts(fitted, heads, self.features, fitted.pairs(self.items))
        columns = {**self.table.heads, **dict(zip(heads, scored, strict=True))}
        return replace(self.table, heads=columns)

    def score_probes(
        self, fitted: ChoiceScorer, heads: Sequence[str]
    ) -> dict[str, dict[str, FloatArray]]:
        """Return the log-likelihoods of the answers from elsewhere.

        Returns
        -------
        dict of str to dict of str to ndarray of shape (n_items,)
            By group and head, in nats; NaN where an item has no such answer.
        """
        if self.probe_features is None:
            return {}
        scored = score_texts(fitted, heads, self.probe_features, self.probe_pairs)
        padded = np.concatenate([scored, np.full((len(heads), 1), np.nan)], axis=1)
        return {
            group: dict(zip(heads, padded[:, places], strict=True))
            for group, places in self.probes.items()
        }
