"""What became of items: how many are right, which could not be scored, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

__all__ = ["UNSCORED", "Tally"]

UNSCORED = 3  # exit status
SHOWN = 10  # items told of one by one


class Tally:
    """Counts right predictions, items that were left out, and those whose context was cut."""

    def __init__(self) -> None:
        self.answered = 0
        self.right = 0
        self.unscored = 0
        self.messages: list[str] = []
        self.cut = 0
        self.first_cut: list[int] = []

    def add(self, chunk: Any, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take note of a :class:`~likra_lite.scoring.chunk.Chunk` and the records of its items."""
        judged = [row["right"] for row in rows if "right" in row]
        self.answered += len(judged)
        self.right += sum(judged)
        if chunk.problems is not None:
            self.unscored += len(chunk.problems.problems)
            self.messages += chunk.problems.messages[: SHOWN - len(self.messages)]
        self.cut += len(chunk.truncated)
        self.first_cut = (self.first_cut + chunk.truncated)[:1]

    def state(self) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        return dict(vars(self))

    def take(self, state: dict[str, Any]) -> None:
        """Add what an earlier run, or one over another file, has found."""
        for name in ("answered", "right", "unscored", "cut"):
            setattr(self, name, getattr(self, name) + state[name])
        self.messages += state["messages"][: SHOWN - len(self.messages)]
        self.first_cut = (self.first_cut + state["first_cut"])[:1]

    def warn(self, total: int, max_length: int) -> None:
        """Warn of contexts that were cut, if some were."""
        from likra_lite.scoring.chunk import warn_of_truncation

        warn_of_truncation(self.first_cut, total, max_length, self.cut)

    def tell_written(self, total: int, place: str) -> None:
        """Say on stderr how many predictions were written where, and how many are right."""
        count = total - self.unscored
        line = f"wrote {count} prediction{'s' * (count != 1)} to {place}"
        if self.answered:
            known = f"{self.answered}" if self.answered == count else f"{self.answered} answered"
            line += f"; {self.right} of {known} right ({self.right / self.answered:.3f})"
        click.echo(f"likra-lite: {line}", err=True)

    def tell(self, total: int) -> None:
        """Say on stderr what was left out, and exit with a status of its own; or do nothing."""
        if not self.unscored:
            return
        for message in self.messages:
            click.echo(f"likra-lite: not scored: {message}", err=True)
        click.echo(f"likra-lite: {self.unscored} of {total} items were not scored", err=True)
        sys.exit(UNSCORED)
