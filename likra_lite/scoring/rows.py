"""Records of scored items: what the scores mean, one mapping for each item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..questions.answers import letter
from .chunk import Chunk
from .decision import LinearDecision
from .table import LogLikelihoods

__all__ = ["Columns", "row_types", "rows_of"]

# Further columns: what is made of a table, with an entry for each of its items.
Columns = Mapping[str, Callable[[LogLikelihoods], Any]]

ADDED = {"set": [int], "abstain": bool}


def row_types(
    decision: LinearDecision, added: Columns, with_question: bool = False
) -> dict[str, Any]:
    """Return the columns of a record, with the question if wanted.

    Returns
    -------
    dict of str to type
        ``str``, ``int``, ``float`` or ``bool``, a list of one of them for a list, or a mapping of
        such for columns within a column.
    """
    return {
        "id": str,
        **({"question": str} if with_question else {}),
        "prediction": int,
        "letter": str,
        "text": str,
        "right": bool,
        "error": str,
        "scores": [float],
        "probabilities": [float],
        **{name: ADDED[name] for name in added},
        "log_likelihoods": {head: [float] for head in decision.heads},
    }


def rows_of(
    chunk: Chunk,
    first: int,
    decision: LinearDecision,
    added: Columns,
    with_question: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the records of a chunk whose first item has this number.

    An item that could not be scored has an error and no prediction; what is not known is left out.
    """
    scored = iter(_scored(chunk, decision, added))
    problems = {} if chunk.problems is None else chunk.problems.problems
    for position, item in enumerate(chunk.items, start=first):
        record = {"id": position if item.id is None else item.id}
        if with_question:
            record["question"] = item.question or item.context or ""
        if position in problems:
            yield {**record, "prediction": None, "error": problems[position]}
        else:
            yield {**record, **next(scored)}


def _scored(chunk: Chunk, decision: LinearDecision, added: Columns) -> Iterator[dict[str, Any]]:
    table = chunk.table
    if table is None:
        return
    columns = {
        "scores": table.split(decision.scores(table)),
        "probabilities": table.split(decision.probabilities(table)),
        **{name: column(table) for name, column in added.items()},
    }
    by_head = {head: table.split(column) for head, column in table.heads.items()}
    predictions = decision.predict(table).tolist()
    for row, (index, prediction) in enumerate(zip(chunk.scored, predictions, strict=True)):
        item = chunk.items[index]
        known = {} if item.answer is None else {"right": prediction == item.answer}
        yield {
            "prediction": prediction,
            "letter": letter(prediction),
            "text": item.text_of(prediction),
            **known,
            **{name: values[row].tolist() for name, values in columns.items()},
            "log_likelihoods": {head: rows[row].tolist() for head, rows in by_head.items()},
        }
