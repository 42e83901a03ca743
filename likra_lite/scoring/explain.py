"""Which tokens decide: per-token log-probabilities of one item under every head."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.pairs import Pair
from ..engine.trees import TokenTree
from ..questions.item import Item
from .chunk import items_named
from .columns import layout
from .decision import LinearDecision
from .scorer import ChoiceScorer
from .table import choice_table

__all__ = ["ChoiceExplanation", "Explanation", "explain_item"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceExplanation:
    """One choice, token by token.

    Attributes
    ----------
    choice : str
    tokens : list of str
        The pieces join to the text that was scored, as the tokenizer decodes it.
    log_probs : dict of str to ndarray of shape (n_tokens,)
        Under each head, in nats. Their sum is the choice's log-likelihood. ``neutral`` is
        there if the choice has the same tokens after the neutral context.
    log_likelihoods : dict of str to float
        Under each head, in nats; with ``neutral``, the base model after the neutral context.
    lengths : dict of str to int
        In characters, bytes and tokens.
    score : float
    probability : float
    """

    choice: str
    tokens: list[str]
    log_probs: Mapping[str, FloatArray]
    log_likelihoods: Mapping[str, float]
    lengths: Mapping[str, int]
    score: float
    probability: float

    def columns(self, heads: Sequence[str]) -> dict[str, list[str]]:
        """Return a cell for every token under each head; empty where the tokens are others."""
        nothing = [""] * len(self.tokens)
        return {
            head: [f"{value:.3f}" for value in self.log_probs[head]]
            if head in self.log_probs
            else list(nothing)
            for head in heads
        }


@dataclass(frozen=True)
class Explanation:
    """Every choice of an item, token by token; ``str()`` gives a table.

    Attributes
    ----------
    item : Item
    decision : LinearDecision
        In force.
    prediction : int
    choices : list of ChoiceExplanation
    """

    item: Item
    decision: LinearDecision
    prediction: int
    choices: Sequence[ChoiceExplanation]

    def __str__(self) -> str:
        """Return a table with a line per token, of the heads that are read."""
        heads = self.decision.heads
        lines = [self.item.question, str(self.decision)]
        for index, choice in enumerate(self.choices):
            marks = ["predicted"] * (index == self.prediction)
            marks += ["right"] * (index == self.item.answer)
            note = f" ({', '.join(marks)})" if marks else ""
            lines.append(
                f"\n[{index}] {self.item.text_of(index)}{note}: score {choice.score:.3f}, "
                f"probability {choice.probability:.3f}"
            )
            columns = choice.columns(heads)
            for head, cells in columns.items():
                cells.append(f"{choice.log_likelihoods[head]:.3f}")
            rows = [*map(repr, choice.tokens), "sum"]
            lines.append(textwrap.indent(layout(rows, columns, "token"), "    "))
        return "\n".join(lines)


def _trees(scorer: ChoiceScorer, item: Item, pairs: Sequence[Pair]) -> list[TokenTree]:
    with items_named([item], np.zeros(len(pairs), np.int64)):
        return scorer.model.encoder.trees(pairs)[0]


def explain_item(scorer: ChoiceScorer, decision: LinearDecision, item: Item) -> Explanation:
    """Score one item and keep the tokens apart.

    Parameters
    ----------
    scorer : ChoiceScorer
    decision : LinearDecision
    item : Item

    Returns
    -------
    Explanation
        Tokens are shown under the heads that read the question.
    """
    trees = _trees(scorer, item, scorer.prompt.pairs(item))
    heads = [head for head in scorer.heads if head != "neutral"]
    features, log_probs = scorer.model.read_and_score(trees, scorer.select(heads))
    columns = dict(
        zip(heads, np.add.reduceat(log_probs, features.offsets[:-1], axis=1), strict=True)
    )
    columns["neutral"] = scorer.neutral([item])
    prompt = scorer.prompt
    bare = _trees(scorer, item, [(prompt.neutral(item), prompt.continuations(item.choices))])
    unasked, neutral = scorer.model.read_and_score(
        bare, scorer.select(["base"]), beside_lora=scorer.adapter == "lora"
    )
    # The same tokens after the question and after the neutral context?
    if all(
        np.array_equal(getattr(unasked, part), getattr(features, part))
        for part in ("targets", "lengths")
    ):
        heads, log_probs = [*heads, "neutral"], np.concatenate([log_probs, neutral])
    table = choice_table([item], features.lengths, columns)
    scores, probabilities = decision.scores(table), decision.probabilities(table)
    bounds = features.offsets
    choices = [
        ChoiceExplanation(
            choice=choice,
            tokens=scorer.model.encoder.pieces(
                features.targets[bounds[i] : bounds[i + 1]].tolist()
            ),
            log_probs={
                head: row[bounds[i] : bounds[i + 1]]
                for head, row in zip(heads, log_probs, strict=True)
            },
            log_likelihoods={head: float(column[i]) for head, column in table.heads.items()},
            lengths={name: int(column[i]) for name, column in table.lengths.items()},
            score=float(scores[i]),
            probability=float(probabilities[i]),
        )
        for i, choice in enumerate(item.choices)
    ]
    return Explanation(item, decision, int(decision.predict(table)[0]), choices)
