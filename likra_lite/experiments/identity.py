"""The identity of an experiment: its model, items and settings, with their checksums."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ..questions.item import Item

__all__ = ["checksum", "differences", "identity_of_items", "versions"]

PACKAGES = ("numpy", "scipy", "onnxruntime")

# The parts of an experiment, and what to call one that differs.
PARTS = {
    "model": "model",
    "prompt": "prompt",
    "penalty": "penalty",
    "recipe": "recipe of LoRA heads",
    "items": "training items",
    "tests": "test items",
    "unrelated": "unrelated answers",
}

UNCOMPARED = ("name", "overlap")  # labels, and what follows from the items


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    from .. import __version__

    return {
        "likra-lite": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: version(name) for name in PACKAGES},
    }


def checksum(content: Any) -> str:
    """Return the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def identity_of_items(name: str, items: Sequence[Item]) -> dict[str, Any]:
    """Return the name, the number and the checksum of items."""
    fields = [
        (item.question, item.choices, item.answer, item.context, *(item.contexts or ()))
        for item in items
    ]
    return {"name": name, "count": len(items), "sha256": checksum(fields)}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in which parts two experiments differ: ``test items (late 1f3a, now late 77b0)``."""
    return [
        f"{name} ({_brief(before.get(key))}, now {_brief(now[key])})"
        for key, name in PARTS.items()
        if _compared(before.get(key)) != _compared(now[key])
    ]


def _compared(value: Any) -> Any:
    """Return one part of an experiment without names: a copy of a file is the same items."""
    if isinstance(value, list):
        return [_compared(each) for each in value]
    if isinstance(value, Mapping):
        return {key: each for key, each in value.items() if key not in UNCOMPARED}
    return value


def _brief(value: Any) -> str:
    """Say in a few words what one part of an experiment is."""
    if isinstance(value, Mapping):
        found = str(value.get("sha256", value.get("fingerprint", checksum(value))))[:8]
        return f"{value.get('name', '')} {found}".strip()
    if isinstance(value, list):
        return ", ".join(map(_brief, value))
    return repr(value[:8]) if isinstance(value, str) and len(value) == 64 else repr(value)
