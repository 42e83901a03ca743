"""Python objects of every kind, handed to every public function: the library's own errors only."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from runs import Tally

import likra_lite
from likra_lite import (
    Item,
    LanguageModel,
    LikraClassifier,
    LikraError,
    LogLikelihoods,
    LoraRecipe,
    as_items,
    iter_items,
    read_items,
)
from likra_lite.datasets.demo import bundled_model

METHODS = (
    "predict", "predict_proba", "predict_set", "predict_or_abstain", "score_choices", "unscorable",
    "log_likelihoods",
)  # fmt: skip
LIBRARY = str(Path(likra_lite.__file__).parent)
LONGEST = 1000  # characters of a clear line


class Unfriendly:
    """An object all of whose methods fail."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no iter")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    __hash__ = None  # type: ignore[assignment]


def _values() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return [
        None, True, False, 0, 1, -1, 2, 10**30, -(10**400), 0.5, -0.5, 1e308, float("nan"),
        float("inf"), 1j, "", " ", "a", "auto", "own", "base", "likra", "none", "\x00", "\ud800",
        "\x1b[31m", "a\nb", "{question}", "{", "{nothing}", "{question!x}", "{question.__class__}",
        "nowhere", "/dev/null", "/", ".", "~", "x" * 5000, b"bytes", b"\xff", [], [None], [[]],
        endless, ["a", "b"], ["a", ""], ("a", "b"), [1, 2], [0] * 8, [0, 1] * 4, [float("nan")] * 8,
        {}, {"a": 1}, {"question": "q"}, {"question": "q", "choices": ["a", "b"]}, {1: 2, "b": 3},
        set(), {1, 2}, range(8), iter([1]), object(), print, dict, Unfriendly(), Ellipsis,
        NotImplemented, datetime.date.min, decimal.Decimal("NaN"), np.float32(1), np.float64("nan"),
        np.int8(1), np.bool_(True), np.str_("a"), np.array(3), np.zeros(8), np.zeros(8, int),
        np.zeros((8, 2)), np.zeros(0), np.full(8, np.nan), np.array(["a"] * 8),
        np.array([None] * 8), np.ma.masked, np.void(b"ab"), np.datetime64("NaT"),
        Item("q", ["a", "b"]), [Item("q", ["a", "b"])], Path("nowhere"), LoraRecipe(),
    ]  # fmt: skip


def _calls() -> dict[str, Callable[[Any], Any]]:
    """Return every public call, with one place for an object."""
    items = [Item(f"Who is {n}?", ["the smith", "the monk"], n % 2) for n in range(8)]
    model = LanguageModel(bundled_model(), 1)
    fitted = LikraClassifier(model, adapter="none", cv=2).fit(items)
    table = fitted.log_likelihoods(items)
    defaults = LikraClassifier(adapter="none", n_threads=1, cache=False)
    calls: dict[str, Callable[[Any], Any]] = {
        "as_items": as_items,
        "iter_items": lambda value: list(iter_items(value)),
        "read_items": read_items,
        "LanguageModel(folder)": LanguageModel,
        "LanguageModel(n_threads)": lambda v: LanguageModel(bundled_model(), v),
        "fit(X)": lambda value: defaults.fit(value),
        "fit(y)": lambda value: defaults.fit(items, value),
        "fit(X_validation)": lambda value: defaults.fit(items, X_validation=value),
        "fit(y_validation)": lambda v: defaults.fit(items, X_validation=items, y_validation=v),
        "score(y)": lambda value: fitted.score(items, value),
        "score(table, y)": lambda value: fitted.score(table, value),
        "predict_set(coverage)": lambda value: fitted.predict_set(table, value),
        "predict_or_abstain(error_rate)": lambda value: fitted.predict_or_abstain(table, value),
        "predict_or_abstain(confidence)": lambda v: fitted.predict_or_abstain(table, 0.5, v),
        "log_likelihoods(heads)": lambda value: fitted.log_likelihoods(items, value),
        "explain": fitted.explain,
        "save": fitted.save,
        "load": LikraClassifier.load,
        "load(n_threads)": lambda value: LikraClassifier.load("nowhere", value),
    }  # fmt: skip
    for name in (
        "predict",
        "predict_proba",
        "predict_set",
        "predict_or_abstain",
        "score_choices",
        "unscorable",
        "log_likelihoods",
    ):
        calls[name] = getattr(fitted, name)
    whole = {"question": "q", "choices": ["a", "b"]}
    for field in dataclasses.fields(Item):
        calls[f"Item({field.name})"] = lambda v, name=field.name: Item(**(whole | {name: v}))
    for name in defaults.get_params():
        calls[f"LikraClassifier({name})"] = lambda v, name=name: LikraClassifier(
            **(defaults.get_params() | {name: v})
        ).fit(items)
        if name in ("mode", "alpha", "normalization"):
            calls[f"{name} after fit"] = lambda v, name=name: (
                pickle.loads(pickle.dumps(fitted)).set_params(**{name: v}).predict(table)
            )
    for field in dataclasses.fields(LoraRecipe):
        calls[f"LoraRecipe({field.name})"] = lambda v, name=field.name: LoraRecipe(**{name: v})
    for field in dataclasses.fields(LogLikelihoods):
        calls[f"LogLikelihoods({field.name})"] = lambda v, name=field.name: fitted.predict(
            dataclasses.replace(table, **{name: v})
        )
    return calls


def _problem(error: BaseException) -> str | None:
    """Return what is wrong with an error, if anything is."""
    if isinstance(error, LikraError):
        text = str(error)
        if "\n" in text or not text.isprintable() or not 10 <= len(text) <= LONGEST:
            return "unclear"
        return None
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    own = where.startswith(LIBRARY) or "unexpected keyword" in str(error)
    if isinstance(error, TypeError | ValueError) and own and type(error) in (TypeError, ValueError):
        return None
    return "traceback"


def fuzz_objects(count: int, random: Random, folder: Path) -> Tally:
    """Make so many calls, each with one object, or all there are if `count` is larger."""
    tally = Tally("objects")
    folder = folder.resolve()
    os.chdir(folder)
    calls = _calls()
    cases = [(name, place) for name in calls for place in range(len(_values()))]
    random.shuffle(cases)
    for name, place in cases[:count]:
        tally.count += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                calls[name](_values()[place])
        except Exception as error:
            tally.refused += 1
            problem = _problem(error)
            if problem is not None:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"({last.filename}:{last.lineno})"
                line = f"{type(error).__name__}: {str(error)[:200]!r} {where}"
                tally.fault(problem, f"{name} of {_shown(_values()[place])}: {line}")
    return tally


def _shown(value: Any) -> str:
    return "an unfriendly object" if isinstance(value, Unfriendly) else ascii(value)[:60]
