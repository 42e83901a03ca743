"""Items, and everything that is accepted as a list of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from likra_lite import Item, as_items

PLAIN = {"question": "q", "choices": ["a", "b", "c"], "answer": 2}


def test_item_is_frozen_hashable_and_holds_a_tuple():
    item = Item("q", ["a", "b"], np.int64(1), metadata={"source": "book"})  # type: ignore[arg-type]
    assert item.choices == ("a", "b")
    assert type(item.answer) is int
    assert hash(item) == hash(Item("q", ("a", "b"), 1))
    with pytest.raises(AttributeError):
        item.answer = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    "X",
    [
        [PLAIN, PLAIN],
        [Item("q", ("a", "b", "c"), 2)] * 2,
        np.array([PLAIN, PLAIN], dtype=object),
        pd.DataFrame([PLAIN, PLAIN]),
        pd.DataFrame([{**PLAIN, "answer": 2.0}, {**PLAIN, "answer": 2.0}]),
        (entry for entry in [PLAIN, PLAIN]),
    ],
)
def test_accepted_forms(X):
    assert as_items(X) == [Item("q", ("a", "b", "c"), 2)] * 2


def test_pairs_have_no_answer():
    assert as_items([("q", ["a", "b"])]) == [Item("q", ("a", "b"))]
    pairs = np.empty(1, dtype=object)
    pairs[0] = ("q", ["a", "b"])
    assert as_items(pairs) == [Item("q", ("a", "b"))]


def test_missing_answers_in_a_data_frame():
    frame = pd.DataFrame([PLAIN, {"question": "r", "choices": ["a", "b"]}])
    assert [item.answer for item in as_items(frame)] == [2, None]


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        ({**PLAIN, "answer": "B"}, 1),
        ({"question": "q", "choices": ["a", "b"]}, None),
        ({"question": "q", "choices": ["a", "b"], "answer": None}, None),
        ({"question": "q", "choices": ["a", "b"], "answer": "b"}, 1),
        ({**PLAIN, "answer": "c"}, 2),
        ({"question": "q", "A": "a", "B": "b", "C": float("nan"), "answer": "b"}, 1),
        ({"question": "q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answer": 1}, 0),
        ({"question": "q", "choices": {"text": ["a", "b"], "label": None}, "answerKey": "B"}, 1),
        ({"question": "q", "choices": ["a", "b"], "answerKey": None, "answer": 1}, 1),
        (
            {
                "question": {
                    "stem": "q",
                    "choices": [{"text": "a", "label": "1"}, {"text": "b", "label": "2"}],
                },
                "answerKey": "2",
            },
            1,
        ),
        (
            {
                "question": "q",
                "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]},
                "answerKey": "C",
            },
            2,
        ),
        (
            {
                "question": "q",
                "choices": {"text": ["a", "b"], "label": ["A", "B"]},
                "answerKey": "",
            },
            None,
        ),
    ],
)
def test_forms_of_a_record(record, answer):
    (item,) = as_items([record])
    assert item.question == "q"
    assert item.choices[:2] == ("a", "b")
    assert item.answer == answer


def test_the_rest_of_a_record_is_metadata():
    (item,) = as_items([{**PLAIN, "id": 7, "context": "p", "grade": 5}])
    assert (item.id, item.context, item.metadata) == ("7", "p", {"grade": 5})


def test_numbers_as_choices():
    (item,) = as_items([{"question": "2 + 2?", "choices": [3, 4.5]}])
    assert item.choices == ("3", "4.5")


def test_choices_may_complete_contexts_of_their_own():
    contexts = ["The ball broke because the ball", "The ball broke because the bag"]
    item = Item("", ["was glass.", "was glass."], 0, contexts=contexts)  # type: ignore[arg-type]
    assert item.contexts == tuple(contexts)
    assert item.duplicates is None
    assert not item.same(0, 1)
    assert hash(item) != hash(Item("", item.choices, 0, contexts=("", "")))
    assert Item("", ("It rains.", "It rain."), contexts=("", "")).contexts == ("", "")
    assert Item("", ("a", "a"), contexts=("", "")).duplicates == (0, 1)


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        (("one",), "got 1 contexts for 2 choices"),
        ("ab", "contexts must be a list of strings, got str"),
        (("one", 2), "context 1 must be a string, got int"),
        (("one", "\ud800"), "half a character"),
    ],
)
def test_contexts_are_checked(contexts, message):
    with pytest.raises(ValueError, match=message):
        Item("", ("a", "b"), contexts=contexts)


def test_the_source_of_an_item_is_no_part_of_it():
    assert Item("q", ("a", "b"), source="exam.csv, line 7") == Item("q", ("a", "b"))
