"""The modes: which heads speak for a choice and which against it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["FREE_HEADS", "HEADS", "MODES", "Mode", "supported_modes"]

FREE_HEADS = (
    "base",
    "neutral",
)  # the model as it is, after the question and after the neutral context
HEADS = (*FREE_HEADS, "positive", "negative")


class Mode(NamedTuple):
    """Which head speaks for a choice, which against it, and whether alpha weighs it."""

    plus: str
    minus: str | None = None
    weighted: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the mode reads."""
        return (self.plus,) if self.minus is None else (self.plus, self.minus)


MODES = {
    "base": Mode("base"),
    "pmi": Mode("base", "neutral"),
    "sft": Mode("positive"),
    "likra": Mode("positive", "negative", weighted=True),
    "base-likra": Mode("base", "negative", weighted=True),
    "pos-base": Mode("positive", "base"),
}


def supported_modes(heads: Iterable[str]) -> list[str]:
    """Return the modes whose heads are all there."""
    heads = set(heads)
    return [name for name, mode in MODES.items() if heads.issuperset(mode.heads)]
