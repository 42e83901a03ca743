"""GGUF files made on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def byte_level_vocabulary(tokenizer: Any, pre: str | None, **settings: Any) -> dict[str, Any]:
    """Return the metadata of a byte-level BPE tokenizer of the ``tokenizers`` library."""
    import json

    model = json.loads(tokenizer.to_str())["model"]
    added = tokenizer.get_added_tokens_decoder()
    size = tokenizer.get_vocab_size()
    kinds = [NORMAL] * size
    for token_id, token in added.items():
        kinds[token_id] = CONTROL if token.special else USER_DEFINED
    return {
        "model": "gpt2",
        **({} if pre is None else {"pre": pre}),
        "tokens": [tokenizer.id_to_token(token_id) for token_id in range(size)],
        "token_type": kinds,
        "merges": [" ".join(pair) for pair in model["merges"]],
        **settings,
    }


def sentencepiece_vocabulary(
    processor: Any, user_defined: Sequence[str] = (), **settings: Any
) -> dict[str, Any]:
    """Return the metadata of a SentencePiece model."""
    kinds = []
    for token_id in range(processor.vocab_size()):
        if processor.id_to_piece(token_id) in user_defined:
            kinds.append(USER_DEFINED)
        elif processor.is_unknown(token_id):
            kinds.append(UNKNOWN)
        elif processor.is_control(token_id):
            kinds.append(CONTROL)
        else:
            kinds.append(BYTE if processor.is_byte(token_id) else NORMAL)
    return {
        "model": "llama",
        "pre": "default",
        "tokens": [processor.id_to_piece(i) for i in range(len(kinds))],
        "scores": [processor.get_score(i) for i in range(len(kinds))],
        "token_type": kinds,
        **settings,
    }


def write_gguf(
    path: Path,
    architecture: str,
    tokenizer: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """Write a file; `tokenizer` and `settings` are what stands under the usual prefixes.

    A tensor is an array, or a pair of an array and a ``gguf.GGMLQuantizationType``.
    """
    from gguf import GGUFWriter
    from gguf.quants import quantize

    writer = GGUFWriter(path, architecture)
    whole = {f"tokenizer.ggml.{name}": value for name, value in tokenizer.items()}
    whole |= {f"{architecture}.{name}": value for name, value in (settings or {}).items()}
    for name, value in whole.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)
    for name, tensor in (tensors or {}).items():
        if isinstance(tensor, tuple):
            values, kind = tensor
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
