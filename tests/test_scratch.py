"""Scratch files and folders: whose they are, and what is left after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from likra_lite.engine import folder_writing
from likra_lite.engine.folder_writing import atomic_folder, check_folder_target, copy_file
from likra_lite.errors import LikraError
from likra_lite.system.atomic import atomic_text, partial_path, write_bytes
from likra_lite.system.exchange import exchange
from likra_lite.system.scratch import scratch_folder, temporary_folder

WRITER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from likra_lite.system.atomic import atomic_text
from likra_lite.system.scratch import scratch_folder, temporary_folder
stack = ExitStack()
stack.enter_context(atomic_text(sys.argv[1] + "/file")).write("half")
folder = stack.enter_context(scratch_folder(Path(sys.argv[1]) / "folder"))
(folder / "inside").mkdir()
(folder / "inside" / "file").write_text("half")
stack.enter_context(temporary_folder())
print("ready", flush=True)
time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path, monkeypatch
):
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        write_bytes(tmp_path / "other", b"")
        with temporary_folder():
            pass
        assert len(names(tmp_path)) == 4  # the other file, tmp, and both of the writer's
        assert len(names(tmp_path / "tmp")) == 1
        writer.send_signal(signal.SIGKILL)
    write_bytes(tmp_path / "other", b"")
    with temporary_folder():
        assert len(names(tmp_path / "tmp")) == 1
    assert names(tmp_path) == ["other", "tmp"]
    assert names(tmp_path / "tmp") == []


def test_files_of_others_that_look_like_scratch_stay(tmp_path):
    planted = {".out.likra-lite-0": "", ".out.likra-lite-0123456789abcdef.txt": "", "a.txt": "mine"}
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    link = tmp_path / ".out.likra-lite-0123456789abcdef"
    link.symlink_to(tmp_path / "a.txt")
    os.mkfifo(tmp_path / ".out.likra-lite-0123456789abcdee")
    write_bytes(tmp_path / "out", b"new")
    assert set(planted) < set(names(tmp_path))
    assert link.is_symlink()
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_planted_links_are_not_followed(tmp_path, monkeypatch):
    """Equal names, as of equal process numbers in containers: the next name is taken."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".out.likra-lite-planted").symlink_to(victim)
    tokens = iter(["planted", "fresh"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(tokens))
    with pytest.raises(LikraError, match=r"cannot write .*out: File exists"):
        write_bytes(tmp_path / "out", b"new")
    assert victim.read_text() == "mine"
    write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_two_writers_of_one_file(tmp_path):
    with atomic_text(tmp_path / "out") as one, atomic_text(tmp_path / "out") as other:
        one.write("one")
        other.write("other")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "one"  # renamed last


def test_an_interrupt_keeps_what_was_written(tmp_path):
    def write() -> None:
        with atomic_text(tmp_path / "out") as stream:
            stream.write("so far")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert partial_path(tmp_path / "out").read_text() == "so far"
    assert names(tmp_path) == ["out.partial"]


def test_long_names_and_modes(tmp_path):
    name = "\N{SNOWMAN}" * 85  # the 255 bytes that a name may have
    write_bytes(tmp_path / name, b"new")
    assert names(tmp_path) == [name]
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_scratch_folder_that_has_become_something_stays(tmp_path):
    with scratch_folder(tmp_path / "out") as scratch:
        (scratch / "file").write_text("whole")
        scratch.rename(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_exchange(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    if not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this operating system or file system cannot exchange folders")
    assert names(tmp_path / "one") == ["other"]
    assert not exchange(tmp_path / "one", tmp_path / "missing")
    assert names(tmp_path) == ["one", "other"]


@pytest.mark.parametrize("size", [0, 1, 2**20 + 1])
@pytest.mark.parametrize("range_works", [True, False])
def test_copies_share_nothing(size, range_works, tmp_path, monkeypatch):
    content = os.urandom(size)
    (tmp_path / "one").write_bytes(content)
    if not range_works:

        def refuse(*_: object) -> int:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr("os.copy_file_range", refuse)
    copy_file(tmp_path / "one", tmp_path / "other")
    with (tmp_path / "other").open("r+b") as stream:
        stream.write(b"changed")
    assert (tmp_path / "one").read_bytes() == content
    assert (tmp_path / "other").read_bytes()[7:] == content[7:]


def test_empty_folders_of_others_are_kept(tmp_path):
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    with pytest.raises(LikraError, match="exists and is not a model folder"):
        check_folder_target(tmp_path / "mine")
    (tmp_path / "new").mkdir()
    with atomic_folder(tmp_path / "new") as scratch:
        (scratch / "likra.json").write_text('{"files": {"heads/a": {}}}')
        (scratch / "heads").mkdir()
        (scratch / "heads" / "a").write_text("")
    check_folder_target(tmp_path / "new")
    (tmp_path / "new" / "heads" / "plans").mkdir()
    with pytest.raises(LikraError, match="holds heads/plans, which is no part"):
        check_folder_target(tmp_path / "new")


def model_folder_of(files, path):
    path.mkdir()
    (path / "likra.json").write_text(json.dumps({"files": {name: {} for name in files}}))
    for name in files:
        (path / name).write_text(name)
    return path


def test_checking_a_folder_while_another_process_replaces_it(tmp_path, monkeypatch):
    """A list of the one folder and files of the other are no reason to refuse."""
    target = model_folder_of(["a"], tmp_path / "target")
    other = model_folder_of(["a", "b"], tmp_path / "other")
    read, calls = folder_writing._manifest_bytes, []

    def read_and_replace(path):
        content = read(path)
        calls.append(content)
        if len(calls) == 1:
            path.rename(tmp_path / "old")
            other.rename(path)
        return content

    monkeypatch.setattr(folder_writing, "_manifest_bytes", read_and_replace)
    check_folder_target(target)
    (target / "mine.txt").touch()
    with pytest.raises(LikraError, match=r"holds mine\.txt, which is no part"):
        check_folder_target(target)


def test_another_process_writes_the_same_new_folder(tmp_path, monkeypatch):
    """Whoever is last stays, and both are whole."""
    if not can_exchange(tmp_path):
        pytest.skip("this operating system or file system cannot exchange folders")
    target, calls = tmp_path / "new", []

    def late(one, two):
        calls.append(one)
        if len(calls) == 1:  # the other one comes between this and the next step
            model_folder_of(["other"], target)
            return False
        return exchange(one, two)

    monkeypatch.setattr(folder_writing, "exchange", late)
    with atomic_folder(target) as scratch:
        (scratch / "mine").touch()
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def can_exchange(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
    done = exchange(folder / "one", folder / "two")
    for name in ("one", "two"):
        (folder / name).rmdir()
    return done
