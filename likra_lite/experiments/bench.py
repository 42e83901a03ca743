"""Fitting on many subsets of the same items, with one trunk pass over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..adapters import DEFAULT_PENALTY
from ..errors import LikraError
from ..fitting import FITTED_HEADS, TrainingSet, fit_heads, training_set
from ..items import Item, answer_indices
from ..likelihoods import LogLikelihoods
from ..negatives import Negatives, draw_negatives
from ..ratio import Decision
from ..scoring import ChoiceScorer, choice_table

__all__ = ["Bench", "mean_log_likelihoods"]

BoolArray = NDArray[np.bool_]


def roles_of(items: Sequence[Item]) -> NDArray[np.str_] | None:
    """Return the role of every choice, of shape (n_choices,), or None if items do not tell."""
    if not all("roles" in item.metadata for item in items):
        return None
    return np.array([role for item in items for role in item.metadata["roles"]])


def mean_log_likelihoods(
    table: LogLikelihoods, groups: NDArray[np.str_]
) -> dict[str, dict[str, float]]:
    """Average log-likelihoods over groups of choices.

    Parameters
    ----------
    table : LogLikelihoods
    groups : ndarray of shape (n_choices,)
        A name for every choice, such as ``right``.

    Returns
    -------
    dict of str to dict of str to float
        Mean per group and head, in nats per answer.
    """
    return {
        str(group): {
            head: float(values[groups == group].mean()) for head, values in table.heads.items()
        }
        for group in dict.fromkeys(groups.tolist())
    }


class Bench:
    """Training and test items under one language model, read once.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items, test_items : sequence of Item
        Every item has an answer.
    penalty : float
        See :func:`likra_lite.adapters.fit_output_adapter`.
    n_threads : int, optional
    advance : callable, optional
        Called with the number of items read.

    Attributes
    ----------
    y : ndarray of shape (n_items,)
    test_y : ndarray of shape (n_test_items,)
    test_table : LogLikelihoods
        The test items under the heads that need no fitting, ``base`` and ``neutral``.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        test_items: Sequence[Item],
        penalty: float = DEFAULT_PENALTY,
        n_threads: int | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        self.scorer = scorer
        self.items = items
        self.test_items = test_items
        self.penalty = penalty
        self.n_threads = n_threads
        self.y = answer_indices(items)
        self.test_y = answer_indices(test_items)
        self._training = training_set(
            scorer, items, self.y, ["base"], None, "none", advance=advance
        )
        self._test = scorer.model.features(scorer.trees(test_items)[0], advance=advance)
        base = scorer.model.log_likelihoods(self._test, scorer.stack(["base"]))[0]
        columns = {"base": base, "neutral": scorer.neutral(test_items)}
        self.test_table = choice_table(test_items, self._test.lengths, columns)

    def subset(self, n_items: int, draw: int) -> BoolArray:
        """Return which items are used, of shape (n_items,); of one draw, smaller are within larger.

        Raises
        ------
        LikraError
            If there are not as many items.
        """
        total = len(self.items)
        if n_items > total:
            raise LikraError(f"got a subset of {n_items} items but there are {total}")
        keep = np.zeros(total, dtype=bool)
        keep[np.random.default_rng(draw).permutation(total)[:n_items]] = True
        return keep

    def fit(self, n_items: int, draw: int = 0, negatives: str | Set[str] = "own") -> ChoiceScorer:
        """Fit both heads on some of the items.

        Parameters
        ----------
        n_items : int
        draw : int
            Seed of the subset and of its negatives.
        negatives : str or set of str
            A kind of negatives, see :func:`likra_lite.negatives.draw_negatives`, or the roles
            that a wrong choice may have, for items whose metadata has ``roles``.

        Returns
        -------
        ChoiceScorer
            With the fitted heads.
        """
        keep = self.subset(n_items, draw)
        if negatives == "other":
            # Answers of other questions are read in this subset's questions.
            chosen = [item for item, used in zip(self.items, keep, strict=True) if used]
            training = training_set(
                self.scorer, chosen, self.y[keep], ["base"], "other", "none", seed=draw
            )
            return fit_heads(
                self.scorer, training, FITTED_HEADS, self.penalty, None, self.n_threads
            )
        training = self._with_negatives(self.draw_negatives(negatives, draw))
        return fit_heads(self.scorer, training, FITTED_HEADS, self.penalty, keep, self.n_threads)

    def draw_negatives(self, negatives: str | Set[str], draw: int) -> Negatives:
        """Draw one wrong choice per item, of a kind or in one of some roles; see :meth:`fit`."""
        if isinstance(negatives, str):
            table = self._training.table
            scores = table.split(Decision("base").scores(table))
            return draw_negatives(self.items, self.y, negatives, seed=draw, base_scores=scores)
        rng = np.random.default_rng(draw)
        chosen = [
            rng.choice(
                [place for place, role in enumerate(item.metadata["roles"]) if role in negatives]
            )
            for item in self.items
        ]
        index = np.arange(len(self.items))
        return Negatives(index, index, np.array(chosen, dtype=np.int64))

    def _with_negatives(self, drawn: Negatives) -> TrainingSet:
        starts = self._training.table.offsets[:-1]
        return replace(self._training, negatives=drawn, negative=starts[drawn.item] + drawn.choice)

    def test(self, fitted: ChoiceScorer) -> LogLikelihoods:
        """Return the test items' log-likelihoods under fitted heads, with base and neutral."""
        heads = tuple(fitted.deltas)
        scored = self.scorer.model.log_likelihoods(self._test, fitted.stack(heads))
        columns = {**self.test_table.heads, **dict(zip(heads, scored, strict=True))}
        return replace(self.test_table, heads=columns)
