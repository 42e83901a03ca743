"""Errors that a user can act on.

Every error raised on purpose is a :class:`LikraError`, hence also a
``ValueError``, and its message is one line: what was got, where, and what to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

__all__ = [
    "AbstentionWarning",
    "CacheWarning",
    "ConvergenceWarning",
    "DecisionError",
    "DuplicateChoicesWarning",
    "ExportError",
    "ItemError",
    "LikraError",
    "MissingExtraError",
    "ModelFolderError",
    "NoGradientWarning",
    "OverlapWarning",
    "RatioWarning",
    "SlowTrainingWarning",
    "TruncationWarning",
    "UnscorableItemError",
    "first_line",
    "import_extra",
    "printable",
]


class LikraError(ValueError):
    """Base class of every error that likra-lite raises on purpose.

    Its message is one line that a terminal can print, whatever texts, paths and objects it tells
    of.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_one_line(each) for each in arguments))


class ItemError(LikraError):
    """An item, or a file of items, is malformed."""


class UnscorableItemError(ItemError):
    """Items that this model cannot score, though they are well-formed.

    Parameters
    ----------
    problems : mapping of int to str
        Why, by the number of the item; at least one.
    places : mapping of int to str, optional
        Where these items come from, such as a line of a file.
    """

    def __init__(self, problems: Mapping[int, str], places: Mapping[int, str] | None = None):
        self.problems = dict(problems)
        self.places = dict(places or {})
        super().__init__(self.problems, self.places)  # what it is pickled by

    def __str__(self) -> str:
        """Return the first problem, and how many there are."""
        return self.messages[0] + (
            f" (and {len(self.problems) - 1} more such items)" if len(self.problems) > 1 else ""
        )

    @property
    def messages(self) -> list[str]:
        """The problems, with the place of the item."""
        return [
            f"{self.places.get(number, f'item {number}')}: {reason}"
            for number, reason in self.problems.items()
        ]


class ModelFolderError(LikraError):
    """A model folder is missing, damaged, or written by a newer version."""


class DecisionError(LikraError, AttributeError):
    """Parameters were changed after the fit, to values that need another fit.

    An AttributeError too, as scikit-learn's ``NotFittedError`` is: what cannot be computed is
    not there, for ``hasattr``, ``dir`` and the diagram in notebooks.
    """


class ExportError(LikraError):
    """A checkpoint cannot be turned into scoring graphs."""


class MissingExtraError(LikraError, ImportError):
    """An optional dependency is not installed."""


class AbstentionWarning(UserWarning):
    """No answer can be given with the error rate asked for."""


class DuplicateChoicesWarning(UserWarning):
    """Some items list the same choice twice."""


class TruncationWarning(UserWarning):
    """Some contexts were cut on the left to fit the model."""


class OverlapWarning(UserWarning):
    """Some held-out items are training items too."""


class CacheWarning(UserWarning):
    """The cache cannot be read or written."""


class ConvergenceWarning(UserWarning):
    """A head is not the optimum, as the solver stopped before it."""


class NoGradientWarning(UserWarning):
    """LoRA heads of an exported model can be used, but not trained on the CPU."""


class SlowTrainingWarning(UserWarning):
    """A model is trained without a GPU that would take long without one."""


class RatioWarning(UserWarning):
    """The fitted ratio does worse than the base model on held-out items."""


def _one_line(argument: object) -> object:
    return printable(" ".join(argument.split())) if isinstance(argument, str) else argument


def printable(text: str, limit: int | None = None) -> str:
    """Return a text for one line of a terminal: control characters escaped, the rest cut."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 3] + "..."
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, or its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.
    extra : str
        Name of the extra in ``pip install "likra-lite[extra]"``.

    Returns
    -------
    ModuleType

    Raises
    ------
    MissingExtraError
        If the module, or something that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module
        needs = "" if missing == module else f"needs {missing}, which "
        raise MissingExtraError(
            f'{module} {needs}is not installed: pip install "likra-lite[{extra}]"'
        ) from error
