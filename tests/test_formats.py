"""Files in every format, as people and programs save them."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import os
import tempfile
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from likra_lite import Item, as_items, iter_items, read_items
from likra_lite.errors import ItemError
from likra_lite.questions.files import ItemFile

EXPECTED = [
    Item("Where does the ä stand?", ("in “süß”", "in Bar", "nowhere"), 0),
    Item('What says "3, 4; or 5"?', ("a list", "a song", "a tree"), 2),
    Item("Two\nlines?", ("yes", "no"), 1),
]


def rows(answers: str = "ACB") -> list[dict[str, str]]:
    return [
        {"question": i.question, **dict(zip("ABC", i.choices, strict=False)), "answer": answer}
        for i, answer in zip(EXPECTED, answers, strict=True)
    ]


def table(delimiter: str = ",", end: str = "\n", **options) -> str:
    return pd.DataFrame(rows()).to_csv(
        None, sep=delimiter, index=False, lineterminator=end, **options
    )


def records() -> list[dict[str, object]]:
    return [
        {"question": i.question, "choices": list(i.choices), "answer": i.answer} for i in EXPECTED
    ]


def lines() -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records())


def spreadsheet() -> bytes:
    """Write semicolons with an empty column and an empty row at the end, as sheets have them."""
    lines = table(";", "\x01", quoting=1).split("\x01")[:-1]
    return "".join(line + ";\r\n" for line in [*lines, ";" * lines[0].count(";")]).encode()


SPACED = """question, A, B, C, answer
"Where does the ä stand?", in “süß”, in Bar, nowhere, A
"What says ""3, 4; or 5""?", a list, a song, a tree, C
"Two
lines?", yes, no, , B
"""
TEXTS = {
    "comma.csv": table().encode(),
    "excel-german.csv": table(";", "\r\n").encode("cp1252"),
    "excel-utf8.csv": table(";", "\r\n").encode("utf-8-sig"),
    "excel-unicode.txt": table("\t", "\r\n").encode("utf-16"),
    "no-mark.csv": table(end="\r\n").encode("utf-16-le"),
    "bars.csv": table("|").encode(),
    "tabs.tsv": table("\t").encode(),
    "tabs.csv": table("\t").encode(),
    "all-quoted.csv": table(quoting=1).encode(),
    "separator.csv": b"sep=;\r\n" + table(";", "\r\n").encode(),
    "empty-cells.csv": spreadsheet(),
    "spaced.csv": SPACED.encode(),
    "lines.jsonl": lines().encode(),
    "lines.json": lines().encode(),
    "lines.txt": lines().encode(),
    "lines.jsonl.gz": gzip.compress(lines().encode()),
    "table.csv.gz": gzip.compress(table().encode()),
    "no-ending": lines().encode("utf-8-sig"),
    "array.json": json.dumps(records()).encode(),
    "array.jsonl": json.dumps(records()).encode(),
    "pretty.json": json.dumps(records(), indent=2).encode("utf-16"),
    "document.json": json.dumps({"version": 1, "data": records()}, indent=1).encode(),
    "one-line.json": json.dumps({"name": "own", "examples": records()}).encode(),
}  # fmt: skip


def same(found: list[Item]) -> bool:
    return [(i.question, i.choices, i.answer) for i in found] == [
        (i.question, i.choices, i.answer) for i in EXPECTED
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    assert same(read_items(path))
    assert list(iter_items(path)) == read_items(path)


def columns() -> pd.DataFrame:
    """A frame as Parquet gives it: arrays in cells, and a missing choice at the end."""
    frame = pd.DataFrame(rows())
    frame["metadata"] = [np.array([1, 2]), None, np.array([])]
    return frame


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream", "feather"])
@pytest.mark.parametrize("form", ["columns", "lists", "labelled"])
def test_parquet_and_arrow(kind, form, tmp_path):
    pa = pytest.importorskip("pyarrow")
    feather, parquet = (importlib.import_module(f"pyarrow.{n}") for n in ("feather", "parquet"))
    labelled = [
        {
            "question": item.question,
            "choices": {"text": list(item.choices), "label": list("PQR"[: len(item.choices)])},
            "answerKey": "PQR"[item.answer or 0],
        }
        for item in EXPECTED
    ]
    data = {"columns": pa.Table.from_pandas(columns()), "lists": pa.Table.from_pylist(records())}
    held = data.get(form) or pa.Table.from_pylist(labelled)
    path = tmp_path / f"items.{'arrow' if kind == 'stream' else kind}"
    if kind == "parquet":
        parquet.write_table(held, path, row_group_size=2)
    elif kind == "feather":
        feather.write_feather(held, str(path))
    else:
        opened = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with opened(str(path), held.schema) as writer:
            writer.write_table(held, max_chunksize=2)
    items = read_items(path)
    assert same(items)
    assert items[1].source == f"{path.name}, row 2"
    assert same(as_items(held))
    assert same(as_items(held.to_pandas()))


def test_class_labels_of_a_dataset_count_from_0(tmp_path):
    """One record alone would be read by the official files of MedMCQA, which count from 1."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {name: datasets.Value("string") for name in ("question", "opa", "opb", "opc", "opd")}
        | {"cop": datasets.ClassLabel(names=["a", "b", "c", "d"])}
    )
    record = {"question": ["q"], "opa": ["w"], "opb": ["x"], "opc": ["y"], "opd": ["z"], "cop": [1]}
    dataset = datasets.Dataset.from_dict(record, features=features)
    dataset.to_parquet(str(tmp_path / "items.parquet"))
    for items in (as_items(dataset), read_items(tmp_path / "items.parquet")):
        assert items[0].choices[items[0].answer or 0] == "x"
    (official,) = as_items(dataset.to_pandas())
    assert official.choices[official.answer or 0] == "w"
    with pytest.raises(ItemError, match="got DatasetDict; choose a split"):
        as_items(datasets.DatasetDict({"train": dataset}))


