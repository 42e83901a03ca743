"""Files of items."""

from __future__ import annotations

import json

import pytest

from likra_lite import Item, iter_items, read_items
from likra_lite.errors import DuplicateChoicesWarning, ItemError
from likra_lite.questions.files import ItemFile

EXPECTED = [Item("What melts?", ("ice", "a rock"), 0), Item("2 + 2?", ("3", "4", "5"), 1)]


def contents() -> dict[str, str]:
    plain = [
        {"question": item.question, "choices": list(item.choices), "answer": item.answer}
        for item in EXPECTED
    ]
    arc = [
        {
            "question": {
                "stem": item.question,
                "choices": [{"text": t, "label": "ABC"[i]} for i, t in enumerate(item.choices)],
            },
            "answerKey": "ABC"[item.answer or 0],
        }
        for item in EXPECTED
    ]
    return {
        "plain.jsonl": "\n\n".join(json.dumps(record) for record in plain),
        "bom.jsonl": "\ufeff" + "\n".join(json.dumps(record) for record in plain) + "\n",
        "arc.jsonl": "\n".join(json.dumps(record) for record in arc),
        "columns.csv": "question,choice_0,choice_1,choice_2,answer\n"
        "What melts?,ice,a rock,,0\n2 + 2?,3,4,5,1\n",
        "letters.csv": 'question,A,B,C,answer\n"What melts?",ice,a rock,,A\n2 + 2?,3,4,5,B\n',
        "list.csv": 'question,choices,answer\nWhat melts?,"[""ice"", ""a rock""]",0\n'
        '2 + 2?,"[""3"", ""4"", ""5""]",1\n',
        "tabs.tsv": "question\tchoice 0\tchoice 1\tchoice 2\tanswer\n"
        "What melts?\tice\ta rock\t\t0\n2 + 2?\t3\t4\t5\t1\n",
        "arc.csv": "questionID,AnswerKey,question\nx,A,What melts? (A) ice (B) a rock\n"
        "y,2,2 + 2? (1) 3 (2) 4 (3) 5\n",
    }


@pytest.mark.parametrize("name", contents())
def test_every_layout_gives_the_same_items(name, tmp_path):
    path = tmp_path / name
    path.write_text(contents()[name], encoding="utf-8")
    read = read_items(path)
    assert [(i.question, i.choices, i.answer) for i in read] == [
        (i.question, i.choices, i.answer) for i in EXPECTED
    ]
    assert list(iter_items(path)) == read
    assert len(ItemFile(path)) == 2
    assert read[0].source == f"{name}, line {1 if name.endswith('jsonl') else 2}"


@pytest.mark.parametrize(
    ("header", "row", "choices", "answer"),
    [
        ("question,B,A,answer", "q,bb,aa,A", ("aa", "bb"), 0),
        ("n,question,A,B,answer", "17,q,x,y,B", ("x", "y"), 1),
        ("question,choice_0,choice_1,choice_10,choice_2", "q,w,x,,y", ("w", "x", "y"), None),
        ("question,a,b,c,answer", "q,x,y,z,b", ("x", "y", "z"), 1),
        ("question,A,B,AnswerKey", "q,x,y,B", ("x", "y"), 1),
        ("question,A,B,Answer", "q,x,y,0", ("x", "y"), 0),
        ("question,A,B,answer", "q,x,y,2.0", ("x", "y"), 1),
        ("question,choices,answer", "\"q\",\"['x', 'y']\",y", ("x", "y"), 1),
        ("No.,Question:,A),B),(C),Answer?", "17,q,x,y,z,B", ("x", "y", "z"), 1),
        ("question,AnswerKey", "What is (1) in it? (A) x (B) y,B", ("x", "y"), 1),
    ],
)
def test_tables_as_people_write_them(header, row, choices, answer, tmp_path):
    if "choice_10" in header:  # eleven columns, sorted by a spreadsheet
        names = sorted(f"choice_{i}" for i in range(11))
        header = ",".join(["question", *names])
        cells = {f"choice_{i}": text for i, text in enumerate("wxy")}
        row = ",".join(["q", *(cells.get(name, "") for name in names)])
    path = tmp_path / "items.csv"
    path.write_bytes(f"{header}\r\n{row}\r\n".encode())
    (item,) = read_items(path)
    assert (item.choices, item.answer) == (choices, answer)
    if "AnswerKey" in header and "(1)" in row:
        assert item.question == "What is (1) in it?"


@pytest.mark.parametrize(
    ("above", "told"),
    [
        ("Biology exam 2024;;;;\n", "line 1 left out as a title ('Biology exam 2024')"),
        ("Biology exam\n\n;;;;\nClass: 8;Teacher: X;;\n", "('Biology exam Class: 8 Teacher: X')"),
        ('"Biology\nexam, 2024"\n', "lines 1 to 2 left out"),
        ("sep=;\nExam\n", "lines 1 to 2 left out as a title ('Exam')"),
        ("\n\n", "semicolon"),
    ],
)
def test_a_title_above_the_header(above, told, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(f"{above}question;A;B;C;answer\nWarm?;x;y;z;B\n\nCold?;x;y;z;A\n")
    file = ItemFile(path)
    assert told in file.format.name
    assert ("title" in file.format.name) == bool(above.strip())
    first = above.count("\n") + 2
    assert [item.source for item in file] == [f"items.csv, line {n}" for n in (first, first + 2)]
    assert [item.answer for item in file] == [1, 0]


@pytest.mark.parametrize(
    "above",
    [
        "What is wet?;water;sand;air;A\n",  # a question in a file without a header
        "a;b;c;d;e;f\n",  # no fewer cells than the header has
        "Title\n" * 12,
    ],
)
def test_what_is_no_title_is_not_left_out(above, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(f"{above}question;A;B;C;answer\nWarm?;x;y;z;B\n")
    with pytest.raises(ItemError, match=r"items\.csv:\d+: "):
        read_items(path)


def test_items_without_an_answer(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"question": "q", "choices": ["a", "b"]}\n')
    assert read_items(path)[0].answer is None
    with pytest.raises(
        ValueError, match=r"items.jsonl:1: the item has no answer; items without one can be scored"
    ):
        read_items(path, require_answer=True)


def test_duplicate_choices_warn_with_the_line(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('\n{"question": "q", "choices": ["a", "b", "a"]}\n')
    with pytest.warns(
        DuplicateChoicesWarning, match=r"1 of 1 .*jsonl:2: choices 0 and 2 are both 'a'"
    ):
        read_items(path)


def test_published_and_plain_arc_agree(shared_data):
    for split in ("train", "dev", "test"):
        plain = read_items(shared_data / "arc_easy" / f"{split}.jsonl")
        official = read_items(shared_data / "arc_easy" / "official" / f"{split}.jsonl")
        assert plain == official
