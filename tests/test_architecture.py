"""The rooms: no import goes upward, not even for types, and there is no circle."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

import likra_lite

PACKAGE = Path(likra_lite.__file__).parent
CLI = PACKAGE.parent / "cli"

# From the ground up. A room may import from its own row's room and from the rows above it in this
# list; rooms of one row do not know each other.
ROWS = [
    ["errors"],
    ["system", "progress", "validation", "chat"],
    ["questions"],
    ["prompts", "datasets"],
    ["engine"],
    ["scoring"],
    ["heads"],
    ["notebook", "frames"],
    ["estimator"],
    ["export"],
    ["lora_training"],
    ["experiments"],
    ["report"],
    ["cli"],
]
# The rooms and modules inside ``export``, likewise.
EXPORT_ROWS = [
    ["graphs", "checkpoint", "exporters"],
    ["gradient"],
    ["folder_graphs", "parity"],
    ["built", "traced"],
    ["gguf", "quantization"],
    ["export"],
]


def floors(rows: list[list[str]]) -> dict[str, int]:
    return {room: floor for floor, rooms in enumerate(rows) for room in rooms}


FLOORS, EXPORT_FLOORS = floors(ROWS), floors(EXPORT_ROWS)
# The core knows a model folder, not how it was made; extras are imported by name at run time.
BESIDE = {"export", "lora_training"}
ABOVE_THE_CORE = {"lora_training", "cli"}


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name, ``likra_lite`` left out."""
    found = {}
    for root, prefix in ((PACKAGE, ()), (CLI, ("cli",))):
        for path in root.rglob("*.py"):
            parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if name and name != "__main__":
                found[name] = path
    return found


MODULES = modules()


def imports_of(name: str, nested: bool = True) -> set[str]:
    """Return the modules of the package that a module imports, also for types.

    Without `nested`, only what is imported when the module is.
    """
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    nodes = ast.walk(tree) if nested else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)]
                target = ".".join([*base, *([node.module] if node.module else [])])
            elif (node.module or "").split(".")[0] == "likra_lite":
                target = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                inner = f"{target}.{alias.name}".strip(".")
                found.add(inner if inner in MODULES else target)
    return {target for target in found if target}


def room_of(module: str) -> str:
    """Return the folder, or for a module at the top the module itself."""
    return module.split(".")[0]


def test_every_module_has_a_room():
    rooms = {room_of(name) for name in MODULES}
    assert rooms == {room for row in ROWS for room in row}, "say on which floor a new room lies"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down(name):
    room = room_of(name)
    for target in imports_of(name):
        there = room_of(target)
        assert there == room or FLOORS[there] < FLOORS[room], f"{name} imports {target}"
        if there in BESIDE:
            assert room in {*BESIDE, *ABOVE_THE_CORE}, f"{name} of the core imports {target}"


def test_imports_inside_export_go_down():
    inner = {
        name: name.split(".")[min(1, name.count("."))]
        for name in MODULES
        if room_of(name) == "export"
    }
    assert {*inner.values()} == EXPORT_FLOORS.keys(), "say on which floor a new room lies"
    for name, room in inner.items():
        for target in imports_of(name) & inner.keys():
            there = inner[target]
            assert there == room or EXPORT_FLOORS[there] < EXPORT_FLOORS[room], (
                f"{name} imports {target}"
            )


def test_there_is_no_circle():
    graph = {name: imports_of(name) & MODULES.keys() for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_every_room_says_what_it_is_for():
    for name, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name


def test_names_of_modules_mean_one_thing():
    """No two modules of the library share a name; commands are named by what they do."""
    stems = sorted(
        (path.stem, name)
        for name, path in MODULES.items()
        if path.name != "__init__.py" and room_of(name) != "cli"
    )
    twins = [(a, b) for (one, a), (two, b) in itertools.pairwise(stems) if one == two]
    assert not twins
