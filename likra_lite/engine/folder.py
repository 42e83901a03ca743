"""Model folders on disk: the manifest, checksums, atomic writes. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import LikraError, ModelFolderError

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
    "atomic_folder",
    "check_folder_target",
    "check_weights",
    "link_or_copy",
    "read_manifest",
    "write_manifest",
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


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of(path: Path) -> str:
    """Return a file's checksum, computed again only if the file is another or has changed."""
    stat = path.stat()
    return _cached_digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=256)
def _cached_digest(path: str, size: int, modified: int, inode: int) -> str:
    return _digest(Path(path))


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write ``likra.json`` with the checksums of everything else in `folder`.

    Parameters
    ----------
    folder : Path
        A complete model folder, but for the manifest.
    manifest : Manifest
        Its `files` are replaced.

    Returns
    -------
    Manifest
        With the checksums.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            name = path.relative_to(folder).as_posix()
            files[name] = {"sha256": _digest_of(path), "bytes": path.stat().st_size}
    content = {"format_version": FORMAT_VERSION, **asdict(manifest), "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Manifest(**{**asdict(manifest), "files": files})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read and check the manifest of a model folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Manifest

    Raises
    ------
    ModelFolderError
        If the folder is not a model folder, was written by another version, or a file is
        missing, of another size or differs from its checksum. The checksum of the weights
        file, which takes long, is left to :func:`check_weights`.
    """
    root = Path(folder)
    path = root / MANIFEST
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise ModelFolderError(
            f"model folder {root} {kind}; make one with likra-lite export, or fit"
        )
    if not path.is_file():
        hint = (
            "it looks like a Hugging Face checkpoint, turn it into a model folder with: "
            f"likra-lite export {root} --out DIR"
            if (root / "config.json").is_file()
            else "expected a folder written by likra-lite export or fit"
        )
        raise ModelFolderError(f"{root} has no {MANIFEST}: {hint}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format_version")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}); export the model again") from None
    if version != FORMAT_VERSION:
        older = isinstance(version, int) and version < FORMAT_VERSION
        raise ModelFolderError(
            f"{path} has format version {version} but this likra-lite reads {FORMAT_VERSION}; "
            + ("export the model again" if older else "upgrade likra-lite")
        )
    try:
        manifest = Manifest(**content)
        _ = manifest.fingerprint
    except (KeyError, TypeError) as error:
        raise ModelFolderError(f"{path} is incomplete ({error}); export the model again") from None
    for name, expected in manifest.files.items():
        _check_file(root / name, expected, whole=name != WEIGHTS)
    return manifest


def check_weights(folder: Path, manifest: Manifest) -> None:
    """Raise ModelFolderError unless the weights file is what its checksum says."""
    _check_file(folder / WEIGHTS, manifest.files[WEIGHTS], whole=True)


def _check_file(path: Path, expected: dict[str, Any], whole: bool) -> None:
    try:
        stat = path.stat()
        if stat.st_size != expected["bytes"]:
            problem = f"has {stat.st_size} bytes, expected {expected['bytes']}"
        elif whole and _digest_of(path) != expected["sha256"]:
            problem = "differs from its checksum"
        else:
            return
    except FileNotFoundError:
        problem = "is missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    raise ModelFolderError(f"{path} {problem}; the model folder is damaged, write it again")


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system does not link.

    Files of a model folder are never changed in place, so sharing them is safe.
    """
    real = source.resolve()  # a link to a link would dangle
    try:
        os.link(real, target)
    except OSError:
        shutil.copyfile(real, target)


def check_folder_target(path: str | os.PathLike[str]) -> None:
    """Raise LikraError if `path` holds anything that is not a model folder's.

    To be called before long work whose result goes there.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise LikraError(f"{target} exists and is not a model folder; choose another --out")
    there = next(parent for parent in target.resolve().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "Permission denied" if there.is_dir() else f"{there} is a file"
        raise LikraError(f"cannot write {path}: {reason}")
    if not target.exists():
        return
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if not p.is_dir()}
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        found -= {MANIFEST, *manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        if found:
            raise LikraError(
                f"{target} exists and is not a model folder; choose another --out"
            ) from None
    if found:
        raise LikraError(
            f"{target} holds {sorted(found)[0]}, which is no part of a model folder; move it, or "
            "choose another --out"
        )


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a scratch folder that becomes `path` if all goes well, and vanishes if not.

    Parameters
    ----------
    path : path
        A new folder, or a model folder to be replaced. Between the removal of the old one
        and the renaming of the new one there is a moment in which neither is at `path`.

    Yields
    ------
    Path
        The scratch folder, beside `path`.

    Raises
    ------
    LikraError
        If `path` exists and is no model folder, or cannot be written.
    """
    check_folder_target(path)
    target = Path(path).resolve()
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        scratch.chmod(0o777 & ~_umask())
        yield scratch
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            target.rename(old / "old")
            try:
                scratch.rename(target)
            except BaseException:
                (old / "old").rename(target)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            scratch.rename(target)
    except OSError as error:
        raise LikraError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if scratch is not None and scratch.exists():
            shutil.rmtree(scratch, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
