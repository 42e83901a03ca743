"""Learn from wrong answers: likelihood-ratio scoring of multiple-choice questions."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.onnx import LanguageModel
    from .errors import LikraError
    from .estimator import LikraClassifier
    from .frames import score_frame
    from .heads.recipe import LoraRecipe
    from .questions.files import iter_items, read_items
    from .questions.inputs import as_items
    from .questions.item import Item
    from .scoring.table import LogLikelihoods

# ONNX Runtime reports its use to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

__all__ = [
    "Item",
    "LanguageModel",
    "LikraClassifier",
    "LikraError",
    "LogLikelihoods",
    "LoraRecipe",
    "as_items",
    "iter_items",
    "read_items",
    "score_frame",
]

_HOMES = {
    "Item": "questions.item",
    "LanguageModel": "engine.onnx",
    "LikraClassifier": "estimator",
    "LikraError": "errors",
    "LogLikelihoods": "scoring.table",
    "LoraRecipe": "heads.recipe",
    "as_items": "questions.inputs",
    "iter_items": "questions.files",
    "read_items": "questions.files",
    "score_frame": "frames",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: scikit-learn and friends cost half a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
