"""The code in the README and in docs/ runs, and what they say of commands and modes is so."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from command_line import run
from likra_lite.cli.main import group
from test_architecture import FLOORS, MODULES, ROWS, imports_of, room_of

import likra_lite
from likra_lite.scoring.modes import MODES

ROOT = Path(__file__).resolve().parent.parent
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.S | re.M)
HUB_ID = re.compile(r"HuggingFaceTB/SmolLM2-135M(-Instruct)?")


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page, each with its language."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language in languages]


def commands(page: Path, *languages: str) -> list[list[str]]:
    """Return the words of every call of likra-lite in a page's shell blocks."""
    return [
        shlex.split(line.removeprefix("$ "), comments=True)
        for _, text in blocks(page, *languages)
        for line in text.splitlines()
        if line.removeprefix("$ ").startswith("likra-lite ")
    ]


def name(page: Path) -> str:
    return page.stem


@pytest.fixture(scope="module")
def ready(tmp_path_factory, model_folder, llama_checkpoint):
    """A folder like the reader's, with a model, heads and the example questions."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(model_folder, folder / "my-model")
    shutil.copytree(llama_checkpoint, folder / "my-checkpoint")  # in place of the hub's
    for target in ("train.jsonl", "test.jsonl"):
        shutil.copy(ROOT / "examples" / "questions.jsonl", folder / target)
    likra_lite.LikraClassifier(folder / "my-model", adapter="output", mode="likra", cv=2).fit(
        likra_lite.read_items(folder / "train.jsonl")
    ).save(folder / "my-heads")
    return folder


@pytest.fixture
def place(ready, tmp_path, monkeypatch):
    """A copy of that folder to work in."""
    shutil.copytree(ready, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")
@pytest.mark.filterwarnings("ignore::likra_lite.errors.OverlapWarning")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_runs_from_the_first_block_to_the_last(page, place, capsys):
    """Blocks marked sh and python; what is marked console is too slow, or needs the network."""
    names: dict[str, object] = {}
    table = [text for _, text in blocks(page, "csv")]
    for target in ("questions.csv", "new.csv"):
        Path(target).write_text("".join(table), encoding="utf-8")
    for language, text in blocks(page, "sh", "python"):
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
            continue
        for line in text.splitlines():
            if line.startswith("likra-lite "):
                words = shlex.split(HUB_ID.sub("my-checkpoint", line))
                status, _, errors = run(*words[1:], capsys=capsys)
                assert status == 0, f"{line}\n{errors}"


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=name)
def test_commands_and_their_options_exist(page):
    """Also where a block is not run."""
    for words in commands(page, "sh", "console"):
        command = group.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{shlex.join(words)}: {word}"


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=name)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]*)[^)]*\)", text) if "://" not in link]
    named = re.findall(r"\b(?:benchmarks|examples|likra_lite|cli|tests)/[\w/]+\.\w+", text)
    for path in [page.parent / link for link in links] + [ROOT / path for path in named]:
        assert path.exists(), path


def test_every_command_and_mode_is_documented():
    everything = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for command in group.commands:
        assert f"likra-lite {command}" in everything
    modes = (ROOT / "docs" / "modes.md").read_text(encoding="utf-8")
    for mode in (*MODES, "auto"):
        assert f"| `{mode}`" in modes


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \{py:\w+\}`~(likra_lite\.[\w.]+)\.(\w+)`", reference, flags=re.M)
    assert sorted(found for _, found in listed) == sorted(likra_lite.__all__)
    for module, found in listed:
        assert getattr(likra_lite, found).__module__ == module


def arrows() -> list[str]:
    """Return the diagram of the rooms' imports, without what is reached through another room."""
    foundations = {"errors", "system", "validation", "progress"}
    imported: dict[str, set[str]] = {room: set() for row in ROWS for room in row}
    by_name: dict[str, set[str]] = {room: set() for row in ROWS for room in row}
    for module, path in MODULES.items():
        room, text = room_of(module), path.read_text(encoding="utf-8")
        imported[room] |= {room_of(target) for target in imports_of(module)}
        by_name[room] |= set(re.findall(r'import_extra\("likra_lite\.(\w+)', text))
    reached: dict[str, set[str]] = {}
    for room in sorted(imported, key=FLOORS.__getitem__):
        imported[room] -= {room, *foundations}
        by_name[room] -= {room}
        reached[room] = set().union(*(reached[there] | {there} for there in imported[room]))
    lines = []
    for room in (room for row in ROWS[::-1] for room in row if room not in foundations):
        beyond = set().union(*(reached[there] for there in imported[room]))
        lines += [f"  {room} --> {there}" for there in sorted(imported[room] - beyond)]
        lines += [f"  {room} -.-> {there}" for there in sorted(by_name[room])]
    return lines


def test_the_diagram_of_rooms_shows_the_imports():
    ((_, diagram),) = blocks(CONTRIBUTING, "mermaid")
    expected = "\n".join(["graph TD", *arrows()]) + "\n"
    assert diagram == expected, f"the diagram should be\n{expected}"


def test_every_room_is_in_contributing():
    table = CONTRIBUTING.read_text(encoding="utf-8").partition("## The rooms")[2]
    for room in FLOORS:
        assert re.search(rf"^\|.*`{room}(/|\.py)`.*\|.*\|$", table, flags=re.M), room


def test_registries_are_where_contributing_says():
    text = CONTRIBUTING.read_text(encoding="utf-8").partition("## Where to add one")[2]
    rows = re.findall(r"`(likra_lite/[\w/]+\.py)` \| `(\w+)` \| `(tests/\w+\.py)`", text)
    assert len(rows) >= 7
    for path, registry, test in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(def |class )?{registry}\b", source, flags=re.M), (path, registry)
        assert (ROOT / test).is_file()


def test_every_extra_is_documented():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    for extra in project["optional-dependencies"]:
        assert f'".[{extra}]"' in page, extra


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_test_command_is_what_ci_runs():
    script = (ROOT / ".ci" / "run").read_text()
    (_, setup), (_, demo), (_, tests) = blocks(README, "sh")[:3]
    assert len(setup.splitlines()) == 2
    assert setup.splitlines()[0] in script
    assert setup.splitlines()[1].replace("pip install", "pip install -q") in script
    assert demo.strip() == ".venv/bin/likra-lite demo"
    assert tests.strip() in script


def test_the_version_is_in_the_changelog():
    assert f"## {likra_lite.__version__}" in (ROOT / "CHANGELOG.md").read_text()
