"""What a model folder's ``likra.json`` says, and the checks of what it may say."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import ModelFolderError, printable

__all__ = [
    "ADAPTED",
    "FORMAT_VERSION",
    "GRADIENT",
    "HEAD",
    "LORA_GRADIENT",
    "MANIFEST",
    "MODEL_FILES",
    "TOKENIZER",
    "TRUNK",
    "WEIGHTS",
    "Manifest",
    "parse_manifest",
    "unreadable",
]

FORMAT_VERSION = 2
MANIFEST = "likra.json"
TRUNK, HEAD, GRADIENT = "trunk.onnx", "head.onnx", "gradient.onnx"
# The trunk again, with LoRA factors as inputs, and the gradients of a loss for these. Not every
# folder has them.
ADAPTED, LORA_GRADIENT = "adapted.onnx", "lora_gradient.onnx"
WEIGHTS, TOKENIZER = "weights.safetensors", "tokenizer.json"
MODEL_FILES = (TRUNK, HEAD, GRADIENT, WEIGHTS, TOKENIZER)


@dataclass(frozen=True)
class Manifest:
    """What ``likra.json`` says of a model folder.

    Attributes
    ----------
    base_model : dict
        ``id`` (hub id or folder name), ``revision`` and ``architecture`` of the checkpoint.
    precision : str
        Number format of the weights.
    hidden_size, vocab_size, n_layers, max_length : int
        Dimensions; `max_length` is the model's window in tokens.
    head : dict
        The vocabulary projection: the name of its float32 ``weight`` in the weights file,
        and ``logit_scale``, the factor on the logits.
    tokens : dict
        ``prefix`` (ids put before a text) and ``empty`` (id that stands for no text).
    prompt : str or dict
        The default prompt, as :func:`likra_lite.prompts.as_prompt` takes it.
    exporter : str
        How the graphs were made: ``"built"`` or ``"traced"``.
    chat : dict or None
        ``template`` and ``tokens`` of the model's :class:`likra_lite.chat.ChatTemplate`.
    parity : dict
        The export's own comparison with another implementation, in nats.
    files : dict of str to dict
        ``sha256`` and ``bytes`` of every other file.
    """

    base_model: dict[str, str | None]
    precision: str
    hidden_size: int
    vocab_size: int
    n_layers: int
    max_length: int
    head: dict[str, Any]
    tokens: dict[str, Any]
    prompt: str | dict[str, Any]
    exporter: str = "traced"
    parity: dict[str, float] = field(default_factory=dict)
    chat: dict[str, Any] | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def model_files(self) -> tuple[str, ...]:
        """The files that make up the language model."""
        return MODEL_FILES + tuple(n for n in (ADAPTED, LORA_GRADIENT) if n in self.files)

    @property
    def fingerprint(self) -> str:
        """A checksum of the language model, without heads: all that its scores depend on.

        Graphs, weights and tokenizer, the window, the special tokens and the default prompt.
        """
        parts = [self.files[name]["sha256"] for name in self.model_files]
        settings = {"window": self.max_length, "tokens": self.tokens, "prompt": self.prompt}
        text = json.dumps([parts, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def unreadable(path: Path, error: Exception) -> ModelFolderError:
    """Return what is raised of a manifest that is none."""
    return ModelFolderError(f"{path} cannot be read ({error}); export the model again")


def parse_manifest(path: Path, text: bytes) -> Manifest:
    """Return the manifest in a text.

    Parameters
    ----------
    path : Path
        Where it comes from, for messages.
    text : bytes

    Raises
    ------
    ModelFolderError
        If it is no manifest, of another version, lacks something, or lists a name that is none of
        a file in the folder.
    """
    try:
        content = json.loads(text)
        version = content.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise unreadable(path, error) from None
    if version != FORMAT_VERSION:
        older = isinstance(version, int) and version < FORMAT_VERSION
        raise ModelFolderError(
            f"{path} has format version {printable(str(version), 20)} but this likra-lite reads "
            f"{FORMAT_VERSION}; " + ("export the model again" if older else "upgrade likra-lite")
        )
    try:
        manifest = Manifest(**content)
        _check_types(manifest)
        _ = manifest.fingerprint
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFolderError(f"{path} is incomplete ({error}); export the model again") from None
    for name in manifest.files:
        _check_name(path, name)
    return manifest


def _check_types(manifest: Manifest) -> None:
    """Raise KeyError or TypeError unless all that is read of a manifest is what it should be."""
    for name in ("hidden_size", "vocab_size", "n_layers", "max_length"):
        _expect(name, getattr(manifest, name), int, least=1)
    _expect("precision", manifest.precision, str)
    _expect("exporter", manifest.exporter, str)
    for name in ("id", "architecture"):
        _expect(name, manifest.base_model[name], str)
    _expect("weight", manifest.head["weight"], str)
    _expect("logit_scale", manifest.head["logit_scale"], int | float)
    _expect("empty", manifest.tokens["empty"], int, least=0)
    _expect("prefix", manifest.tokens["prefix"], list)
    for token in manifest.tokens["prefix"]:
        _expect("prefix", token, int, least=0)
    _expect("prompt", manifest.prompt, str | dict)
    _expect("chat", manifest.chat, dict | None)
    _expect("parity", manifest.parity, dict)
    _expect("files", manifest.files, dict)
    for name, facts in manifest.files.items():
        _expect(name, facts, dict)
        _expect("sha256", facts["sha256"], str)
        _expect("bytes", facts["bytes"], int, least=0)


def _expect(name: str, value: Any, kind: Any, least: int | None = None) -> None:
    right = isinstance(value, kind) and not isinstance(value, bool)
    if not right or (least is not None and value < least):
        raise TypeError(f"{name} is {printable(repr(value), 40)}")


def _check_name(manifest: Path, name: str) -> None:
    """Raise ModelFolderError if a name of the manifest is none of a file in the folder."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and path.as_posix() == name
    outside = path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive
    if not plain or outside or not path.parts or name == MANIFEST:
        raise ModelFolderError(
            f"{manifest} lists {printable(repr(name), 80)}, which is no file of its folder; "
            "do not use it"
        )
