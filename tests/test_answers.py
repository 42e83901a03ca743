"""One rule for what an answer means, in files, Python objects and y."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likra_lite import Item, as_items, read_items
from likra_lite.errors import ItemError
from likra_lite.questions.inputs import answer_indices

READINGS = ("letter", "text", "index", "index-from-1")


def columns(*rows: str) -> list[dict[str, str]]:
    """Make records from cells: a question, choices A, B, ... and the answer."""
    records = []
    for row in rows:
        question, *choices, answer = row.split(",")
        letters = dict(zip("ABCDEFG", choices, strict=False))
        records.append({"question": question, **letters, "answer": answer})
    return records


def write(records: list[dict[str, str]], path):
    """Write records as their file's ending says, and return the path."""
    frame = pd.DataFrame(records)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def every_way(records, tmp_path, **options):
    """Yield what each way to hand over the same cells gives, or the error that it raises."""
    csv, jsonl = tmp_path / "items.csv", tmp_path / "items.jsonl"
    ways = [
        lambda: read_items(write(records, csv), **options),
        lambda: read_items(write(records, jsonl), **options),
        lambda: as_items(pd.read_csv(write(records, csv)), **options),
        lambda: as_items(pd.DataFrame(records), **options),
        lambda: as_items(records, **options),
    ]
    for way in ways:
        try:
            yield [item.answer for item in way()]
        except ItemError as error:
            yield str(error)


@pytest.mark.parametrize(
    ("rows", "answers"),
    [
        (["Universal donor?,A,O,AB,B,B", "Sky?,red,green,blue,black,C"], [1, 2]),
        (["What is 1+1?,1,2,3,4,2", "Half of 7?,3.5,4,5,6,3.5"], [1, 0]),
        (["Sky?,red,blue,green,grey,1", "Grass?,red,blue,grey,green,4"], [0, 3]),
        (["Sky?,red,blue,green,grey,1", "Grass?,green,blue,grey,red,0"], [1, 0]),
        (["Sky?,red,blue,green,grey,blue", "Grass?,green,blue,grey,red,green"], [1, 0]),
        (["Sky?,red,blue,green,grey,b", "Grass?,green,blue,grey,red,(A)"], [1, 0]),
        (["Sky?,red,blue,green,grey,B. blue", "Grass?,green,blue,grey,red,A) green"], [1, 0]),
        (["Sky?,red,blue,green,grey,-1", "Grass?,green,blue,grey,red,"], [None, None]),
    ],
)
def test_all_rows_together_tell_how_answers_are_written(rows, answers, tmp_path):
    for found in every_way(columns(*rows), tmp_path):
        assert found == answers


@pytest.mark.parametrize(
    ("row", "one", "two"),
    [
        ("Universal donor?,A,O,AB,B,B", ("letter", 1), ("text", 3)),
        ("What is 1+1?,1,2,3,4,2", ("text", 1), ("index", 2)),
        ("Sky?,red,blue,green,grey,2", ("index", 2), ("index-from-1", 1)),
        ("What is 1-2?,1,0,-1,-2,-1", ("letter", None), ("text", 2)),
    ],
)
def test_what_no_row_tells_is_refused_with_both_readings(row, one, two, tmp_path):
    for found in every_way(columns(row), tmp_path):
        assert isinstance(found, str)
        assert f"--answers {one[0]} or --answers {two[0]}" in found
        assert len(found.rpartition("/")[2]) < 300
    for name, answer in (one, two):
        for found in every_way(columns(row), tmp_path, answers=name):
            assert found == [answer]


def test_a_published_layout_says_how_its_indices_count():
    plain = {"question": "q", "choices": ["w", "x", "y", "z"], "answer": 1}
    piqa = {"goal": "q", "sol1": "a", "sol2": "b", "label": 1}
    winogrande = {"sentence": "The _ is big.", "option1": "a", "option2": "b", "answer": "1"}
    for record, answer in ((plain, 1), (piqa, 1), (winogrande, 0)):
        assert as_items([record])[0].answer == answer
    with pytest.raises(ItemError, match="expected 0 to 3; if answers count from 1, pass --answers"):
        as_items([{**plain, "answer": 4}])
    assert as_items([{**plain, "answer": 4}], answers="index-from-1")[0].answer == 3


@pytest.mark.parametrize("container", [list, tuple, np.array, pd.Series])
def test_labels_count_in_whatever_holds_them(container):
    held = container(["B", "A"])
    if isinstance(held, np.ndarray):
        held = held.astype(object)
    record = {"question": "q", "choices": {"text": ["x", "y"], "label": held}, "answerKey": "A"}
    assert as_items([record])[0].answer == 1


def test_columns_are_called_by_their_names():
    record = {"question": "q", "Option 1": "x", "Option 2": "y", "answer": "option 2"}
    assert as_items([record])[0].answer == 1
    bare = {"question": "q", "1": "x", "2": "y", "answer": "2"}
    assert as_items([bare])[0].answer == 1


