"""Checkpoints as PyTorch modules, with what their tokenizers and configurations say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ...errors import ExportError, first_line
from ..checkpoint.sources import find_checkpoint

__all__ = ["load_checkpoint", "logit_transform", "max_length", "name_of", "special_tokens"]


def load_checkpoint(
    model: str,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[PreTrainedModel, Any]:
    """Load a decoder and its tokenizer from a local folder or the hub.

    Raises
    ------
    ExportError
        If there is none, or it is no decoder-only language model with a fast tokenizer.
    """
    for library in ("transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    find_checkpoint(model, revision)
    where = f"{model} (revision {revision})" if revision else model
    try:
        config = AutoConfig.from_pretrained(model, revision=revision)
    except Exception as error:
        raise ExportError(f"cannot load {where}: {first_line(error)[:300]}") from error
    if not hasattr(config, "vocab_size"):
        raise ExportError(f"{where} is no plain language model: its configuration is nested")
    try:
        for name, value in config.to_dict().items():
            if "drop" in name and isinstance(value, float):
                setattr(config, name, 0.0)  # a frozen model is what it is, in training too
        with _hidden_bars(model):
            decoder = AutoModelForCausalLM.from_pretrained(
                model, config=config, revision=revision, dtype=dtype, attn_implementation="eager"
            ).eval()
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, use_fast=True)
    except Exception as error:
        raise ExportError(
            f"cannot load {where} with transformers {transformers.__version__}: {first_line(error)}"
        ) from error
    if not tokenizer.is_fast:
        raise ExportError(
            f"the tokenizer of {where} has no tokenizer.json; only fast tokenizers work"
        )
    return decoder, tokenizer


@contextmanager
def _hidden_bars(model: str) -> Iterator[None]:
    """Hide the bars of transformers 5 while a local checkpoint is read; a download shows its own.

    They would be in every log, and our own progress is shown.
    """
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled() and Path(model).is_dir()
    if shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def max_length(config: Any, tokenizer: Any) -> int:
    """Return the number of tokens in the model's window."""
    scaling = getattr(config, "rope_scaling", None) or {}
    if scaling.get("rope_type", scaling.get("type")) == "longrope":
        # Beyond its original window the rotary frequencies change, which a trace cannot follow.
        original = scaling.get("original_max_position_embeddings")
        return int(original or config.original_max_position_embeddings)
    for name in ("max_position_embeddings", "n_positions"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    length = tokenizer.model_max_length
    return int(length) if length < 1_000_000 else 2048


def special_tokens(tokenizer: Any, model: str) -> dict[str, Any]:
    """Return ``prefix`` and ``empty`` of :class:`likra_lite.engine.tokens.TextEncoder`."""
    probe = "a"
    bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
    full = tokenizer(probe)["input_ids"]
    prefix: list[int] = []
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            prefix = full[:start]
            break
    empty = next(
        (t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id, *prefix) if t is not None),
        None,
    )
    if empty is None:
        raise ExportError(f"the tokenizer of {model} has neither a bos nor an eos token")
    return {"prefix": prefix, "empty": empty}


def logit_transform(config: Any) -> tuple[float, float | None]:
    """Return the factor and the soft cap that the model puts on its logits."""
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None)
    return scale, None if softcap is None else float(softcap)


def name_of(model: str, decoder: PreTrainedModel, revision: str | None) -> dict[str, str | None]:
    """Return what a manifest calls the checkpoint: id, revision and architecture."""
    local = Path(model).is_dir()
    commit = getattr(decoder.config, "_commit_hash", None) or revision
    return {
        "id": Path(model).resolve().name if local else model,
        "revision": None if local else commit,
        "architecture": type(decoder).__name__,
    }
