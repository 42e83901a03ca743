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
from likra_lite.questions.answers import Convention, Given, letter
from likra_lite.questions.inputs import answer_indices
from likra_lite.questions.values import shown

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


LETTERS = ("u", "v", "w", "x")
MANY = tuple(f"c{n}" for n in range(200))


def read(name, value, choices=LETTERS, labels=None):
    """Read one answer in one way: an index, None, or the message that refuses it."""
    convention = Convention([name])
    given_answer = Given(value, choices, labels)
    try:
        convention.see(given_answer, "here")
    except ItemError as error:
        return str(error).removeprefix("here: ")
    assert convention.settle() == name
    return convention.read(given_answer)


@pytest.mark.parametrize("number", [0, 1, 9, 10, 99, 100, 150, 199])
def test_numbers_however_they_are_written(number):
    for value in (number, float(number), f"{number}", f" {number}.0 ", f"+{number}", [number]):
        assert read("index", value, MANY) == number
        assert read("index-from-1", value, MANY[:-1]) == (
            number - 1 if number else "answer " + shown(value) + OUT_OF_RANGE
        )
    assert read("text", number, tuple(str(n) for n in range(200))) == number


OUT_OF_RANGE = " is out of range for 199 choices, expected 1 to 199"


@pytest.mark.parametrize("value", [-1, -1.0, "-1", "-1.0", None, ""])
def test_no_answer(value):
    for name in ("letter", "text", "index", "index-from-1"):
        assert read(name, value) is None
    assert read("label", value, labels=("p", "q", "r", "s")) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("index", 4, "answer 4 is out of range for 4 choices, expected 0 to 3; if answers count "
         "from 1, pass --answers index-from-1"),
        ("index", 5, "answer 5 is out of range for 4 choices, expected 0 to 3"),
        ("index", -2, "answer -2 is out of range for 4 choices, expected 0 to 3"),
        ("index", "999999999", "answer '999999999' is out of range for 4 choices, expected 0 to 3"),
        ("index", "1000000000", "answer '1000000000' is not an index from 0 to 3"),
        ("index", 999_999_999.0, "answer 999999999.0 is out of range for 4 choices, expected 0 to "
         "3"),
        ("index", 1e9, "answer 1000000000.0 is not an index from 0 to 3"),
        ("index", 1.5, "answer 1.5 is not an index from 0 to 3"),
        ("index", True, "answer True is not an index from 0 to 3"),
        ("index-from-1", 0, "answer 0 is out of range for 4 choices, expected 1 to 4"),
        ("index-from-1", 5, "answer 5 is out of range for 4 choices, expected 1 to 4"),
        ("index-from-1", "x", "answer 'x' is not an index from 1 to 4"),
        ("letter", "E", "answer 'E' is out of range for 4 choices"),
        ("letter", "AB", "answer 'AB' is not a letter from A to D"),
        ("letter", 2, "answer 2 is not a letter from A to D"),
        ("text", "E", "answer 'E' is not the text of a choice"),
        ("text", 7, "answer 7 is not the text of a choice"),
        ("text", [], "got 0 right answers in a list; an item has one"),
    ],
)  # fmt: skip
def test_what_does_not_fit(name, value, message):
    assert read(name, value) == message


@pytest.mark.parametrize(
    ("value", "index"),
    [("a", 0), ("D", 3), ("(B)", 1), ("[b]", 1), ("C.", 2), ("C:", 2), ("B) v", 1), ("A.  u", 0)],
)
def test_letters_however_they_are_written(value, index):
    assert read("letter", value) == index


def test_a_letter_with_the_text_of_another_choice_is_none():
    assert "is not a letter" in read("letter", "B) u")
    assert "is not a letter" in read("letter", "E) u")


def test_labels_however_they_are_written():
    assert read("label", "q", labels=("P", "Q")) == 1
    assert read("label", "Q", labels=("q", "Q")) == 1, "as it is written goes first"
    assert "is not one of the labels" in read("label", "ß", labels=("SS", "ss"))
    assert read("label", 2.0, labels=("1", "2")) == 1
    assert read("label", "2.0", labels=("1", "2")) == 1
    assert read("label", -1, labels=("0", "-1")) == 1, "a label, and not the mark of no answer"
    for name in ("index", "index-from-1"):
        said = read(name, 1, labels=("5", "x"))
        assert said == "answer 1 counts nothing beside the labels 5, x; pass --answers label"
    assert read("index", 1, labels=("P", "Q")) == 1


def test_words_of_booleans():
    for value, index in ((True, 1), (False, 0), ("TRUE", 1), ("no", 0)):
        assert read("text", value, ("No", "Yes")) == index
    assert read("text", True, ("true", "yes")) == 0, "as it is written goes first"
    assert read("text", "Yes", ("yes", "Yes")) == 1
    assert "is not the text" in read("text", True, ("No", "Maybe"))


def test_what_several_answers_leave_possible():
    convention = Convention(["letter", "text", "index", "index-from-1"])
    for value in ("", "-1"):
        convention.see(Given(value, LETTERS), "a")
    assert (convention.n_answers, convention.possible) == (0, convention.allowed)
    convention.see(Given(2, LETTERS), "b")
    assert (convention.n_answers, convention.possible) == (1, ("index", "index-from-1"))
    with pytest.raises(ItemError, match=r"b: answer 2 means choice C, 'w' .* or choice B, 'v' "):
        convention.settle()
    with pytest.raises(ItemError, match=r"c: answer 'w' is not an index .*, as the answers before"):
        convention.see(Given("w", LETTERS), "c")
    convention.see(Given(0, LETTERS), "d")
    assert convention.settle() == "index"
    assert convention.read(Given(3, LETTERS)) == 3
    preferred = Convention(["index", "index-from-1"], "index-from-1")
    preferred.see(Given(2, LETTERS), "e")
    assert preferred.settle() == "index-from-1"
    preferred.see(Given(0, LETTERS), "f")
    assert preferred.settle() == "index", "what is preferred no longer fits"


def test_letters_go_on_behind_z():
    names = {0: "A", 1: "B", 25: "Z", 26: "AA", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"}
    assert {index: letter(index) for index in names} == names
