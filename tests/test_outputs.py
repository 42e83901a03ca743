"""Records of scores: what they say, in every format, and of items that cannot be scored."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import messages, run

from likra_lite import Item, LanguageModel, LikraClassifier, read_items
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.folder_writing import copy_file
from likra_lite.engine.manifest import TOKENIZER

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = ROOT / "examples" / "questions.jsonl"
PROGRAM = "from likra_lite.cli.main import main; main()"
GOOD = '{"question": "Wet?", "choices": ["water", "sand"], "answer": 0}\n'
LONG = json.dumps({"question": "Long?", "choices": ["ice", "water " * 3000]}) + "\n"


def score(*arguments: object, capsys) -> tuple[int, list[dict], str]:
    status, out, err = run("score", *arguments, capsys=capsys)
    return status, [json.loads(line) for line in out.splitlines()], messages(err)


def test_records_carry_letter_text_and_whether_it_is_right(model_folder, capsys, tmp_path):
    status, records, _ = score(QUESTIONS, "--model", model_folder, capsys=capsys)
    assert status == 0
    for item, record in zip(read_items(QUESTIONS), records, strict=True):
        assert record["letter"] == "ABCDE"[record["prediction"]]
        assert record["text"] == item.choices[record["prediction"]]
        assert record["right"] is (record["prediction"] == item.answer)
    (tmp_path / "new.jsonl").write_text('{"question": "Wet?", "choices": ["water", "sand"]}\n')
    _, (record,), _ = score(tmp_path / "new.jsonl", "--model", model_folder, capsys=capsys)
    assert "right" not in record


@pytest.mark.parametrize(
    ("delimiter", "encoding", "marked"),
    [
        (",", "utf-8", False),
        (";", "utf-8-sig", True),
        (";", "cp1252", True),
        ("\t", "utf-16", True),
    ],
)
def test_csv_opens_where_the_questions_do(
    delimiter, encoding, marked, model_folder, capsys, tmp_path
):
    rows = [["question", "A", "B"], ["Wie heißt das; was?", "Öl", "ein Tier, groß"]]
    with (tmp_path / "items.csv").open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    out = tmp_path / "out.csv"
    run("score", tmp_path / "items.csv", "--model", model_folder, "--out", out, capsys=capsys)
    assert out.read_bytes().startswith(b"\xef\xbb\xbf") is marked
    with out.open(encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter=delimiter)
    assert row["question"] == rows[1][0]
    assert row["text"] in rows[1]
    assert len(json.loads(row["scores"])) == 2


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([0, 0, None], "wrote 3 predictions to {}; {} of 2 answered right ({:.3f})\n"),
        ([0, 1, 1], "wrote 3 predictions to {}; {} of 3 right ({:.3f})\n"),
        ([None], "wrote 1 prediction to {}\n"),
    ],
)
def test_what_was_written_where_is_told(answers, told, model_folder, capsys, tmp_path):
    lines = [
        json.dumps({"question": f"Wet {n}?", "choices": ["water", "sand"], "answer": answer})
        for n, answer in enumerate(answers)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    arguments = (tmp_path / "items.jsonl", "--model", model_folder)
    _, records, piped = score(*arguments, capsys=capsys)
    assert piped == "", "nothing but the records where they go to another program"
    right = sum(record.get("right", False) for record in records)
    share = right / max(1, sum(answer is not None for answer in answers))
    _, _, stderr = score(*arguments, "--out", tmp_path / "out.csv", capsys=capsys)
    assert stderr == "likra-lite: " + told.format(tmp_path / "out.csv", right, share)


def test_every_format_says_the_same(model_folder, capsys, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "items.jsonl").write_text(
        QUESTIONS.read_text() + LONG + '{"question": "naïve “é”, x?", "choices": ["a,b", "ü"]}\n'
    )
    _, records, _ = score(tmp_path / "items.jsonl", "--model", model_folder, capsys=capsys)
    for ending in ("csv", "parquet", "txt"):
        arguments = ("--model", model_folder, "--out", tmp_path / f"out.{ending}")
        status, out, _ = run("score", tmp_path / "items.jsonl", *arguments, capsys=capsys)
        assert (status, out) == (3, "")
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    questions = [item.question for item in read_items(tmp_path / "items.jsonl")]
    assert [row["question"] for row in rows] == questions
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for record, row, entry in zip(records, rows, table, strict=True):
        read = {name: value for name, value in entry.items() if value is not None}
        assert read == {
            **{name: value for name, value in record.items() if value is not None},
            "id": str(record["id"]),
        }
        for name in ("id", "prediction", "letter", "text", "error"):
            assert row[name] == ("" if record.get(name) is None else str(record[name]))
        assert row["right"] == (json.dumps(record["right"]) if "right" in record else "")
        numbers = {name: record.get(name) for name in ("scores", "probabilities")}
        numbers["log_likelihoods.base"] = record.get("log_likelihoods", {"base": None})["base"]
        for name, values in numbers.items():
            if values is None:
                assert row[name] == ""
            else:  # four decimals, which people can read
                assert re.fullmatch(r"\[(-?\d+\.\d{1,4}(, |\]))+", row[name])
                assert json.loads(row[name]) == pytest.approx(values, abs=5e-5)


def test_the_format_may_be_given(model_folder, capsys, tmp_path):
    (tmp_path / "items.jsonl").write_text(GOOD)
    arguments = ["score", tmp_path / "items.jsonl", "--model", model_folder, "--format", "csv"]
    _, out, _ = run(*arguments, "--out", "-", capsys=capsys)
    assert out.startswith("id,question,prediction,letter,text,right,error,scores")
    run(*arguments, "--out", tmp_path / "scores.jsonl", capsys=capsys)
    assert (tmp_path / "scores.jsonl").read_text() == out


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout on this system")
@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
def test_standard_output_by_name(out, model_folder):
    command = [sys.executable, "-c", PROGRAM, "score", QUESTIONS, "--model", model_folder]
    plain = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    named = subprocess.run([*command, "--out", out], cwd=ROOT, capture_output=True, check=True)
    assert named.stdout == plain.stdout
    assert messages(named.stderr.decode()) == ""


@pytest.mark.parametrize("options", [[], ["--out", "-", "--format", "csv"]])
def test_a_reader_that_leaves_is_no_error_message(options, model_folder, tmp_path):
    (tmp_path / "many.jsonl").write_text(QUESTIONS.read_text() * 40)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "score", tmp_path / "many.jsonl", "--model", model_folder,
         *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert messages(process.stderr.read()) == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_an_item_that_cannot_be_scored_costs_no_other(model_folder, capsys, tmp_path):
    (tmp_path / "all.jsonl").write_text(GOOD + LONG + GOOD + "\n" + LONG.replace('"ice"', '"sun"'))
    status, records, err = score(tmp_path / "all.jsonl", "--model", model_folder, capsys=capsys)
    assert status == 3
    assert [record["prediction"] is None for record in records] == [False, True, False, True]
    reason = "the choice 'water water water water water water w...' has "
    assert records[1]["error"].startswith(reason)
    assert set(records[1]) == {"id", "prediction", "error"}
    assert records[2] | {"id": 0} == records[0]
    lines = err.splitlines()
    assert [line.startswith("likra-lite: not scored: all.jsonl, line ") for line in lines] == [
        True, True, False,
    ]  # fmt: skip
    assert "line 2: the choice" in lines[0]
    assert "line 5: the choice" in lines[1]
    assert lines[2] == "likra-lite: 2 of 4 items were not scored"


def test_strict_stops_at_the_first(model_folder, capsys, tmp_path):
    (tmp_path / "all.jsonl").write_text(GOOD + LONG + GOOD)
    for command in ("score", "evaluate"):
        (tmp_path / "all.jsonl").write_text(GOOD + answered(LONG) + GOOD)
        arguments = (tmp_path / "all.jsonl", "--model", model_folder, "--strict")
        status, out, err = run(command, *arguments, capsys=capsys)
        assert (status, out) == (1, "")
        (line,) = messages(err).splitlines()
        assert line.startswith("likra-lite: error: all.jsonl, line 2: the choice 'water water")


def answered(line: str) -> str:
    return json.dumps(json.loads(line) | {"answer": 0}) + "\n"


def test_evaluate_leaves_out_what_cannot_be_scored(model_folder, capsys, tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text(QUESTIONS.read_text() + answered(LONG))
    status, text, err = run("evaluate", path, "--model", model_folder, capsys=capsys)
    assert status == 3
    assert "not scored: all.jsonl, line 49: " in err
    good, expected, _ = run("evaluate", QUESTIONS, "--model", model_folder, capsys=capsys)
    assert (good, text) == (0, expected)
    _, content, _ = run("evaluate", path, "--model", model_folder, "--json", capsys=capsys)
    assert json.loads(content)["items"] == 48
    assert json.loads(content)["not_scored"] == 1
    path.write_text(answered(LONG))
    status, _, err = run("evaluate", path, "--model", model_folder, capsys=capsys)
    assert status == 1
    beginning = "likra-lite: error: no item can be scored; all.jsonl, line 1: the choice"
    assert messages(err).startswith(beginning)


def test_pmi_of_whole_sentences_is_no_result(model_folder, capsys, tmp_path):
    """Every item is a tie there, and the first choice would be right wherever it stands first."""
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"sentence_good": f"The {name} lay eggs.", "sentence_bad": f"The {name} lays eggs."}
        for name in ("hens", "bees", "ducks")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, text, _ = run("evaluate", path, "--model", model_folder, capsys=capsys)
    assert status == 0
    assert "\nbase " in text
    assert "\npmi " not in text


def test_a_token_outside_the_vocabulary(model_folder, tmp_path, capsys):
    """As where a chat model's tokenizer has grown and its embedding has not."""
    folder = tmp_path / "model"
    folder.mkdir()
    manifest = read_manifest(model_folder)
    for name in manifest.files:
        if name != TOKENIZER:
            copy_file(model_folder / name, folder / name)
    tokenizer = LanguageModel(model_folder).encoder.tokenizer
    tokenizer.add_tokens([f"<new{n}>" for n in range(manifest.vocab_size)])
    tokenizer.save(str(folder / TOKENIZER))
    write_manifest(folder, manifest)
    unknown = f"<new{manifest.vocab_size - 1}>"
    items = tmp_path / "items.jsonl"
    items.write_text(GOOD + GOOD.replace("Wet?", unknown) + GOOD.replace("sand", unknown))
    status, records, err = score(items, "--model", folder, capsys=capsys)
    assert status == 3
    assert [record["prediction"] is None for record in records] == [False, True, True]
    for record in records[1:]:
        assert record["error"].startswith(f"the text has the token '{unknown}' with the number ")
    assert err.count("\n") == 3


