"""The command line, run in the tests' own process."""

from __future__ import annotations

import warnings

from likra_lite.cli.main import main


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
    return "".join(line for line in stderr.splitlines(True) if " items; format " not in line)