@pytest.mark.parametrize("name", ["lines.jsonl", "comma.csv", "excel-unicode.txt", "table.csv.gz"])
def test_standard_input_and_pipes_are_read_as_often_as_needed(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXTS[name])))
    file = ItemFile("-")
    assert len(file) == 3
    assert same(list(file))
    assert same(list(file))
    assert next(iter(file)).source is not None
    assert "standard input: 3 items" in file.description()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(TEXTS[name],))
    writer.start()
    assert same(list(iter_items(tmp_path / "pipe")))
    writer.join()


def test_a_table_without_header_is_told_by_its_letters(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("Which animal barks?,a dog,a hen,A\nWhich one flies?,a dog,a hen,B\n")
    assert [item.answer for item in read_items(path)] == [0, 1]
    assert "no header" in ItemFile(path).description()
    path.write_text("Frage,A,B,Antwort\nWas bellt?,Hund,Huhn,A\n")
    with pytest.raises(ItemError, match=r"items.csv:1: question is missing; got the fields Frage"):
        read_items(path)


def test_options_override_what_is_told(tmp_path):
    path = tmp_path / "items.csv"
    path.write_bytes("question:A:B:answer\nWo?:Köln:Rom:A\n".encode("latin-1"))
    (item,) = read_items(path, delimiter=":", encoding="latin-1")
    assert item.choices == ("Köln", "Rom")
    (item,) = read_items(path, delimiter=":", encoding="cp437")
    assert item.choices == ("K÷ln", "Rom")
    for options in (
        {"delimiter": "::"},
        {"delimiter": '"'},
        {"encoding": "utf-9"},
        {"answers": "c"},
    ):
        with pytest.raises(ValueError, match=f"got {next(iter(options))}="):
            read_items(path, **options)
    path.write_text("question\tA\tB\tanswer\nq\tx\ty\tB\n")
    assert read_items(path, delimiter="tab")[0].answer == 1


def test_labels_of_a_second_file(tmp_path):
    items, labels = tmp_path / "items.jsonl", tmp_path / "labels.lst"
    piqa = {"goal": "Cool tea.", "sol1": "Burn it.", "sol2": "Let it stand."}
    items.write_text(json.dumps(piqa) + "\n" + json.dumps(piqa) + "\n")
    for text, answers in (
        ("1\n0\n", [1, 0]),
        ("1\n\n\n", None),
        ("1\n-1", [1, None]),
        ("[0, 1]", [0, 1]),
    ):
        labels.write_text(text)
        if answers is not None:
            assert [item.answer for item in read_items(items, labels=labels)] == answers
            assert [item.answer for item in iter_items(items, labels=labels)] == answers
    cases = {
        "1\n": r"labels.lst: has 1 answers for more items",
        "1\n0\n1\n": r"labels.lst: has more answers than the 2 items",
        "1\n2\n": r"labels.lst:2: answer '2' is out of range for 2 choices, expected 0 to 1",
    }
    for text, message in cases.items():
        labels.write_text(text)
        with pytest.raises(ItemError, match=message):
            read_items(items, labels=labels)
    items.write_text(json.dumps({**piqa, "label": 1}) + "\n")
    with pytest.raises(ItemError, match=r"items.jsonl:1: has the answer 1 already"):
        read_items(items, labels=labels)
    items.write_text('{"sentence_good": "It rains.", "sentence_bad": "It rain."}\n')
    with pytest.raises(ItemError, match=r"items.jsonl:1: the record marks the right choice itself"):
        read_items(items, labels=labels)


def test_iterating_needs_no_memory_for_the_file(tmp_path):
    path = tmp_path / "items.jsonl"
    record = {"question": "q" * 1000, "choices": ["a", "b"], "answer": 1}
    path.write_text((json.dumps(record) + "\n") * 4000)
    for read in (iter_items, lambda path: iter(ItemFile(path))):
        tracemalloc.start()
        assert sum(1 for _ in read(path)) == 4000
        assert tracemalloc.get_traced_memory()[1] < 400_000 < path.stat().st_size / 10
        tracemalloc.stop()


def test_reading_is_silent_in_python(tmp_path, capfd):
    path = tmp_path / "items.csv"
    path.write_bytes(TEXTS["excel-german.csv"])
    read_items(path)
    assert capfd.readouterr() == ("", "")
    assert ItemFile(path).description() == (
        "items.csv: 3 items; format table, semicolon, cp1252; layout a field for each choice; "
        "answers letters, A being the first choice"
    )


CELLS = st.text("xy cé,;|\t\"\n'(:1.ü“", min_size=1, max_size=12).filter(str.strip)


@pytest.mark.filterwarnings("ignore::likra_lite.errors.DuplicateChoicesWarning")
@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=2, max_size=4),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\r\n", "\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_program_writes_is_read_back(rows, delimiter, encoding, end, quoting):
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["question", "A", "B", "C", "D", "answer"])
    writer.writerows([*cells, "ABCD"[place % 4]] for place, cells in enumerate(rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.csv"
        path.write_bytes(written.getvalue().encode(encoding))
        try:
            items = read_items(path, answers="letter")
        except ItemError as error:
            # Rows of cells such as "a<end>b" are what stray quotes would make of rows.
            assume("takes in other rows" not in str(error))
            raise
    expected = [(cells[0], tuple(text.strip() for text in cells[1:])) for cells in rows]
    assert [(item.question, item.choices) for item in items] == expected
    assert [item.answer for item in items] == [place % 4 for place in range(len(rows))]


def test_quotes_in_a_cell_of_several_lines_are_no_open_quotes(tmp_path):
    path = tmp_path / "items.csv"
    poem = "roses, are, red\nviolets, are, blue\n\nsugar, is, sweet"
    frame = pd.DataFrame({"question": [poem], "A": ["x"], "B": ["y"], "answer": ["A"]})
    frame.to_csv(path, index=False)
    assert read_items(path)[0].question == poem
