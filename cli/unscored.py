"""Items that a model could not score, or not as they are: messages, and the exit status."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["UNSCORED", "Unscored"]

UNSCORED = 3  # exit status
SHOWN = 10  # items told of one by one


class Unscored:
    """Gathers the items that were left out, and those whose context was cut."""

    def __init__(self) -> None:
        self.count = 0
        self.messages: list[str] = []
        self.cut = 0
        self.first_cut: list[int] = []

    def add(self, chunk: Any) -> None:
        """Take note of a :class:`likra_lite.scoring.chunk.Chunk`."""
        if chunk.problems is not None:
            self.count += len(chunk.problems.problems)
            self.messages += chunk.problems.messages[: SHOWN - len(self.messages)]
        self.cut += len(chunk.truncated)
        self.first_cut = (self.first_cut + chunk.truncated)[:1]

    def state(self) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        return dict(vars(self))

    def take(self, state: dict[str, Any]) -> None:
        """Add what an earlier run, or one over another file, has found."""
        self.count += state["count"]
        self.messages += state["messages"][: SHOWN - len(self.messages)]
        self.cut += state["cut"]
        self.first_cut = (self.first_cut + state["first_cut"])[:1]

    def warn(self, total: int, max_length: int) -> None:
        """Warn of contexts that were cut, if some were."""
        from likra_lite.scoring.chunk import warn_of_truncation

        warn_of_truncation(self.first_cut, total, max_length, self.cut)

    def tell(self, total: int) -> None:
        """Say on stderr what was left out, and exit with a status of its own; or do nothing."""
        if not self.count:
            return
        for message in self.messages:
            click.echo(f"likra-lite: not scored: {message}", err=True)
        click.echo(f"likra-lite: {self.count} of {total} items were not scored", err=True)
        sys.exit(UNSCORED)
