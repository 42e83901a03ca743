"""``likra-lite inspect-file``, and what the other commands say of the files that they read."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from command_line import run
from likra_lite.cli.main import group

EXAM = (
    "Nr;Frage-ID;Question;A;B;C;D;Answer;Thema\r\n"
    "1;x1;Wie heißt die Hauptstadt von Österreich?;Wien;Graz;Linz;Bern;A;Städte\r\n"
    "2;x2;Was trägt „Früchte“?;Stein;Apfelbaum;Öl;Luft;B;Natur\r\n"
    ";;;;;;;;\r\n"
)


@pytest.fixture
def exam(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_bytes(EXAM.encode("cp1252"))
    return path


def test_it_shows_how_a_file_is_read(exam, capsys):
    status, out, err = run("inspect-file", exam, "--first", 1, capsys=capsys)
    assert (status, err) == (0, "")
    assert out == (
        f"{exam}\n\n"
        "items     2\n"
        "format    table, semicolon, cp1252\n"
        "layout    a field for each choice\n"
        "answers   letters, A being the first choice\n"
        "context   none\n"
        "not used  Frage-ID, Thema\n\n"
        "exam.csv, line 2 (id 1)\n"
        "  question  Wie heißt die Hauptstadt von Österreich?\n"
        "  * A  Wien\n    B  Graz\n    C  Linz\n    D  Bern\n"
    )


def test_it_shows_contexts_and_escapes_control_characters(tmp_path, capsys):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"ctx": "She\\u001b[31m", "endings": ["ran.", "sat."], "label": "1"}\n'
        '{"ctx": "He", "endings": ["ran.", "sat."], "label": ""}\n'
        '{"sentence": "The _ is big.", "option1": "cat", "option2": "car", "answer": ""}\n'
    )
    status, out, _ = run("inspect-file", path, capsys=capsys)
    assert status == 0
    assert "answers   indices counted from 0 (2 of 3 missing)" in out
    assert "  context   She\\x1b[31m\n    A  ran.\n  * B  sat.\n" in out
    assert "    A  The cat | is big.\n    B  The car | is big.\n" in out


def test_every_command_says_in_one_line_how_it_read(exam, model_folder, capsys):
    status, out, err = run("score", exam, "--model", model_folder, capsys=capsys)
    assert status == 0
    assert [json.loads(line)["right"] in (True, False) for line in out.splitlines()] == [True, True]
    assert err.splitlines()[0] == (
        "likra-lite: exam.csv: 2 items; format table, semicolon, cp1252; layout a field for each "
        "choice; answers letters, A being the first choice; not used Frage-ID, Thema"
    )


def test_options_of_reading_reach_every_command(tmp_path, model_folder, monkeypatch, capsys):
    path = tmp_path / "items.csv"
    path.write_text("question:A:B:answer\nWhat flies?:birds:stones:1\nWhat rolls?:hens:balls:1\n")
    options = ["--delimiter", ":", "--answers", "index", "--model", model_folder]
    for command in ("score", "evaluate"):
        assert run(command, path, *options, capsys=capsys)[0] == 0
    status, _, err = run("evaluate", path, *options[:2], *options[4:], capsys=capsys)
    assert status == 1
    assert "pass --answers index or --answers index-from-1" in err
    labels = tmp_path / "labels.lst"
    labels.write_text("A\nB\n")
    monkeypatch.setattr(
        "sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"question,A,B\nq,x,y\nr,x,y\n"))
    )
    status, out, _ = run("inspect-file", "-", "--labels", labels, capsys=capsys)
    assert status == 0
    assert "* A  x" in out
    assert "* B  y" in out


def test_commands_that_read_items_take_the_same_options():
    names = {"answers", "delimiter", "encoding", "labels"}
    reading = {
        name
        for name, command in group.commands.items()
        if {parameter.name for parameter in command.params} >= names
    }
    assert reading == {
        *("demo", "export", "quantize", "fit", "import-adapters", "score", "evaluate", "inspect"),
        *("inspect-file", "curve", "compare"),
    }
