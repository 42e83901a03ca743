"""Little memory, no home and no output: one clear line each."""

from __future__ import annotations

import subprocess
import sys

import pytest
from likra_lite.cli.main import _describe

PROGRAM = "from likra_lite.cli.main import main; main()"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("a.so: failed to map segment from shared object"),
        RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory(error):
    assert _describe(error) == "out of memory; use a smaller model or fewer items"


@pytest.mark.parametrize("command", ["cache", "--help"])
def test_closed_standard_output(command):
    shell = [sys.executable, "-c", PROGRAM, command]
    process = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *shell], capture_output=True, text=True, check=False
    )
    assert process.stderr == "likra-lite: error: output: Bad file descriptor\n"
    assert process.returncode == 1
