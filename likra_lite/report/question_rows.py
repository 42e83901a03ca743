"""The items of a test as rows of a report: scores, predictions, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..questions.item import Item
from ..scoring.decision import LinearDecision
from ..scoring.explain import explain_item
from ..scoring.margin import margin_of
from ..scoring.scorer import ChoiceScorer
from ..scoring.table import LogLikelihoods
from .contents import ChoiceRow, ItemRow

__all__ = ["item_rows"]


def item_rows(
    items: Sequence[Item],
    y: NDArray[np.int64],
    table: LogLikelihoods,
    decision: LinearDecision,
    scorer: ChoiceScorer,
    advance: Callable[[int], object] | None = None,
) -> tuple[ItemRow, ...]:
    """Return a row for each item.

    Parameters
    ----------
    items : sequence of Item
    y : ndarray of shape (n_items,)
        Their right choices.
    table : LogLikelihoods
        Of these items, with ``base`` and the heads of the mode.
    decision : LinearDecision
        Its temperature makes the probabilities.
    scorer : ChoiceScorer
        With the fitted heads: reads every item again, token by token.
    advance : callable, optional
        Called with 1 after every item that was read.

    Returns
    -------
    tuple of ItemRow
    """
    scores, probabilities = (
        table.split(column) for column in (decision.scores(table), decision.probabilities(table))
    )
    base = decision.reference.predict(table)
    rows = []
    for index, item in enumerate(items):
        tokens: list[tuple[tuple[str, ...], tuple[float, ...]]] = [((), ())] * len(item.choices)
        explanation = explain_item(scorer, decision, item)
        parts = margin_of(explanation).contributions
        if parts is not None:
            tokens = [
                (tuple(choice.tokens), tuple(part.tokens.tolist()))
                for choice, part in zip(explanation.choices, parts, strict=True)
            ]
        if advance is not None:
            advance(1)
        choices = tuple(
            ChoiceRow(text, float(score), float(share), *pieces)
            for text, score, share, pieces in zip(
                item.choices, scores[index], probabilities[index], tokens, strict=True
            )
        )
        name = str(index + 1) if item.id is None else item.id
        rows.append(
            ItemRow(
                name, item.question, choices, int(y[index]), int(base[index]), item.context or ""
            )
        )
    return tuple(rows)
