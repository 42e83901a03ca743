"""Files of scores that go on where a killed run has stopped, and scores of parts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_line import messages, run
from likra_lite.cli import records

from likra_lite.errors import LikraError
from likra_lite.questions.parts import parts_of
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.system.resumable import ResumableFile, resume_path

QUESTIONS = Path(__file__).resolve().parent.parent / "examples" / "questions.jsonl"
LONG = json.dumps({"question": "Long?", "choices": ["ice", "water " * 3000]}) + "\n"


class KilledError(BaseException):
    """Stands for a signal that cannot be caught: nothing may be done after it."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("likra_lite.scoring.chunk.MOST", 5)
    monkeypatch.setattr("likra_lite.scoring.chunk.LEAST", 5)


@pytest.fixture
def killed_after(monkeypatch):
    """Return a function that makes runs die after so many chunks, or in the middle of the next."""

    def kill(chunks: int | None) -> None:
        left = chunks

        def write(self, rows, state):
            nonlocal left
            if left == 0:
                self.writer.write(rows[:2])
                self.file._file.flush()
                raise KilledError
            left = None if left is None else left - 1
            real_write(self, rows, state)

        monkeypatch.setattr(records.Records, "write", write)

    real_write = records.Records.write
    return kill


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_same_command_goes_on(form, model_folder, tmp_path, capsys, killed_after, monkeypatch):
    items = tmp_path / "items.jsonl"
    items.write_text(LONG + QUESTIONS.read_text() + LONG.replace('"ice"', '"sun"'))
    command = ["score", items, "--model", model_folder, "--out"]
    status, _, said = run(*command, tmp_path / f"whole.{form}", capsys=capsys)
    assert status == 3
    out = tmp_path / f"scores.{form}"
    for chunks in (0, 3, 0, 4):
        killed_after(chunks)
        with pytest.raises(KilledError):
            run(*command, out, capsys=capsys)
        assert not out.exists()
    capsys.readouterr()
    killed_after(None)
    scored: list[int] = []
    read = ChoiceScorer._read

    def count(self, items, *rest):
        scored.append(len(items))
        return read(self, items, *rest)

    monkeypatch.setattr(ChoiceScorer, "_read", count)
    status, _, err = run(*command, out, capsys=capsys)
    assert out.read_bytes() == (tmp_path / f"whole.{form}").read_bytes()
    assert status == 3
    assert "going on behind item 35 of 50" in err
    told = [line for line in said.splitlines() if "not scored" in line]
    assert [line for line in err.splitlines() if "not scored" in line] == told
    assert sum(scored) == 15 + 4  # the last chunk is read again without the item that is too long
    assert {path.name for path in tmp_path.iterdir()} == {
        "items.jsonl", f"whole.{form}", f"scores.{form}",
    }  # fmt: skip


@pytest.mark.parametrize("change", ["items", "options", "damage"])
def test_what_is_of_another_making_is_not_taken_up(
    change, model_folder, tmp_path, capsys, killed_after
):
    items, out = tmp_path / "items.jsonl", tmp_path / "scores.jsonl"
    items.write_text(QUESTIONS.read_text())
    command = ["score", items, "--model", model_folder, "--out", out]
    killed_after(4)
    with pytest.raises(KilledError):
        run(*command, capsys=capsys)
    killed_after(None)
    capsys.readouterr()
    if change == "items":
        items.write_text(items.read_text().replace("Which", "What"))
    elif change == "options":
        command += ["--prompt", "completion"]
    else:
        partial = tmp_path / "scores.jsonl.partial"
        partial.write_bytes(b"x" + partial.read_bytes()[1:])
    status, _, err = run(*command, capsys=capsys)
    assert status == 0
    assert "going on" not in err
    command[command.index(out)] = tmp_path / "whole.jsonl"
    run(*command, capsys=capsys)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_notes_that_were_cut(tmp_path):
    path = tmp_path / "file"

    def begin(text: str) -> None:
        file = ResumableFile(path, "identity").__enter__()
        for number, letter in enumerate(text):
            file.stream.write(letter.encode() * 10)
            file.note({"number": number})
        file._file.close()
        file._notes.close()

    begin("abc")
    notes = resume_path(path).read_bytes()
    resume_path(path).write_bytes(notes[:-5])
    with ResumableFile(path, "identity") as file:
        assert file.state == {"number": 1}
        file.stream.write(b"d")
    assert path.read_bytes() == b"a" * 10 + b"b" * 10 + b"d"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_runs_do_not_write_one_file(tmp_path):
    pytest.importorskip("fcntl")
    with (
        ResumableFile(tmp_path / "file", "identity"),
        pytest.raises(LikraError, match="is being written by another process"),
        ResumableFile(tmp_path / "file", "identity"),
    ):
        pass


