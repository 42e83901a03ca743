"""The command line, run in the tests' own process or in one without PyTorch."""

from __future__ import annotations

import subprocess
import sys
import warnings

from likra_lite.cli.main import main

WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "optimum"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import importlib.util
import importlib.machinery
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name in ("torch", "transformers", "optimum") else find(name, package)
)
from likra_lite.cli.main import main
main()
"""


def run(*arguments: object, capsys) -> tuple[int, str, str]:
    """Run the command line and return its status, output and messages."""
    status = 0
    with warnings.catch_warnings():
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def messages(stderr: str) -> str:
    """Return what was said on stderr besides how files were read."""
    return "".join(line for line in stderr.splitlines(True) if "; format " not in line)


def without_pytorch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command where PyTorch and transformers cannot be imported."""
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)
