"""From a Hugging Face checkpoint to a checked model folder."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ..errors import ExportError, first_line
from ..language_model import LanguageModel
from ..progress import progress_bar
from ..prompts import PROMPTS
from ..storage import (
    GRADIENT,
    HEAD,
    MANIFEST,
    TOKENIZER,
    TRUNK,
    WEIGHTS,
    Manifest,
    atomic_folder,
    check_folder_target,
    write_manifest,
)
from .graphs import trunk_graph
from .heads import WEIGHT, Projection, gradient_graph, head_graph
from .parity import TOLERANCE, check_parity, reference_scores
from .trunk import Trunk, past_shapes
from .weights import store_weights

__all__ = ["export_checkpoint"]


STEPS = ("loading", "scoring with PyTorch", "tracing", "writing", "checking")


def export_checkpoint(model: str, out: Path, revision: str | None, verbose: bool) -> Manifest:
    """Do the work of :func:`likra_lite.export.export_model`."""
    check_folder_target(out)
    for library in ("transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    with progress_bar(len(STEPS), STEPS[0], verbose, unit="step") as bar:

        def step(done: int) -> None:
            bar.update()
            bar.set_description(STEPS[done])

        decoder, tokenizer = _load(model, revision)
        max_length = _max_length(decoder.config, tokenizer)
        tokens = _special_tokens(tokenizer, model)
        step(1)
        cases, expected = reference_scores(decoder, max_length)
        architecture = type(decoder).__name__
        step(2)
        with atomic_folder(out) as folder:
            graphs = _graphs(decoder, architecture)
            step(3)
            names = store_weights(graphs, folder, WEIGHTS)
            tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
            vocabulary, size = decoder.get_output_embeddings().weight.shape
            manifest = Manifest(
                base_model={
                    "id": Path(model).name if Path(model).is_dir() else model,
                    "revision": None if Path(model).is_dir() else _commit(decoder, revision),
                    "architecture": architecture,
                },
                precision="float32",
                hidden_size=size,
                vocab_size=vocabulary,
                n_layers=decoder.config.num_hidden_layers,
                max_length=max_length,
                head={
                    "weight": names[GRADIENT, WEIGHT],
                    "logit_scale": _logit_transform(decoder.config)[0],
                },
                tokens=tokens,
                prompt=PROMPTS["question"],
            )
            write_manifest(folder, manifest)
            step(4)
            difference = check_parity(LanguageModel(folder), cases, expected, architecture)
            parity = {"max_difference_nats": difference, "tolerance_nats": TOLERANCE}
            return write_manifest(folder, replace(manifest, parity=parity))


def _graphs(decoder: PreTrainedModel, architecture: str) -> dict[str, onnx.ModelProto]:
    """Return the graphs by file name. The decoder's attention is replaced for good."""
    output = decoder.get_output_embeddings()
    if output is None:
        raise ExportError(
            f"{architecture} has no vocabulary projection; expected a causal language model"
        )
    bias = None if output.bias is None else output.bias.detach().numpy()
    projection = Projection(output.weight.detach().numpy(), bias, *_logit_transform(decoder.config))
    trunk = Trunk(decoder).eval()
    past = past_shapes(trunk)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            graph = trunk_graph(trunk, past, Path(scratch) / TRUNK)
        except Exception as error:
            raise ExportError(
                f"{architecture} cannot be traced to ONNX: {first_line(error)}"
            ) from error
    return {TRUNK: graph, HEAD: head_graph(projection), GRADIENT: gradient_graph(projection)}


def _commit(decoder: PreTrainedModel, revision: str | None) -> str | None:
    return getattr(decoder.config, "_commit_hash", None) or revision


def _check_checkpoint(model: str) -> None:
    """Raise ExportError if a local folder is meant and is none, or holds no checkpoint."""
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        raise ExportError(f"{model} is a model folder already; use it with --model {model}")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ExportError(f"{model} is no checkpoint: it has no config.json")
    local = folder.exists() or folder.is_absolute() or model[:1] == "." or model.count("/") > 1
    if local and not folder.is_dir():
        raise ExportError(f"cannot load {model}: there is no such folder")


def _load(model: str, revision: str | None) -> tuple[PreTrainedModel, Any]:
    _check_checkpoint(model)
    where = f"{model} (revision {revision})" if revision else model
    try:
        config = AutoConfig.from_pretrained(model, revision=revision)
    except Exception as error:
        raise ExportError(
            f"cannot load {where}, which is no local folder, from the Hugging Face hub: "
            f"{first_line(error)}"
            if not Path(model).is_dir()
            else f"cannot load {where}: {first_line(error)[:300]}"
        ) from error
    if getattr(config, "is_encoder_decoder", False):
        raise ExportError(
            f"{where} is an encoder-decoder; only decoder-only models can be exported"
        )
    if not hasattr(config, "vocab_size"):
        raise ExportError(f"{where} is no plain language model: its configuration is nested")
    try:
        # Eager attention is the reference that the graphs are compared with.
        decoder = AutoModelForCausalLM.from_pretrained(
            model, revision=revision, dtype=torch.float32, attn_implementation="eager"
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


def _max_length(config: Any, tokenizer: Any) -> int:
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


def _special_tokens(tokenizer: Any, model: str) -> dict[str, Any]:
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


def _logit_transform(config: Any) -> tuple[float, float | None]:
    """Return the factor and the soft cap that the model puts on its logits."""
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None)
    return scale, None if softcap is None else float(softcap)
