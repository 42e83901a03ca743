"""Where a checkpoint is: in a local folder, or on the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...engine.manifest import MANIFEST
from ...errors import ExportError, first_line

__all__ = ["Source", "check_decoder", "check_local", "find_checkpoint", "read_settings"]

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"
# Beside the weights, what is read of a checkpoint; small files all.
SMALL_FILES = (
    "chat_template.jinja",
    CONFIG,
    INDEX,
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
# Settings that only mixtures of experts have.
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file of settings.

    Raises
    ------
    ExportError
        If it holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExportError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ExportError(f"{path} holds no settings")
    return content


@dataclass(frozen=True)
class Source:
    """A checkpoint whose small files are here.

    Parameters
    ----------
    folder : Path
    name : str
        Id on the hub, or the folder's name.
    revision : str or None
        Commit on the hub.
    """

    folder: Path
    name: str
    revision: str | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return read_settings(self.folder / CONFIG)

    def fetch_weights(self) -> None:
        """Download what the folder lacks of the weights, if it is of the hub.

        Raises
        ------
        ExportError
            If that fails.
        """
        if self.revision is None:
            return
        index = self.folder / INDEX
        names = [SINGLE]
        if index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [name for name in names if not (self.folder / name).exists()]
        if missing:
            _download(self.name, self.revision, missing, offline=False)


def check_local(model: str) -> None:
    """Raise ExportError if a local folder is meant and is none, or holds no checkpoint."""
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        raise ExportError(f"{model} is a model folder already; use it with --model {model}")
    if folder.is_dir() and not (folder / CONFIG).is_file():
        raise ExportError(f"{model} is no checkpoint: it has no config.json")
    local = folder.exists() or folder.is_absolute() or model[:1] == "." or model.count("/") > 1
    if local and not folder.is_dir():
        raise ExportError(f"cannot load {model}: there is no such folder")


def find_checkpoint(model: str, revision: str | None = None) -> Source:
    """Find a checkpoint, and download its small files if it is on the hub.

    Raises
    ------
    ExportError
        If there is none, it cannot be reached, or no exporter can do anything with it.
    """
    check_local(model)
    if Path(model).is_dir():
        source = Source(Path(model), Path(model).resolve().name)
    else:
        folder = _snapshot(model, revision)
        source = Source(folder, model, folder.name)
        if not (folder / CONFIG).is_file():
            raise ExportError(f"{model} is no checkpoint: it has no config.json")
    check_decoder(source.name, source.config)
    return source


def check_decoder(name: str, config: Mapping[str, Any]) -> None:
    """Raise ExportError if a model is of a kind that no exporter can do anything with."""
    config = {**config, **(config.get("text_config") or {})}
    if config.get("is_encoder_decoder"):
        raise ExportError(f"{name} is an encoder-decoder; only decoder-only models can be exported")
    if any((config.get(key) or 0) > 1 for key in EXPERTS):
        raise ExportError(f"{name} is a mixture of experts; only dense models can be exported")


def _snapshot(model: str, revision: str | None) -> Path:
    """Return the folder of a model's small files, from the hub or from the local cache of it."""
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        return _download(model, revision, None, offline=True)
    try:
        info = HfApi().model_info(model, revision=revision)
    except errors.HfHubHTTPError as error:
        raise ExportError(_reason(model, revision, error)) from None
    except Exception as error:  # of the connection; then the cache may do
        with suppress(ExportError):
            return _download(model, revision, None, offline=True)
        raise ExportError(_reason(model, revision, error)) from None
    present = [entry.rfilename for entry in info.siblings or []]
    names = [name for name in SMALL_FILES if name in present]
    return _download(model, info.sha, names, offline=False)


def _download(model: str, revision: str | None, names: list[str] | None, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            model, revision=revision, allow_patterns=names, local_files_only=offline
        )
    except Exception as error:
        raise ExportError(_reason(model, revision, error)) from None
    return Path(folder)


def _reason(model: str, revision: str | None, error: Exception) -> str:
    """Say in one line why a model cannot be had."""
    from huggingface_hub import errors

    where = f"{model} (revision {revision})" if revision else model
    cannot = f"cannot load {where}, which is no local folder, from the Hugging Face hub"
    version = f" --revision {revision}" if revision else ""
    elsewhere = (
        f"where there is network, run: hf download {model}{version} --local-dir DIR, bring DIR "
        "here and give it in place of the name; or give a GGUF file"
    )
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{cannot}: it is gated; accept its terms on https://huggingface.co/{model}, then run: "
            "hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{cannot}: it has no such revision"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{cannot}: there is no such model, or it is private; for the latter: hf auth login"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return f"{cannot}: it is not in the local cache, and HF_HUB_OFFLINE is set; {elsewhere}"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{cannot}: {first_line(error)}; {elsewhere}"
    cause: BaseException = error  # what is wrong is told by the first error of a chain
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    return f"{cannot}: the hub cannot be reached ({first_line(cause)}); {elsewhere}"
