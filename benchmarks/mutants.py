"""Change one operator or number of a module at a time, and see which changes no test notices.

    python benchmarks/mutants.py likra_lite.scoring.lengths tests/test_ratio.py

Each mutant is tested in a process that is forked off this one, so that a fast test file costs a
fraction of a second; Hypothesis draws few examples, the same for all. Prints the share of mutants
that a test kills and, of every other, the line as it is and as it was changed. Tests that need the
fixtures of ``conftest.py`` take ``--fixtures``.
Linux only.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

SWAPS: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
PATIENCE = 120  # seconds for the tests of one mutant
EXAMPLES = 25  # of Hypothesis, for each test


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in SWAPS.get(type(operator), []):
                changed = copy.deepcopy(node)
                changed.ops[place] = other()
                yield changed
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        for other in SWAPS.get(type(node.op), []):
            changed = copy.deepcopy(node)
            changed.op = other()
            yield changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
        if node.value not in (0, -1):
            yield ast.Constant(node.value * 0)


def _is_told_of(node: ast.AST) -> bool:
    """Return whether a node holds no arithmetic: types, messages, and `strict` of zip."""
    return (
        isinstance(node, ast.JoinedStr | ast.Raise)
        or (isinstance(node, ast.keyword) and node.arg == "strict")
        or (
            isinstance(node, ast.Subscript | ast.BinOp)
            and ast.unparse(node).startswith(("NDArray", "str |"))
        )
    )


def _places(node: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST]]:
    """Yield every node that may be changed, with the way to it."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not _is_told_of(child):
                here = (*path, (name, index if isinstance(value, list) else None))
                yield here, child
                yield from _places(child, here)


def _mutated(tree: ast.Module, path: tuple, new: ast.AST) -> ast.Module:
    changed = copy.deepcopy(tree)
    node: ast.AST = changed
    for name, index in path[:-1]:
        node = getattr(node, name) if index is None else getattr(node, name)[index]
    name, index = path[-1]
    if index is None:
        setattr(node, name, new)
    else:
        getattr(node, name)[index] = new
    return ast.fix_missing_locations(changed)


class _Finder:
    """Imports one module from a changed tree."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self.module, self.path, self.tree = module, path, tree

    def find_spec(self, name: str, *_: object) -> object:
        if name != self.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(self.path))

    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self.tree, str(self.path), "exec"), vars(module))


def _survives(module: str, path: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Return whether the tests pass with a changed module."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        sys.meta_path.insert(0, _Finder(module, path, tree))  # type: ignore[arg-type]
        with (
            open(os.devnull, "w") as nothing,
            contextlib.redirect_stdout(nothing),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        os._exit(int(status != 0))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _import_others(tests: list[str]) -> None:
    """Import what the tests import, but for the library, so that no mutant has to."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *tests])
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("likra_lite", "conftest") or name.startswith("test_"):
            del sys.modules[name]
    from hypothesis import settings  # not before pytest, which rewrites it

    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, max_examples=EXAMPLES
    )
    settings.load_profile("mutants")


def main() -> None:
    """Test the mutants of one module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", help="Dotted name.")
    parser.add_argument("tests", nargs="+", help="Files, or arguments of pytest after --.")
    parser.add_argument("--limit", type=int, help="Try so many mutants, drawn at random.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fixtures", action="store_true", help="Load conftest.py.")
    given = parser.parse_args()
    parts = given.module.split(".")
    path = Path(__file__).resolve().parent.parent.joinpath(*parts).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    os.environ.setdefault("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # looked up anew for each mutant
    tests = [*given.tests, *([] if given.fixtures else ["--noconftest"])]
    _import_others(tests)
    if not _survives(given.module, path, tree, tests):
        sys.exit("the tests fail as they are")
    mutants = [(way, old, new) for way, old in _places(tree) for new in _changes(old)]
    Random(given.seed).shuffle(mutants)
    mutants = mutants[: given.limit]
    survivors = 0
    for way, old, new in mutants:
        if _survives(given.module, path, _mutated(tree, way, new), tests):
            survivors += 1
            print(
                f"{path.name}:{old.lineno}: {ast.unparse(old)}  ->  {ast.unparse(new)}", flush=True
            )
    killed = len(mutants) - survivors
    print(
        f"{given.module}: {killed} of {len(mutants)} killed ({killed / max(1, len(mutants)):.0%})"
    )


if __name__ == "__main__":
    main()
