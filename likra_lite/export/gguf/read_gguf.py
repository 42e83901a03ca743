"""GGUF files as checkpoints: their settings and tensors, under Hugging Face's names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...errors import ExportError
from ..built.decoder_spec import Checkpoint
from ..built.hugging_face import describe_decoder, find_tensors
from ..checkpoint.chat_files import chat_settings
from ..checkpoint.config_file import ConfigFile
from .architectures import ARCHITECTURES, describe
from .gguf_file import GgufFile
from .gguf_tensors import GgufTensors
from .rebuilt_tokenizer import rebuild_tokenizer

__all__ = ["read_gguf"]


def read_gguf(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the description of a GGUF file; its tensors are read when they are needed.

    Parameters
    ----------
    path : path

    Raises
    ------
    ExportError
        If it is no whole GGUF file, of an unknown architecture or tokenizer, or anything in it
        is not understood.
    """
    file = GgufFile.open(path)
    try:
        architecture, settings = describe(file)
        config = ConfigFile(settings)
        spec = describe_decoder(config)
        files = GgufTensors(file, ARCHITECTURES[architecture], spec.head_size)
        tokenizer = rebuild_tokenizer(file.metadata, architecture)
        n_tokens = len(file.metadata["tokenizer.ggml.tokens"])
        if n_tokens > spec.vocab_size:
            raise ExportError(
                f"the tokenizer has {n_tokens} tokens but the model knows {spec.vocab_size}"
            )
        return Checkpoint(
            spec,
            find_tensors(config, spec, files),
            tokenizer.content,
            tokenizer.prefix,
            tokenizer.empty,
            file.path.stem,
            chat=_chat(file.metadata),
        )
    except ExportError as error:
        if str(file.path) in str(error):
            raise
        raise ExportError(f"{file.path}: {error}") from error


def _chat(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the chat template, with the texts of the tokens that it may use."""
    names = metadata["tokenizer.ggml.tokens"]
    tokens = {
        f"{kind}_token": names[number]
        for kind in ("bos", "eos")
        if (number := metadata.get(f"tokenizer.ggml.{kind}_token_id")) is not None
    }
    return chat_settings(metadata.get("tokenizer.chat_template"), tokens)
