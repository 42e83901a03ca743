"""Markdown tables and a description of the machine."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cpu_name", "markdown_table", "megabytes", "number", "versions"]

PACKAGES = (
    "likra-lite",
    "numpy",
    "onnxruntime",
    "torch",
    "transformers",
    "lm_eval",
    "ctranslate2",
    "optimum-onnx",
)
VECTORS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "amx_tile": "AMX"}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns after the first are aligned to the right.

    Rows may be shorter than the header.
    """
    rule = ["---"] + ["---:"] * (len(header) - 1)
    filled = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |"
        for line in (header, rule, *filled)
    )


def number(value: float) -> str:
    """Return three digits or all before the point."""
    digits = next((n for n, limit in ((3, 1), (2, 10), (1, 100)) if value < limit), 0)
    return f"{value:,.{digits}f}"


def megabytes(size: int) -> str:
    """Return a size in MB."""
    return f"{size / 1e6:,.0f}"


def cpu_name() -> str:
    """Return the processor's name with its vector instructions, as well as the system tells."""
    table = Path("/proc/cpuinfo")
    if not table.exists():
        return platform.processor() or platform.machine()
    told: dict[str, str] = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    flags = set(told.get("flags", "").split())
    found = [name for flag, name in VECTORS.items() if flag in flags]
    name = told.get("model name", platform.machine())
    return f"{name} ({', '.join(found)})" if found else name


def versions() -> dict[str, str]:
    """Return the versions of the packages that are compared, without those not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