def test_in_python_too(model_folder, items):
    from likra_lite.errors import UnscorableItemError

    fitted = LikraClassifier(model_folder, mode="base").fit(items)
    long = Item("Long?", ["ice", "water " * 3000])
    several = [items[0], long, items[1], long]
    with pytest.raises(UnscorableItemError, match=r"item 1: the choice .* \(and 1 more such items"):
        fitted.predict(several)
    bad = fitted.unscorable(several)
    assert list(bad) == [1, 3]
    assert bad[1].startswith("the choice 'water water")
    assert fitted.unscorable(items) == {}
    kept = [item for index, item in enumerate(several) if index not in bad]
    assert fitted.predict(kept).tolist() == fitted.predict(items[:2]).tolist()


def test_equal_items_that_cannot_be_scored_are_all_told(model_folder, capsys, tmp_path):
    (tmp_path / "all.jsonl").write_text(LONG + GOOD + LONG * 11)
    status, records, err = score(tmp_path / "all.jsonl", "--model", model_folder, capsys=capsys)
    assert status == 3
    assert [record["prediction"] is None for record in records] == [True, False, *[True] * 11]
    assert err.count("not scored: ") == 10
    assert err.splitlines()[-1] == "likra-lite: 12 of 13 items were not scored"


@pytest.mark.parametrize("name", ["x.xlsx", "x.ODS"])
def test_a_spreadsheet_is_not_written_as_lines(name, model_folder, tmp_path, capsys):
    arguments = ("score", QUESTIONS, "--model", str(model_folder), "--out", str(tmp_path / name))
    status, _, problem = run(*arguments, capsys=capsys)
    assert status == 1
    assert "give it the ending .csv" in problem
    assert not list(tmp_path.iterdir())
