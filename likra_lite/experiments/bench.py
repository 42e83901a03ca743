"""Fitting on many subsets of the same items, with one trunk pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.features import Features
from ..engine.head import Head
from ..engine.ragged import span_indices
from ..errors import LikraError
from ..heads.negatives import Negatives, draw_negatives
from ..heads.output import DEFAULT_PENALTY
from ..heads.settings import FITTED_HEADS, FitSettings
from ..heads.training_set import fit_heads, training_set
from ..prompts import AnswerOnly
from ..questions.item import Item, answer_indices, warn_of_overlap
from ..scoring.decision import Decision
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import ALPHAS, choose
from ..scoring.table import LogLikelihoods
from ..validation import check_integer
from .held_out import HeldOut

__all__ = ["RIGHT", "Bench", "mean_log_likelihoods", "roles_of"]

RIGHT = "right"

MAX_UNUSED = 1000  # training items that alpha is chosen on

BoolArray = NDArray[np.bool_]


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


# Heads are fitted point by point; what is read first needs none.
NO_HEADS = FitSettings(modes=("base",), alphas=(1.0,), normalizations=("none",))


class Bench:
    """Training and test items under one language model, read once.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items : sequence of Item
        Every item has an answer.
    test_items : sequence of Item, or dict of str to HeldOut
        Items with answers; or several test sets that were read already, by name.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    advance : callable, optional
        Called with the number of items read.

    Attributes
    ----------
    y : ndarray of shape (n_items,)
    held_out : dict of str to HeldOut
        The test sets.

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
        test_items: Sequence[Item] | Mapping[str, HeldOut],
        penalty: float = DEFAULT_PENALTY,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        if len(items) < 2:
            raise LikraError(f"an experiment needs at least two training items; got {len(items)}")
        self.scorer = scorer
        self.items = items
        self.penalty = penalty
        self.y = answer_indices(items)
        if not isinstance(test_items, Mapping) and not self.hidden:
            answer_indices(test_items)
            warn_of_overlap(items, test_items)
        self._training = training_set(scorer, items, self.y, NO_HEADS, advance)
        if not isinstance(test_items, Mapping):
            test_items = {"test": HeldOut.read(scorer, test_items, advance=advance)}
        self.held_out = test_items
        self._positive: dict[tuple[int, int], Head] = {}
        self._borrowed: dict[tuple[int, int, int], int] = {}

    def without_question(self, advance: Callable[[int], object] | None = None) -> Bench:
        """Return the same bench with every question hidden: the answer-only control."""
        prompt = self.scorer.prompt.without_question()
        scorer = replace(self.scorer, prompt=prompt)
        return Bench(scorer, self.items, self.test_items, self.penalty, advance)

    def moved(self, model: Engine, mapped: Callable[[Features], Features]) -> Bench:
        """Return the bench with a twin of its model, and its features elsewhere."""
        twin = copy(self)
        twin.scorer = replace(self.scorer, model=model, cache=None)
        twin._training = replace(self._training, features=mapped(self._training.features))
        twin.held_out = {name: each.moved(mapped) for name, each in self.held_out.items()}
        twin._positive = {}
        return twin

    @property
    def hidden(self) -> bool:
        """Whether questions are hidden."""
        return isinstance(self.scorer.prompt, AnswerOnly)

    @property
    def training_table(self) -> LogLikelihoods:
        """The training items under the base model."""
        return self._training.table

    @property
    def _first(self) -> HeldOut:
        return next(iter(self.held_out.values()))

    @property
    def test_items(self) -> Sequence[Item]:
        """The items of the first test set."""
        return self._first.items

    @property
    def test_y(self) -> NDArray[np.int64]:
        """The right choices of the first test set, of shape (n_test_items,)."""
        return self._first.y

    @property
    def test_table(self) -> LogLikelihoods:
        """The first test set under the heads that need no fitting, ``base`` and ``neutral``."""
        return self._first.table

    @property
    def chance(self) -> float:
        """The accuracy of a guess on the first test set."""
        return self._first.chance

    @cached_property
    def roles(self) -> list[str]:
        """The roles of wrong choices that every training item has."""
        roles = roles_of(self.items)
        if roles is None:
            return []
        shared = set.intersection(*(set(item.metadata["roles"]) for item in self.items))
        return [role for role in dict.fromkeys(roles.tolist()) if role in shared - {RIGHT}]

    def _order(self, draw: int) -> NDArray[np.int64]:
        check_integer("draw", draw, 0)
        return np.random.default_rng(draw).permutation(len(self.items))

    def subset(self, n_items: int, draw: int) -> BoolArray:
        """Return which items are used, of shape (n_items,); of one draw, smaller within larger.

        Raises
        ------
        LikraError
            If there are not as many items.
        """
        check_integer("n_items", n_items, 1)
        total = len(self.items)
        if n_items > total:
            raise LikraError(f"got a subset of {n_items} items but there are {total}")
        keep = np.zeros(total, dtype=bool)
        keep[self._order(draw)[:n_items]] = True
        return keep

    def unused(self, n_items: int, draw: int) -> NDArray[np.int64]:
        """Return items outside a subset, :data:`MAX_UNUSED` at most, to choose alpha on.

        Returns
        -------
        ndarray of shape (n_unused,)
            Indices in ascending order.
        """
        return np.sort(self._order(draw)[n_items : n_items + MAX_UNUSED])

    def fit(
        self,
        n_items: int,
        draw: int = 0,
        negatives: str | Set[str] = "own",
        n_negatives: int = 1,
        contamination: float = 0.0,
    ) -> ChoiceScorer:
        """Fit both heads on some of the items.

        Parameters
        ----------
        n_items : int
        draw : int
            Seed of the subset and of its negatives.
        negatives : str or set of str
            A kind of negatives, see :func:`likra_lite.heads.negatives.draw_negatives`, or some of
            :attr:`roles`.
        n_negatives : int
            Wrong answers per item, as far as it has them; 1 for roles.
        contamination : float
            Share of wrong answers that are replaced by right ones; 0 for roles.

        Returns
        -------
        ChoiceScorer
            With the fitted heads.
        """
        keep = self.subset(n_items, draw)
        drawn = self.draw_negatives(negatives, draw, n_negatives, contamination, keep)
        self.read_borrowed([drawn])
        negative = self.training_table.offsets[drawn.item] + drawn.choice
        borrowed = drawn.item != drawn.source
        negative[borrowed] = [self._borrowed[key] for key in _keys(drawn)]
        training = replace(self._training, negatives=drawn, negative=negative)
        # The positive head is the same whatever the negatives.
        positive = self._positive.get((n_items, draw))
        missing = FITTED_HEADS if positive is None else ("negative",)
        fitted = fit_heads(self.scorer, training, missing, self.penalty, keep)
        positive = self._positive.setdefault(
            (n_items, draw), fitted.fitted["positive"] if positive is None else positive
        )
        heads = {"positive": positive, "negative": fitted.fitted["negative"]}
        return ChoiceScorer(self.scorer.model, self.scorer.prompt, heads)

    def read_borrowed(
        self, drawn: Iterable[Negatives], advance: Callable[[int], object] | None = None
    ) -> None:
        """Run the trunk over the answers that were drawn from other items, each once."""
        keys = dict.fromkeys(key for each in drawn for key in _keys(each))
        new = sorted(keys.keys() - self._borrowed.keys())
        if not new:
            return
        prompt = self.scorer.prompt
        pairs = [
            (
                prompt.context(self.items[item]),
                [prompt.borrowed(self.items[source].choices[choice])],
            )
            for item, source, choice in new
        ]
        read = self.scorer.pair_scorer.features(pairs, advance).features
        known = self._training.features
        self._borrowed |= {key: len(known.lengths) + place for place, key in enumerate(new)}
        self._training = replace(self._training, features=Features.concatenate([known, read]))

    def can_draw(self, negatives: str | Set[str], n_items: int, draw: int) -> bool:
        """Return whether a subset has negatives of a kind: yes and no are no one else's answers."""
        try:
            self.draw_negatives(negatives, draw, keep=self.subset(n_items, draw))
        except LikraError:
            return False
        return True

    def draw_negatives(
        self,
        negatives: str | Set[str],
        draw: int,
        n_negatives: int = 1,
        contamination: float = 0.0,
        keep: BoolArray | None = None,
    ) -> Negatives:
        """Draw wrong answers, of a kind or in one of some roles; see :meth:`fit`.

        Answers of other questions are drawn among the items of `keep`, all by default; other
        kinds are drawn for all items.
        """
        if negatives == "other":
            kept = np.arange(len(self.items)) if keep is None else np.flatnonzero(keep)
            chosen = [self.items[index] for index in kept.tolist()]
            found = draw_negatives(
                chosen, self.y[kept], "other", n_negatives, contamination, seed=draw
            )
            return Negatives(kept[found.item], kept[found.source], found.choice)
        if isinstance(negatives, str):
            table = self.training_table
            scores = table.split(Decision("base").scores(table))
            return draw_negatives(
                self.items, self.y, negatives, n_negatives, contamination, draw, scores
            )
        if not negatives or not negatives <= set(self.roles):
            raise LikraError(
                f"got negatives in the roles {sorted(negatives)}; every item has {self.roles}"
            )
        rng = np.random.default_rng(draw)
        chosen_roles = [
            rng.choice([p for p, role in enumerate(item.metadata["roles"]) if role in negatives])
            for item in self.items
        ]
        index = np.arange(len(self.items))
        return Negatives(index, index, np.array(chosen_roles, dtype=np.int64))

    def choose_alphas(
        self, fitted: ChoiceScorer, n_items: int, draw: int, modes: Sequence[str]
    ) -> dict[str, float]:
        """Return the alphas that explain unused training items best under fitted heads.

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
        unused = self.unused(n_items, draw)
        if len(unused) == 0:
            raise LikraError(f"all {n_items} items were fitted on; none is left to choose alpha on")
        table = self.score_training(fitted, unused)
        return {
            mode: choose(table, self.y[unused], [mode], ALPHAS, ["none"])[0].alpha for mode in modes
        }

    def score_training(self, fitted: ChoiceScorer, items: NDArray[np.int64]) -> LogLikelihoods:
        """Return some training items' log-likelihoods under the base model and fitted heads."""
        whole = self.training_table
        choices = span_indices(whole.offsets[items], whole.n_choices[items])
        heads = tuple(fitted.fitted)
        features = self._training.features.take(choices)
        scored = fitted.model.log_likelihoods(features, fitted.select(heads))
        table = whole.take(items)
        return replace(table, heads={**table.heads, **dict(zip(heads, scored, strict=True))})

    def test(self, fitted: ChoiceScorer) -> LogLikelihoods:
        """Return the first test set's log-likelihoods under all heads, fitted or not."""
        return self._first.score(fitted)


def _keys(drawn: Negatives) -> list[tuple[int, int, int]]:
    """Return item, source and choice of the answers that come from other items."""
    borrowed = drawn.item != drawn.source
    columns = (drawn.item[borrowed], drawn.source[borrowed], drawn.choice[borrowed])
    return list(zip(*(column.tolist() for column in columns), strict=True))
