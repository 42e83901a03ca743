"""Words that several captions share."""

from __future__ import annotations

__all__ = ["NOT_TESTED", "WHISKERS", "bands"]

WHISKERS = "A whisker is one standard error of testing on these items, either way."
NOT_TESTED = (
    "Differences between kinds were neither tested nor corrected for their number: the order "
    "describes these items, and is no evidence that one kind teaches more."
)


def bands(n_seeds: int) -> str:
    """Return the sentence that explains a line and its band."""
    if n_seeds == 1:
        return "A single draw of the examples, so that there is no band."
    return (
        f"Means over {n_seeds} draws of the examples; a band is one standard deviation between "
        "draws, either way."
    )
