"""The paper's own learning curve, to be looked at beside one's own.

ARC-Challenge, accuracy of per-character scores, Mistral-7B-v0.1 with LoRA (Hamdan & Yuret
2025, arXiv 2503.14391).
"""

from __future__ import annotations

from .charts import Level, Line, LineChart, Point

__all__ = ["PAPER"]

_SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 6615)
_ACCURACY = {
    "likra": (0.631, 0.764, 0.799, 0.800, 0.801, 0.812, 0.812, 0.819),
    "base-likra": (0.596, 0.742, 0.793, 0.774, 0.783, 0.784, 0.767, 0.775),
    "sft": (0.614, 0.612, 0.625, 0.639, 0.627, 0.640, 0.648, 0.663),
}
_BASE = 0.600

PAPER = LineChart(
    title="ARC-Challenge, Mistral-7B-v0.1",
    x_label="examples",
    y_label="accuracy",
    lines=tuple(
        Line(name, tuple(Point(size, y) for size, y in zip(_SIZES, values, strict=True)))
        for name, values in _ACCURACY.items()
    ),
    levels=(Level("base", _BASE),),
    caption=(
        "Figures of Hamdan & Yuret (2025, arXiv 2503.14391): accuracy with scores per character "
        "(acc_norm), LoRA heads, one seed; they were not measured here."
    ),
)
