"""Right answers in a file of their own, one for each item."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ..errors import ItemError
from .documents import json_document
from .records import Draft
from .streams import LineError, Source, encoding_of
from .values import is_missing, plain, shown

__all__ = ["LabelFile"]


class LabelFile:
    """A file with an answer on each line, or a JSON array of answers.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.source = Source(path)

    def attach(self, drafts: Iterator[tuple[int, Draft, str]]) -> Iterator[tuple[int, Draft, str]]:
        """Give each item the next answer.

        Parameters
        ----------
        drafts : iterator of (int, Draft, str)
            The line of an item, the item, and the place of its answer for messages.

        Raises
        ------
        ItemError
            If answers and items are not as many, or an item has an answer of its own.
        """
        labels = self._labels()
        n_items = 0
        for line, draft, place in drafts:
            n_items += 1
            found = next(labels, None)
            if found is None:
                raise ItemError(f"{self.source.place}: has {n_items - 1} answers for more items")
            yield line, _with_answer(draft, found[1], place), f"{self.source.place}:{found[0]}"
        if next(labels, None) is not None:
            raise ItemError(f"{self.source.place}: has more answers than the {n_items} items")

    def _labels(self) -> Iterator[tuple[int, Any]]:
        encoding = encoding_of(self.source, is_table=False)
        is_array = self.source.head().decode(encoding, "ignore").lstrip().startswith("[")
        try:
            if is_array:
                yield from json_document(self.source.text(encoding))
                return
            pending: list[tuple[int, str]] = []
            for number, line in self.source.lines(encoding):
                pending.append((number, line.strip()))
                if pending[-1][1]:  # empty lines are missing answers, but at the end of the file
                    yield from pending
                    pending.clear()
        except LineError as error:
            raise ItemError(f"{self.source.place}:{error.line}: {error}") from None


def _with_answer(draft: Draft, answer: Any, place: str) -> Draft:
    if draft.given is None:
        raise ItemError(f"{place}: the record marks the right choice itself; leave out --labels")
    own = draft.given.value
    if not is_missing(own) and own not in (-1, "-1"):
        raise ItemError(f"{place}: has the answer {shown(own)} already; leave out --labels")
    return draft._replace(given=draft.given._replace(value=plain(answer)))
