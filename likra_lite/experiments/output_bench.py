"""Output matrices on many subsets of the same items, with one trunk pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.features import Features
from ..engine.head import Head
from ..engine.onnx import LanguageModel
from ..engine.ragged import span_indices
from ..engine.sessions import available_threads
from ..heads.negatives import Negatives
from ..heads.output import DEFAULT_PENALTY
from ..heads.settings import FITTED_HEADS, FitSettings
from ..heads.training_set import fit_heads, training_set
from ..questions.item import Item
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import DecisionRule
from ..scoring.table import LogLikelihoods
from .bench import Bench
from .held_out import HeldOut
from .points import Point

__all__ = ["OutputBench"]

# Heads are fitted point by point; what is read first needs none.
NO_HEADS = FitSettings(DecisionRule("base"))


class OutputBench(Bench):
    """Fits of output matrices, on hidden states that are read once.

    Parameters
    ----------
    scorer, items, held_out
        See :class:`Bench`.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    advance : callable, optional
        Called with the number of items read.

    Warns
    -----
    TruncationWarning
        If contexts were cut to fit the model.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        held_out: Mapping[str, HeldOut],
        penalty: float = DEFAULT_PENALTY,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__(scorer, items, held_out)
        self.penalty = penalty
        self._training = training_set(scorer, items, self.y, NO_HEADS, advance)
        self._positive: dict[tuple[int, int], Head] = {}
        self._borrowed: dict[tuple[int, int, int], int] = {}

    @property
    def training_table(self) -> LogLikelihoods:
        """The training items under the base model."""
        return self._training.table

    def fit(self, point: Point) -> ChoiceScorer:
        """Return the language model with both heads fitted at a point."""
        keep, drawn = self.subset(point.n_items, point.seed), self.draw(point)
        self._read_borrowed([drawn])
        negative = self.training_table.offsets[drawn.item] + drawn.choice
        negative[drawn.borrowed] = [self._borrowed[key] for key in _keys(drawn)]
        training = replace(self._training, negatives=drawn, negative=negative)
        # The positive head is the same whatever the negatives.
        same = point.n_items, point.seed
        missing = ("negative",) if same in self._positive else FITTED_HEADS
        fitted = fit_heads(self.scorer, training, missing, self.penalty, keep)
        if same not in self._positive:
            self._positive[same] = fitted.fitted["positive"]
        heads = {"positive": self._positive[same], "negative": fitted.fitted["negative"]}
        return ChoiceScorer(self.scorer.model, self.scorer.prompt, heads)

    def prepare(self, points: Iterable[Point]) -> None:
        """Read the answers that points borrow from other items."""
        self._read_borrowed(map(self.draw, points))

    def _read_borrowed(self, drawn: Iterable[Negatives]) -> None:
        """Run the trunk over the answers that were drawn from other items, each once."""
        keys = dict.fromkeys(key for each in drawn for key in _keys(each))
        new = sorted(keys.keys() - self._borrowed.keys())
        if not new:
            return
        pairs = Negatives(*np.array(new).T).pairs(self.items, self.scorer.prompt)
        read = self.scorer.pair_scorer.features(pairs).features
        known = self._training.features
        self._borrowed |= {key: len(known.lengths) + place for place, key in enumerate(new)}
        self._training = replace(self._training, features=Features.concatenate([known, read]))

    def score_training(self, fitted: ChoiceScorer, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return some training items' log-likelihoods under the base model and fitted heads."""
        whole = self.training_table
        choices = span_indices(whole.offsets[items], whole.n_choices[items])
        heads = tuple(fitted.fitted)
        features = self._training.features.take(choices)
        scored = fitted.model.log_likelihoods(features, fitted.select(heads))
        table = whole.take(items)
        return replace(table, heads={**table.heads, **dict(zip(heads, scored, strict=True))})

    def spread(self, workers: int, folder: Path) -> OutputBench:
        """Return the bench with hidden states in files that all processes map."""
        folder.mkdir()
        count = 0

        def mapped(features: Features) -> Features:
            nonlocal count
            count += 1
            path = folder / f"{count}.npy"
            np.save(path, features.hidden)
            return replace(features, hidden=np.load(path, mmap_mode="r"))

        model, twin = self.scorer.model, copy(self)
        threads = max(1, (model.n_threads or available_threads()) // workers)
        twin.scorer = replace(self.scorer, model=LanguageModel(model.folder, threads), cache=None)
        twin._training = replace(self._training, features=mapped(self._training.features))
        twin.held_out = {name: each.moved(mapped) for name, each in self.held_out.items()}
        twin._positive = {}
        return twin


def _keys(drawn: Negatives) -> list[tuple[int, int, int]]:
    """Return item, source and choice of the answers that come from other items."""
    found = drawn.take(drawn.borrowed)
    columns = (found.item, found.source, found.choice)
    return list(zip(*(column.tolist() for column in columns), strict=True))