def test_labels_differ_from_row_to_row():
    records = [
        {"question": "q", "choices": {"text": ["x", "y"], "label": labels}, "answerKey": key}
        for labels, key in ((["A", "B"], "B"), (["1", "2"], "2"), (["1", "2"], 1))
    ]
    assert [item.answer for item in as_items(records)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("E", "'E' is out of range for 4 choices"),
        ("B) w", r"'B\) w' is not a letter"),
        (9, "9 is out of range for 4 choices, expected 0 to 3"),
        ("AB", "'AB' is not a letter from A to D nor the text of a choice"),
        (["A", "B"], "got 2 right answers in a list; an item has one"),
        ({"A": 1}, "must be a letter, a text or a number, got dict"),
        (1.5, "1.5 is not a letter"),
        (float("inf"), "inf is not a letter"),
        (int("1" * 400), "111... is not a letter"),
        ("1" * 400, "111... is not a letter"),
        ("\x1b[31mred", r"'\\x1b\[31mred' is not"),
    ],
)
def test_what_is_no_answer(answer, message):
    record = {"question": "q", "choices": ["w", "x", "y", "z"], "answer": answer}
    with pytest.raises(ItemError, match=message) as raised:
        as_items([record])
    assert len(str(raised.value)) < 300
    assert str(raised.value).startswith("item 0: ")


def test_answers_are_written_in_one_way():
    records = columns("q,w,x,y,z,B", "q,w,x,y,zz,zz")
    with pytest.raises(
        ItemError, match="item 1: answer 'zz' is not a letter from A to D, as the answers before"
    ):
        as_items(records)
    with pytest.raises(ItemError, match="item 0: answer 'B' is not the text of a choice"):
        as_items(records, answers="text")
    with pytest.raises(ValueError, match="got answers='words'; expected one of 'label', 'letter'"):
        as_items(records, answers="words")


CELLS = st.sampled_from(["A", "B", "C", "D", "1", "2", "3", "4", "0", "-1", "red", "blue", "Red"])


@st.composite
def tables(draw):
    n_choices = draw(st.integers(2, 4))
    choices = st.lists(CELLS, min_size=n_choices, max_size=n_choices, unique=True)
    rows = draw(st.lists(st.tuples(choices, st.one_of(CELLS, st.just(""))), min_size=1, max_size=6))
    return [
        {"question": f"q{i}", **dict(zip("ABCD", texts, strict=False)), "answer": answer}
        for i, (texts, answer) in enumerate(rows)
    ]


def meaning(reading: str, record: dict[str, str]) -> int | str | None:
    """Read an answer in one way, written down a second time: an index, None, or "misfit"."""
    choices = [record[name] for name in "ABCD" if name in record]
    answer = record["answer"]
    if reading == "text" and answer in choices:
        return choices.index(answer)
    if answer in ("", "-1"):
        return None
    if reading == "letter":
        place = "ABCD".find(answer) if len(answer) == 1 else -1
    elif reading == "text":
        place = -1
    else:
        place = int(answer) - (reading == "index-from-1") if answer.isdigit() else -1
    return place if 0 <= place < len(choices) else "misfit"


@settings(max_examples=300, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_no_table_is_read_two_ways(records, dice: random.Random):
    readings = [[meaning(name, record) for record in records] for name in READINGS]
    fitting = [answers for answers in readings if "misfit" not in answers]
    orders = [records, dice.sample(records, len(records))]
    for order in orders:
        names = dice.sample(list(order[0]), len(order[0]))
        shuffled = [{name: record[name] for name in names} for record in order]
        try:
            found = [item.answer for item in as_items(shuffled)]
        except ItemError:
            assert not fitting or any(answers != fitting[0] for answers in fitting)
        else:
            by_question = dict(zip((r["question"] for r in order), found, strict=True))
            assert [by_question[record["question"]] for record in records] == fitting[0]
            assert all(answers == fitting[0] for answers in fitting)


ITEMS = [Item("q", ("x", "y", "z")), Item("r", ("u", "v", "w"))]


@pytest.mark.parametrize(
    "y",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1, 2], dtype=np.uint8),
        np.array([1.0, 2.0]),
        np.array([1, 2.0], dtype=object),
        ["B", "C"],
        ["y", "w"],
        ["1", "2"],
        np.array(["B", "C"]),
        np.array(["y", "w"], dtype=object),
        pd.Series([1, 2], index=[7, 3]),
        pd.Series(["B", "C"], dtype="string"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Categorical(["y", "w"]),
    ],
    ids=repr,
)
def test_y_is_read_by_the_same_rule(y):
    assert answer_indices(ITEMS, y).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, None], "item 1 has no answer in y"),
        ([-1, 0], "item 0 has no answer in y"),
        (np.array([0.0, np.nan]), "item 1 has no answer in y"),
        ([0, 3], "item 1: answer 3 is out of range for 3 choices, expected 0 to 2"),
        ([0.5, 1], "item 0: answer 0.5 is not an index from 0 to 2"),
        ([True, False], "item 0: answer True is not an index"),
        (["B", "vv"], "item 1: answer 'vv' is not a letter from A to C, as the answers before"),
        ([0], r"got y of shape \(1,\) for 2 items"),
        (np.zeros((2, 1)), r"got y of shape \(2, 1\) for 2 items"),
        (7, r"got y of shape \(\) for 2 items"),
    ],
)
def test_y_that_cannot_be_read(y, message):
    with pytest.raises(ItemError, match=message):
        answer_indices(ITEMS, y)


def test_numbers_in_y_are_indices_whatever_the_choices_say():
    numbers = [Item("What is 1+1?", ("1", "2", "3", "4"))]
    assert answer_indices(numbers, [2]).tolist() == [2]
    with pytest.raises(ItemError, match="--answers text or --answers index"):
        answer_indices(numbers, ["2"])
    assert answer_indices(numbers, ["2"], answers="text").tolist() == [1]
