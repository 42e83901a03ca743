"""Items that a model could not score: the message on stderr, and the exit status."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["UNSCORED", "Unscored"]

UNSCORED = 3  # exit status
SHOWN = 10  # items told of one by one


class Unscored:
    """Gathers the items that were left out."""

    def __init__(self) -> None:
        self.count = 0
        self.messages: list[str] = []

    def add(self, chunk: Any) -> None:
        """Take note of a :class:`likra_lite.scoring.scorer.Chunk`."""
        if chunk.problems is not None:
            self.count += len(chunk.problems.problems)
            self.messages += chunk.problems.messages[: SHOWN - len(self.messages)]

    def tell(self, total: int) -> None:
        """Say on stderr what was left out, and exit with a status of its own; or do nothing."""
        if not self.count:
            return
        for message in self.messages:
            click.echo(f"likra-lite: not scored: {message}", err=True)
        click.echo(f"likra-lite: {self.count} of {total} items were not scored", err=True)
        sys.exit(UNSCORED)