@pytest.fixture
def parts(tmp_path) -> Path:
    """A folder of three parts, one in a folder of its own, and what is none."""
    folder = tmp_path / "parts"
    (folder / "day=2").mkdir(parents=True)
    lines = QUESTIONS.read_text().splitlines(keepends=True)
    (folder / "a.jsonl").write_text("".join(lines[:10]) + LONG)
    with gzip.open(folder / "b.jsonl.gz", "wt") as stream:
        stream.writelines(lines[10:20])
    (folder / "day=2" / "c.json").write_text(f"[{','.join(lines[20:30])}]")
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.jsonl").write_text("nothing")
    return folder


def test_parts_in_parts_out(parts, model_folder, tmp_path, capsys, killed_after):
    out = tmp_path / "scores"
    command = ["score", parts, "--model", model_folder, "--out", out]
    killed_after(4)  # in the second part
    with pytest.raises(KilledError):
        run(*command, capsys=capsys)
    killed_after(None)
    capsys.readouterr()
    status, _, err = run(*command, capsys=capsys)
    assert status == 3
    assert "part 1 of 3" not in err
    assert "part 2 of 3" in err
    assert "1 of 31 items were not scored" in err
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {"a.jsonl", "b.jsonl", "day=2/c.jsonl", "_finished.jsonl"}
    for part, scores in (("a.jsonl", "a.jsonl"), ("b.jsonl.gz", "b.jsonl")):
        run("score", parts / part, "--model", model_folder, "--out", tmp_path / "x", capsys=capsys)
        assert (out / scores).read_bytes() == (tmp_path / "x").read_bytes()
    again, _, err = run(*command, capsys=capsys)
    assert (again, "likra-lite: part" in messages(err)) == (3, False), "everything was finished"


def test_a_pattern_and_evaluate(parts, model_folder, tmp_path, capsys):
    pattern = str(parts / "**" / "[bc].*")
    assert [path.name for path in parts_of(pattern) or []] == ["b.jsonl.gz", "c.json"]
    run("score", pattern, "--model", model_folder, "--out", tmp_path / "s", "--format", "csv",
        capsys=capsys)  # fmt: skip
    assert (tmp_path / "s" / "b.csv").is_file()
    status, out, _ = run("evaluate", pattern, "--model", model_folder, capsys=capsys)
    assert status == 0
    assert out.startswith("accuracy on 20 items")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parts"], "parts has parts: name the folder for their scores with --out"),
        (["parts", "--out", "parts/scores"], "is in parts, and would be read as parts"),
        (["parts", "--out", "file"], "file is a file; the scores of parts go to a folder"),
        (["parts/*.parquet", "--out", "s"], "parts/*.parquet: has no files of items, which end"),
        (["parts", "--out", "s", "--jobs", "2", "--cluster", "tcp://x:1"], "--jobs is of this"),
    ],
)
def test_mistakes(arguments, message, parts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    status, _, err = run("score", *arguments, capsys=capsys)
    assert status in (1, 2)
    assert message in " ".join(err.split())


def test_parts_that_meet(parts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (parts / "a.json").write_text("[]")
    status, _, err = run("score", "parts", "--out", "s", "--format", "csv", capsys=capsys)
    assert status == 1
    assert "meet there; choose another folder" in err
