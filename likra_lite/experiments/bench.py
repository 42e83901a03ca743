"""Fitting on many subsets of the same items, with one trunk pass over them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..adapters import DEFAULT_PENALTY
from ..errors import LikraError, TruncationWarning
from ..features import Features
from ..fitting import FITTED_HEADS, fit_heads, training_set
from ..items import Item, answer_indices, warn_of_overlap
from ..likelihoods import LogLikelihoods
from ..negatives import Negatives, draw_negatives
from ..prompts import AnswerOnly
from ..ratio import Decision
from ..scoring import ChoiceScorer, choice_table, warn_of_truncation
from ..selection import ALPHAS, choose
from ..validation import check_integer

__all__ = ["RIGHT", "Bench", "mean_log_likelihoods", "roles_of"]

RIGHT = "right"

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


def roles_of(items: Sequence[Item]) -> NDArray[np.str_] | None:
    """Return the role of every choice, if the items' metadata tell.

    Roles are names such as ``right``, ``tempting`` or ``unrelated`` in
    ``item.metadata["roles"]``, one for each choice, with ``right`` for the answer and nothing
    else. Where any item has none, or something else under that name, none count.

    Returns
    -------
    ndarray of shape (n_choices,) or None
    """
    found: list[str] = []
    for item in items:
        roles = item.metadata.get("roles")
        if (
            not isinstance(roles, list | tuple)
            or len(roles) != len(item.choices)
            or not all(isinstance(role, str) for role in roles)
            or [role == RIGHT for role in roles]
            != [place == item.answer for place in range(len(roles))]
        ):
            return None
        found.extend(roles)
    return np.array(found)


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
        group: {head: float(values[groups == group].mean()) for head, values in table.heads.items()}
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
    advance : callable, optional
        Called with the number of items read.

    Attributes
    ----------
    y : ndarray of shape (n_items,)
    test_y : ndarray of shape (n_test_items,)
    test_table : LogLikelihoods
        The test items under the heads that need no fitting, ``base`` and ``neutral``.

    Raises
    ------
    LikraError
        If there are fewer than two training items, or an item has no answer.

    Warns
    -----
    OverlapWarning
        If test items are training items too.
    TruncationWarning
        If contexts were cut to fit the model.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        test_items: Sequence[Item],
        penalty: float = DEFAULT_PENALTY,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        if len(items) < 2:
            raise LikraError(f"an experiment needs at least two training items; got {len(items)}")
        self.scorer = scorer
        self.items = items
        self.test_items = test_items
        self.penalty = penalty
        self.y = answer_indices(items)
        self.test_y = answer_indices(test_items)
        if not self.hidden:
            warn_of_overlap(items, test_items)
        self._training = training_set(
            scorer, items, self.y, ["base"], None, "none", advance=advance
        )
        self._test, truncated = scorer.pair_scorer.features(scorer.pairs(test_items), advance)
        cut = np.flatnonzero(truncated).tolist()
        warn_of_truncation(cut, len(test_items), scorer.model.manifest.max_length)
        base = scorer.model.log_likelihoods(self._test, scorer.stack(["base"]))[0]
        neutral = base if self.hidden else scorer.neutral(test_items)
        columns = {"base": base, "neutral": neutral}
        self.test_table = choice_table(test_items, self._test.lengths, columns)
        self._positive: dict[tuple[int, int], FloatArray] = {}

    def without_question(self, advance: Callable[[int], object] | None = None) -> Bench:
        """Return the same bench with every question hidden: the answer-only control."""
        prompt = self.scorer.prompt.without_question()
        scorer = replace(self.scorer, prompt=prompt)
        return Bench(scorer, self.items, self.test_items, self.penalty, advance)

    @property
    def hidden(self) -> bool:
        """Whether questions are hidden."""
        return isinstance(self.scorer.prompt, AnswerOnly)

    @property
    def chance(self) -> float:
        """The accuracy of a guess on the test items."""
        return float(np.mean(1.0 / self.test_table.n_choices))

    @cached_property
    def roles(self) -> list[str]:
        """The roles of wrong choices that every training item has."""
        roles = roles_of(self.items)
        if roles is None:
            return []
        shared = set.intersection(*(set(item.metadata["roles"]) for item in self.items))
        return [role for role in dict.fromkeys(roles.tolist()) if role in shared - {RIGHT}]

    def subset(self, n_items: int, draw: int) -> BoolArray:
        """Return which items are used, of shape (n_items,); of one draw, smaller within larger.

        Raises
        ------
        LikraError
            If there are not as many items.
        """
        check_integer("n_items", n_items, 1)
        check_integer("draw", draw, 0)
        total = len(self.items)
        if n_items > total:
            raise LikraError(f"got a subset of {n_items} items but there are {total}")
        keep = np.zeros(total, dtype=bool)
        keep[np.random.default_rng(draw).permutation(total)[:n_items]] = True
        return keep

    def _chosen(self, keep: BoolArray) -> list[Item]:
        return [item for item, used in zip(self.items, keep, strict=True) if used]

    def fit(self, n_items: int, draw: int = 0, negatives: str | Set[str] = "own") -> ChoiceScorer:
        """Fit both heads on some of the items.

        Parameters
        ----------
        n_items : int
        draw : int
            Seed of the subset and of its negatives.
        negatives : str or set of str
            A kind of negatives, see :func:`likra_lite.negatives.draw_negatives`, or some of
            :attr:`roles`.

        Returns
        -------
        ChoiceScorer
            With the fitted heads.
        """
        keep = self.subset(n_items, draw)
        training, used = self._training, keep
        if negatives == "other":
            # Answers of other questions are read after this subset's questions.
            chosen, y = self._chosen(keep), self.y[keep]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncationWarning)  # told when the items were read
                training = training_set(
                    self.scorer, chosen, y, ["base"], "other", "none", seed=draw
                )
            used = np.ones(n_items, dtype=bool)
        else:
            drawn = self.draw_negatives(negatives, draw)
            starts = training.table.offsets[:-1]
            training = replace(
                training, negatives=drawn, negative=starts[drawn.item] + drawn.choice
            )
        # The positive head is the same whatever the negatives.
        positive = self._positive.get((n_items, draw))
        missing = FITTED_HEADS if positive is None else ("negative",)
        fitted = fit_heads(self.scorer, training, missing, self.penalty, used)
        positive = self._positive.setdefault(
            (n_items, draw), fitted.deltas["positive"] if positive is None else positive
        )
        deltas = {"positive": positive, "negative": fitted.deltas["negative"]}
        return ChoiceScorer(self.scorer.model, self.scorer.prompt, deltas)

    def can_draw(self, negatives: str | Set[str], n_items: int, draw: int) -> bool:
        """Return whether a subset has negatives of a kind: yes and no are no one else's answers."""
        if negatives != "other":
            return True
        keep = self.subset(n_items, draw)
        try:
            draw_negatives(self._chosen(keep), self.y[keep], "other", seed=draw)
        except LikraError:
            return False
        return True

    def draw_negatives(self, negatives: str | Set[str], draw: int) -> Negatives:
        """Draw one wrong choice per item, of a kind or in one of some roles; see :meth:`fit`."""
        if isinstance(negatives, str):
            table = self._training.table
            scores = table.split(Decision("base").scores(table))
            return draw_negatives(self.items, self.y, negatives, seed=draw, base_scores=scores)
        if not negatives or not negatives <= set(self.roles):
            raise LikraError(
                f"got negatives in the roles {sorted(negatives)}; every item has {self.roles}"
            )
        rng = np.random.default_rng(draw)
        chosen = [
            rng.choice([p for p, role in enumerate(item.metadata["roles"]) if role in negatives])
            for item in self.items
        ]
        index = np.arange(len(self.items))
        return Negatives(index, index, np.array(chosen, dtype=np.int64))

    def choose_alphas(
        self, fitted: ChoiceScorer, n_items: int, draw: int, modes: Sequence[str]
    ) -> dict[str, float]:
        """Return the alphas that explain the unused training items best under fitted heads.

        Parameters
        ----------
        fitted : ChoiceScorer
            The result of :meth:`fit` with the same `n_items` and `draw`.
        n_items, draw : int
        modes : sequence of str
            Modes with an alpha.

        Returns
        -------
        dict of str to float
            By mode.

        Raises
        ------
        LikraError
            If no training item is left unused.
        """
        unused = ~self.subset(n_items, draw)
        if not unused.any():
            raise LikraError(f"all {n_items} items were fitted on; none is left to choose alpha on")
        whole = self._training.table
        choices = np.flatnonzero(np.repeat(unused, whole.n_choices))
        base = whole.take(np.flatnonzero(unused))
        table = self._with_heads(base, fitted, self._training.features.take(choices))
        return {
            mode: choose(table, self.y[unused], [mode], ALPHAS, ["none"])[0].alpha for mode in modes
        }

    def test(self, fitted: ChoiceScorer) -> LogLikelihoods:
        """Return the test items' log-likelihoods under fitted heads, with base and neutral."""
        return self._with_heads(self.test_table, fitted, self._test)

    def _with_heads(
        self, table: LogLikelihoods, fitted: ChoiceScorer, features: Features
    ) -> LogLikelihoods:
        """Add the columns of fitted heads to a table of the same choices as the features."""
        heads = tuple(fitted.deltas)
        scored = self.scorer.model.log_likelihoods(features, fitted.stack(heads))
        return replace(table, heads={**table.heads, **dict(zip(heads, scored, strict=True))})
