"""Learn from wrong answers: likelihood-ratio scoring of multiple-choice questions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LikraError
    from .estimator import LikraClassifier
    from .items import Item, as_items
    from .language_model import LanguageModel
    from .likelihoods import LogLikelihoods
    from .readers import iter_items, read_items
    from .recipe import LoraRecipe

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
]

_HOMES = {
    "Item": "items",
    "LanguageModel": "language_model",
    "LikraClassifier": "estimator",
    "LikraError": "errors",
    "LogLikelihoods": "likelihoods",
    "LoraRecipe": "recipe",
    "as_items": "items",
    "iter_items": "readers",
    "read_items": "readers",
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
