"""Bad input gets one clear line: what was got, where, and what to do.

Every case runs through the command line. ``python tests/test_bad_input.py`` prints the table.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from likra_lite.cli.main import main as command_line

PROGRAM = "from likra_lite.cli.main import main; main()"
GOOD = '{"question": "q", "choices": ["a", "b"], "answer": 0}\n'

# File name and content; what the message must say after the file's name.
FILES = {
    "not JSON": ("x.jsonl", GOOD + "{question: q}\n", r":2: is not JSON \(.* column 2\); expected one"),
    "JSON array": ("x.jsonl", "[1, 2]\n", r":1: expected one object with question and choices, got int"),
    "no question": ("x.jsonl", '{"choices": ["a", "b"]}\n', r":1: question is missing; got the fields"),
    "no choices": ("x.jsonl", '{"question": "q"}\n', r":1: choices are missing; got the fields question"),
    "choices a string": (
        "x.jsonl", '{"question": "q", "choices": "ab"}\n',
        r":1: choices must be a list of strings, got 'ab'",
    ),
    "one choice": (
        "x.jsonl", '{"question": "q", "choices": ["a"]}\n', r":1: .* at least two choices, got 1",
    ),
    "empty choice": (
        "x.jsonl", GOOD + '{"question": "q", "choices": ["a", " "]}\n', r":2: choice 1 is empty",
    ),
    "choice a list": (
        "x.jsonl", '{"question": "q", "choices": ["a", ["b"]]}\n',
        r":1: choice 1 must be a string, got list",
    ),
    "texts and objects mixed": (
        "x.jsonl", '{"question": "q", "choices": [{"text": "a"}, "b"]}\n',
        r":1: choices mix texts and objects",
    ),
    "half a character": (
        "x.jsonl", '{"question": "q", "choices": ["a", "\\ud800"]}\n',
        r":1: the text holds half a character",
    ),
    "a number of 5000 digits": (
        "x.jsonl", '{"question": "q", "answer": ' + "1" * 5000 + "}\n",
        r":1: is not JSON \(Exceeds the limit .*; expected one",
    ),
    "answer under another name": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "anser": 0}\n',
        r":1: the item has no answer \(other fields: anser\); items without one",
    ),
    "CSV choices with a gap": (
        "x.csv", "question,A,B,D,answer\nq,a,b,d,D\n", r":1: the columns B and D leave a gap",
    ),
    "CSV choices numbered from 1": (
        "x.csv", "question,choice_1,choice_2,answer\nq,a,b,1\n",
        r":2: answer '1' means choice B, 'b' \(counted from 0\) or choice A, 'a' \(counted from 1\)",
    ),
    "empty question": (
        "x.jsonl", '{"question": " ", "choices": ["a", "b"]}\n', r":1: question is empty",
    ),
    "answer out of range": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "answer": 2}\n',
        r":1: answer 2 is out of range for 2 choices, expected 0 to 1",
    ),
    "answer is a text": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "answer": "two"}\n',
        r":1: answer 'two' is not a letter from A to B nor the text of a choice nor an index",
    ),
    "letter out of range": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "answer": "C"}\n',
        r":1: answer 'C' is out of range for 2 choices",
    ),
    "unknown label in ARC's layout": (
        "x.jsonl",
        '{"question": {"stem": "q", "choices": [{"text": "a", "label": "1"}, '
        '{"text": "b", "label": "2"}]}, "answerKey": "3"}\n',
        r":1: answer '3' is not one of the labels 1, 2",
    ),
    "no answer": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"]}\n',
        r":1: the item has no answer; items without one can be scored, but not fitted or evaluated",
    ),
    "empty file": ("x.jsonl", "\n", r": has no items"),
    "not UTF-8": ("x.jsonl", GOOD.encode() + b"\xff\n", r":2: byte 0xff is not UTF-8; save the file"),
    "unknown ending": ("x.docx", GOOD, r": got a .docx file, expected .jsonl, .ndjson, .json"),
    "CSV without question": ("x.csv", "title,A,B\nq,a,b\n", r":1: question is missing; got the fields title, A, B"),
    "CSV without choices": ("x.csv", "question,answer\nq,0\n", r":2: choices are missing; got the fields question, answer"),
    "CSV with a bad list": (
        "x.csv", "question,choices\nq,a|b\n", r":2: choices must be a list of strings, got 'a|b'",
    ),
    "CSV row too long": ("x.csv", "question,A,B\nq,a,b,c,d\n", r":2: has 5 cells, more than the header's 3"),
    "CSV answer out of range": (
        "x.csv", "question,A,B,answer\nq,a,b,7\n", r":2: answer '7' is out of range for 2 choices",
    ),
    "CSV with an open quote": ("x.csv", 'question,A,B\n"q,a,b\n', r":2: a quote is not closed"),
    "quote that takes in other rows": (
        "x.tsv", 'question\tA\tB\tanswer\n"q\ta\tb\tA\nq\ta\tb"\tB\n', r":2: a quote is opened and not closed",
    ),
    "column twice": ("x.csv", "question,A,B,B\nq,a,b,c\n", r":1: the header has the column 'B' twice"),
    "name twice": (
        "x.jsonl", GOOD + '{"question": "q", "choices": ["a", "b"], "answer": 0, "answer": 1}\n',
        r":2: has the name 'answer' twice",
    ),
    "names that differ by case": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "answer": 0, "Answer": 1}\n',
        r":1: the fields answer, Answer have the same name",
    ),
    "lists in lists": (
        "x.jsonl", '{"question": "q", "choices": ' + "[" * 1000 + "]" * 1000 + "}\n", r":1: .*nested too deep",
    ),
    "some lists in lists": (
        "x.jsonl", '{"question": "q", "choices": ' + "[" * 100 + "]" * 100 + "}\n", r":1: .*nested too deep",
    ),
    "answer of 400 digits": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "label": ' + "1" * 400 + "}\n",
        r":1: answer 1+\.\.\. is not a letter",
    ),
    "several letters": (
        "x.jsonl", '{"question": "q", "choices": ["a", "b"], "label": "AB"}\n', r":1: answer 'AB' is not a letter",
    ),
    "endless name": (
        "x.jsonl", '{"question": "q", "choice_' + "9" * 400 + '": "a", "choice_0": "b"}\n',
        r":1: choices are missing; got the fields question, choice_9+\.\.\.",
    ),
    "bad byte far down": (
        "x.jsonl", GOOD.encode() * 3000 + b'{"question": "\xff"}\n', r":3001: byte 0xff is not UTF-8",
    ),
    "bad byte far down a table": (
        "x.csv", b"question,A,B,answer\n" + b"q,a,b,A\n" * 20000 + b"q,a,\xff,A\n", r":20002: byte 0xff is not",
    ),
    "control characters in a name": (
        "x.jsonl", '{"que\\u001b[31mstion": "q", "choices": ["a", "b"]}\n',
        r":1: question is missing; got the fields que\\x1b\[31mstion, choices",
    ),
    "empty array": ("x.json", "[]\n", r": has no items"),
    "JSON cut off": ("x.json", '[{"question": "q",\n"choices": ["a"', r":2: is not JSON \("),
    "JSON with a comma too many": ("x.json", '[\n' + GOOD + ',]\n', r":3: is not JSON \(expected a comma or"),
    "XML with a document type": (
        "x.xml", '<!DOCTYPE a [<!ENTITY b "c">]>\n<a><i><p>&b;</p></i></a>\n', r":1: has a document type",
    ),
    "not XML": ("x.xml", "<a>\n<b>\n</a>\n", r":3: is not XML \(mismatched tag\)"),
    "no Parquet": ("x.parquet", "PAR1 no", r": cannot be read"),
    "no Arrow": ("x.arrow", "ARROW1 no", r": cannot be read"),
    "cut gzip": ("x.jsonl.gz", gzip.compress(GOOD.encode())[:-9], r": cannot be read"),
    "two right answers": (
        "x.json", '{"examples": [\n{"input": "q", "target_scores": {"a": 1, "b": 1}}]}', r":2: 2 choices are marked",
    ),
    "choice too long for the model": (
        "x.jsonl", GOOD + json.dumps({"question": "q", "choices": ["a", "soil " * 3000], "answer": 0}),
        r"x.jsonl, line 2: the choice .* has \d+ tokens but the model reads 1024; shorten it",
    ),
    "a single item": ("x.jsonl", GOOD, r"fit needs at least two items, to hold one out; got 1"),
    "only copies of the right choice": (
        "x.jsonl", '{"question": "q", "choices": ["a", "a"], "answer": 0}\n' * 2,
        r"no wrong answer could be drawn: every choice equals the right one",
    ),
}  # fmt: skip

# Arguments of the command line; {model}, {items}, {tmp} are filled in.
ARGUMENTS = {
    "file does not exist": (
        "score {tmp}/nowhere.jsonl --model {model}", r"nowhere.jsonl: cannot be read: No such file",
    ),
    "file is a folder": ("score {tmp}/folder.jsonl --model {model} --out {tmp}/out", r"folder.jsonl: has no files of items"),
    "model folder does not exist": (
        "score {items} --model {tmp}/nowhere", r"model folder .* does not exist; make one with",
    ),
    "hub id as model": (
        "score {items} --model some/one", r"turn it into one: likra-lite export some/one --out DIR",
    ),
    "model is a file": ("score {items} --model {items}", r"model folder .* is a file"),
    "model is a checkpoint": (
        "score {items} --model {checkpoint}", r"has no likra.json: it looks like a Hugging Face",
    ),
    "model folder is damaged": (
        "score {items} --model {tmp}/damaged", r"trunk.onnx has \d+ bytes, expected \d+; .* damaged",
    ),
    "model folder is newer": (
        "score {items} --model {tmp}/newer", r"has format version 3 .* upgrade likra-lite",
    ),
    "checkpoint does not exist": (
        "export {tmp}/nowhere --out {tmp}/out", r"cannot load .*nowhere: there is no such folder",
    ),
    "checkpoint is neither here nor on the hub": (
        "export no-such-model --out {tmp}/out", r"cannot load no-such-model, which is no local folder,",
    ),
    "checkpoint is a model folder": (
        "export {model} --out {tmp}/out", r"is a model folder already; use it with --model",
    ),
    "checkpoint is any folder": (
        "export {tmp}/thesis --out {tmp}/out", r"is no checkpoint: it has no config.json",
    ),
    "out is a folder": ("score {items} --model {model} --out {tmp}/thesis", r"thesis is a folder;"),
    "penalty is zero": (
        "fit {items} --model {model} --out {tmp}/out --penalty 0",
        r"got penalty=0.0; expected a number above 0 or 'auto'",
    ),
    "out is a folder with other things": (
        "fit {items} --model {model} --out {tmp}/thesis",
        r"thesis exists and is not a model folder; choose another",
    ),
    "out is inside a file": (
        "score {items} --model {model} --out {items}/scores.jsonl", r"cannot write .*: its folder does not exist",
    ),
    "out is the file of items": (
        "score {items} --model {model} --out {items}", r"--out and ITEMS are the same file; choose another",
    ),
    "prompt without a question": (
        "fit {items} --model {model} --out {tmp}/out --prompt hello", r"got prompt 'hello'; expected",
    ),
    "unknown mode": (
        "fit {items} --model {model} --out {tmp}/out --mode best", r"'best' is not one of 'auto',",
    ),
    "alpha is a word": (
        "fit {items} --model {model} --out {tmp}/out --alpha big", r"'big' is neither a number nor",
    ),
    "alpha is negative": (
        "fit {items} --model {model} --out {tmp}/out --alpha -1",
        r"got alpha=-1.0; expected a number of at least 0 or 'auto'",
    ),
    "no such demo": ("score demo.txt", r"demo.txt: cannot be read: No such file"),
    "unknown option": ("score {items} --modle {model}", r"No such option '?--modle"),
}  # fmt: skip


def prepare(tmp: Path, model: Path, checkpoint: Path) -> dict[str, Path]:
    """Lay out the good and bad things that arguments point at."""
    (tmp / "items.jsonl").write_text(GOOD * 3)
    (tmp / "folder.jsonl").mkdir()
    (tmp / "thesis").mkdir()
    (tmp / "thesis" / "chapter.txt").write_text("years of work")
    shutil.copytree(model, tmp / "damaged")
    (tmp / "damaged" / "trunk.onnx").write_bytes(b"short")
    shutil.copytree(model, tmp / "newer")
    manifest = json.loads((tmp / "newer" / "likra.json").read_text())
    (tmp / "newer" / "likra.json").write_text(json.dumps(manifest | {"format_version": 3}))
    return {"tmp": tmp, "items": tmp / "items.jsonl", "model": model, "checkpoint": checkpoint}


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        try:
            command_line(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), err.getvalue()


def file_case(name: str, tmp: Path, model: Path) -> list[str]:
    """Write a bad file and return the arguments of a fit on it."""
    file, content, _ = FILES[name]
    path = tmp / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["fit", str(path), "--model", str(model), "--out", str(tmp / "out"), "--mode", "likra"]


def check(result: tuple[int, str, str], message: str) -> None:
    status, stdout, stderr = result
    assert status in (1, 2)
    assert stdout == ""
    assert "Traceback" not in stderr
    last = stderr.strip().splitlines()[-1]
    assert re.search(message, last), last
    assert len(last.replace(tempfile.gettempdir(), "")) < 400, "the message itself is under 300"
    errors = [line for line in stderr.splitlines() if "error:" in line]
    assert len(errors) == 1 or status == 2, "one line, or a usage message"


@pytest.mark.parametrize("name", FILES)
def test_bad_files(name, tmp_path, model_folder):
    check(run(file_case(name, tmp_path, model_folder)), FILES[name][2])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments(name, tmp_path, model_folder, llama_checkpoint):
    places = prepare(tmp_path, model_folder, llama_checkpoint)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    arguments = ARGUMENTS[name][0].format(**places).split()
    check(run(arguments), ARGUMENTS[name][1])
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_on_standard_output(tmp_path, model_folder):
    places = prepare(tmp_path, model_folder, tmp_path)
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, "score", places["items"], "--model", model_folder],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.stderr.endswith("\nlikra-lite: error: output: No space left on device\n")
    assert process.returncode == 1


@pytest.mark.parametrize("command", ["score", "fit"])
def test_no_room_for_the_output(command, tmp_path, model_folder):
    """A limit on the size of files stands for a full disk: writes fail half-way."""
    resource = pytest.importorskip("resource")
    (tmp_path / "items.jsonl").write_text(GOOD * 60)
    arguments = [tmp_path / "items.jsonl", "--model", model_folder, "--out", tmp_path / "out"]
    arguments += ["--adapter", "output"] if command == "fit" else []
    before = sorted(path.name for path in tmp_path.iterdir())
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert process.stderr.splitlines()[-1].endswith(
        f"cannot write {tmp_path / 'out'}: File too large"
    )
    assert "Traceback" not in process.stderr
    assert process.returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_no_room_for_the_state_of_a_training(tmp_path, model_folder):
    resource = pytest.importorskip("resource")
    (tmp_path / "items.jsonl").write_text(GOOD * 60)
    arguments = [tmp_path / "items.jsonl", "--model", model_folder, "--out", tmp_path / "out"]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, "fit", *arguments, "--adapter", "lora"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    last = process.stderr.splitlines()[-1]
    assert last.startswith("likra-lite: error: cannot write ")
    assert "File too large" in last
    assert process.returncode == 1
    assert not (tmp_path / "out").exists()


def test_no_permission(tmp_path, model_folder, monkeypatch):
    """Root may write anywhere, so the refusal is the operating system's answer, replayed."""
    places = prepare(tmp_path, model_folder, tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    arguments = ["fit", str(places["items"]), "--model", str(model_folder), "--mode", "base"]
    check(
        run([*arguments, "--out", str(tmp_path / "out")]), r"cannot write .*out: Permission denied"
    )
    monkeypatch.setattr(Path, "open", refuse)
    check(run([*arguments, "--out", "x"]), r"items.jsonl: cannot be read: Permission denied")


def main() -> None:
    """Print every case with the line that it gets, as Markdown."""
    from checkpoints import save_checkpoint

    from likra_lite.export import export_model

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        checkpoint = save_checkpoint("llama", root / "checkpoint")
        export_model(checkpoint, root / "model")
        print("| input | message |\n|---|---|")
        for index, name in enumerate([*FILES, *ARGUMENTS]):
            tmp = root / str(index)
            tmp.mkdir()
            if name in FILES:
                arguments = file_case(name, tmp, root / "model")
            else:
                places = prepare(tmp, root / "model", checkpoint)
                arguments = ARGUMENTS[name][0].format(**places).split()
            line = run(arguments)[2].strip().splitlines()[-1]
            print(f"| {name} | `{line.replace(str(tmp) + '/', '').replace(str(root) + '/', '')}` |")


if __name__ == "__main__":
    main()
