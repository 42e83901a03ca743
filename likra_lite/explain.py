"""Which tokens decide: per-token log-probabilities of one item under every head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .items import Item
from .ratio import Decision
from .scoring import ChoiceScorer

__all__ = ["ChoiceExplanation", "Explanation", "explain_item"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceExplanation:
    """One choice, token by token.

    Attributes
    ----------
    choice : str
    tokens : list of str
        The pieces join to the text that was scored.
    log_probs : dict of str to ndarray of shape (n_tokens,)
        Under each head, in nats. Their sum is the choice's log-likelihood.
    score : float
    probability : float
    """

    choice: str
    tokens: list[str]
    log_probs: Mapping[str, FloatArray]
    score: float
    probability: float


@dataclass(frozen=True)
class Explanation:
    """Every choice of an item, token by token; ``str()`` gives a table.

    Attributes
    ----------
    item : Item
    prediction : int
    choices : list of ChoiceExplanation
    """

    item: Item
    prediction: int
    choices: Sequence[ChoiceExplanation]

    def __str__(self) -> str:
        """Return a table with a line per token."""
        lines = [self.item.question]
        for index, choice in enumerate(self.choices):
            marks = "predicted" if index == self.prediction else ""
            if index == self.item.answer:
                marks += ", right" if marks else "right"
            note = f" ({marks})" if marks else ""
            lines.append(
                f"\n[{index}] {choice.choice}{note}: score {choice.score:.3f}, "
                f"probability {choice.probability:.3f}"
            )
            heads = list(choice.log_probs)
            lines.append(f"    {'token':<16}" + "".join(f"{head:>10}" for head in heads))
            for place, token in enumerate(choice.tokens):
                values = "".join(f"{choice.log_probs[head][place]:>10.3f}" for head in heads)
                lines.append(f"    {token!r:<16}{values}")
        return "\n".join(lines)


def explain_item(scorer: ChoiceScorer, decision: Decision, item: Item) -> Explanation:
    """Score one item and keep the tokens apart.

    Parameters
    ----------
    scorer : ChoiceScorer
    decision : Decision
    item : Item

    Returns
    -------
    Explanation
        Heads are those that share the trunk pass; the neutral context has no tokens of
        its own to show.
    """
    (tree,), _ = scorer.trees([item])
    heads = [head for head in scorer.heads if head != "neutral"]
    features = scorer.model.features([tree])
    log_probs = scorer.model.token_log_probs(features, scorer.stack(heads))
    table = scorer.table([item])
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
            score=float(scores[i]),
            probability=float(probabilities[i]),
        )
        for i, choice in enumerate(item.choices)
    ]
    return Explanation(item, int(decision.predict(table)[0]), choices)
