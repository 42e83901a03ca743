"""Whatever is handed in as items or as y: only the library's own errors."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import random
import warnings

import numpy as np
import pandas as pd
import pytest

from likra_lite import Item, LikraError, as_items
from likra_lite.questions.inputs import answer_indices

NAMES = """
question choices answer answerKey label A B C choice_0 choice_1 context passage id text stem
questions options endings ctx mc1_targets target_scores correct_answer distractor1 sentence
option1 option2 pronoun pronoun_loc contextoptions continuation row data goal sol1 sol2 cop
""".split()  # noqa: SIM905


class Unfriendly:
    """An object all of whose methods fail."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __len__(self):
        raise RuntimeError("no len")

    def __iter__(self):
        raise RuntimeError("no iter")

    def __eq__(self, other):
        raise RuntimeError("no eq")

    __hash__ = None  # type: ignore[assignment]


def endless() -> list[object]:
    held: list[object] = []
    held.append(held)
    return held


def text(dice: random.Random) -> str:
    return dice.choice(
        ["", " ", "a", "B", "(C)", "1", "-1", "2.0", "1" * 400, "\ud800", "\x1b[31m", "yes", "_",
         "The _ is.", "[1, 2]", "{'text': ['a', 'b']}", "(A) x (B) y", "a ) 1 , b ) 2", "né", "\0"]
    )  # fmt: skip


def leaf(dice: random.Random) -> object:
    makers = [
        lambda: text(dice),
        lambda: text(dice),
        lambda: text(dice),
        lambda: dice.randrange(-2, 5),
        lambda: dice.random() < 0.5,
        lambda: 10**400,
        lambda: -(10**5000),
        lambda: iter([1]),
        lambda: {1, 2},
        lambda: Unfriendly(),
        lambda: endless(),
        lambda: Item("q", ("a", "b"), 1),
        lambda: np.zeros(2, dtype=[("question", "U3"), ("n", int)]),
    ]
    values = [None, float("nan"), float("inf"), 1.0, 1j, b"bytes", print, dict, object(), range(3)]
    values += [pd.NA, pd.NaT, pd.Timestamp("2020-01-01"), datetime.date.min, decimal.Decimal("NaN")]
    values += [np.float32(1), np.int8(1), np.bool_(True), np.str_("a"), np.void(b"ab"), np.array(3)]
    values += [np.datetime64("NaT"), np.timedelta64(3, "s"), np.ma.masked, fractions.Fraction(1, 3)]
    return dice.choice([*makers, lambda: dice.choice(values)])()


def record(dice: random.Random, depth: int) -> dict[object, object]:
    names = dice.sample(NAMES, dice.randrange(1, 7))
    made: dict[object, object] = {name: anything(dice, depth - 1) for name in names}
    if dice.random() < 0.5:
        made |= {"question": text(dice), "choices": [text(dice), text(dice)]}
    if dice.random() < 0.2:
        made[dice.choice([None, 7, 1.5, ("a", "b"), b"x", pd.NaT])] = 1
    return made


def frame(records: list[dict[object, object]]) -> pd.DataFrame:
    """Make a DataFrame; pandas itself refuses some values unless told to hold objects."""
    try:
        return pd.DataFrame(records)
    except (ValueError, OverflowError, RuntimeError):
        return pd.DataFrame(records, dtype=object)


def anything(dice: random.Random, depth: int) -> object:
    if depth <= 0 or dice.random() < 0.2:
        return leaf(dice)

    def parts() -> list[object]:
        return [anything(dice, depth - 1) for _ in range(dice.randrange(4))]

    def records() -> list[dict[object, object]]:
        return [record(dice, depth) for _ in range(dice.randrange(1, 4))]

    def array() -> np.ndarray:
        made = records()
        held = np.empty(len(made), dtype=object)
        held[:] = made
        return held

    makers = [
        parts,
        records,
        records,
        array,
        lambda: tuple(parts()),
        lambda: record(dice, depth),
        lambda: frame(records()),
        lambda: pd.Series(records()),
        lambda: pd.Series(parts(), dtype=object),
        lambda: (part for part in parts()),
        lambda: pd.Index(["a", "b"]),
        lambda: pd.Categorical(["a"]),
        lambda: collections.deque(parts()),
        lambda: collections.UserDict(record(dice, depth)),
        lambda: [(text(dice), [text(dice), leaf(dice)])],
        lambda: np.array([["a", "b"]], dtype=object),
        lambda: frame(records()).T,
        lambda: pd.DataFrame([[1, 2]], columns=["A", "A"]),
        lambda: record(dice, depth).items(),
        lambda: [{"question": "q", "choices": ["x", "y"], "answer": leaf(dice)}],
        lambda: [{"goal": "q", "sol1": text(dice), "sol2": "y", "label": text(dice)}],
    ]
    return dice.choice(makers)()


def outcomes(call, things) -> tuple[list[object], list[str]]:
    """Return what calls give and the messages of the library's errors; others pass through."""
    given, messages = [], []
    for thing in things:
        try:
            given.append(call(thing))
        except LikraError as error:
            messages.append(str(error))
    return given, messages


@pytest.mark.parametrize("part", range(4))
def test_random_objects_raise_only_errors_of_the_library(part):
    seeds = range(500 * part, 500 * part + 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas and NumPy, while the objects are made
        things = (anything(random.Random(seed), 4) for seed in seeds)
        items, messages = outcomes(as_items, things)
    assert len(items) >= 5, "some of them are items"
    assert all(len(message) < 300 and message.isprintable() for message in messages)


def test_random_objects_as_answers():
    items = [Item("q", ("a", "b", "c")), Item("r", ("d", "e", "f"))]
    dice = random.Random(0)
    things = [
        *(anything(dice, 2) for _ in range(500)),
        *([leaf(dice), leaf(dice)] for _ in range(500)),
    ]
    indices, messages = outcomes(lambda y: answer_indices(items, y), things)
    assert all(set(found) <= {0, 1, 2} for found in indices)
    assert all(len(message) < 300 for message in messages)
