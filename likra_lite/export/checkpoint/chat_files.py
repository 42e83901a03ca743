"""The chat template of a checkpoint, for its model folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...errors import ExportError

__all__ = ["chat_of_files", "chat_settings"]

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"  # takes the place of the one in CONFIG
DEFAULT = "default"  # the name of the one to take where a model has several


def chat_of_files(folder: Path) -> dict[str, Any] | None:
    """Read the chat template of a local checkpoint.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict or None
        See :func:`chat_settings`.

    Raises
    ------
    ExportError
        If a file cannot be read.
    """
    try:
        config = {}
        if (folder / CONFIG).is_file():
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        template = config.get("chat_template")
        if (folder / TEMPLATE).is_file():
            template = (folder / TEMPLATE).read_text(encoding="utf-8")
    except (OSError, ValueError, AttributeError) as error:
        raise ExportError(f"the chat template of {folder} cannot be read: {error}") from error
    return chat_settings(template, config)


def chat_settings(template: Any, tokens: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a manifest says of a chat template.

    Parameters
    ----------
    template : str, mapping of str to str, list of mapping, or None
        As tokenizers have it: one template, or several with a name each.
    tokens : mapping
        Texts of special tokens, or mappings with a ``content``, by names such as ``bos_token``;
        other entries are not used.

    Returns
    -------
    dict or None
        ``template`` and ``tokens``; None if there is no template.
    """
    if isinstance(template, Iterable) and not isinstance(template, str | Mapping):
        template = {entry["name"]: entry["template"] for entry in template}
    if isinstance(template, Mapping):
        template = template.get(DEFAULT)
    if not isinstance(template, str) or not template.strip():
        return None
    texts = {
        name: value["content"] if isinstance(value, Mapping) else value
        for name, value in tokens.items()
        if name.endswith("_token")
    }
    named = {name: text for name, text in texts.items() if isinstance(text, str)}
    return {"template": template, "tokens": named}
