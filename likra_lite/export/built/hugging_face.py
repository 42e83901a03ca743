"""Hugging Face checkpoints as :class:`.decoder_spec.Checkpoint`, without PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError
from ..checkpoint.chat_files import chat_of_files
from ..checkpoint.config_file import ConfigFile
from ..checkpoint.safetensors_files import SafetensorsFiles
from ..checkpoint.sources import Source
from ..checkpoint.tokenizer_files import TokenizerFiles
from ..graphs.weights import LazyTensor
from .decoder_spec import Checkpoint, DecoderSpec, check_tensors, tensor_shapes
from .families import FAMILIES
from .family import Family, Key, Part
from .layer_kinds import longest

__all__ = ["TensorFiles", "describe_decoder", "find_tensors", "read_checkpoint"]

# Settings that no known model uses otherwise.
EXPECTED = {
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "tie_encoder_decoder": False,
}
ROTARY_SETTINGS = ("rope_scaling", "rope_parameters", "original_max_position_embeddings")
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
MLP_PARTS = ("gate", "up", "gate_up", "down")  # what LoRA heads adapt
MATRICES = (*MLP_PARTS, "query", "key", "value", "attention_output")
OFFSET = 2  # rows of OPT's positions that stand for no position


class TensorFiles(Protocol):
    """Names of tensors to their shapes; their values are read when they are needed."""

    def __getitem__(self, name: str) -> tuple[int, ...]: ...

    def __contains__(self, name: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor's values."""
        ...


def read_checkpoint(source: Source) -> Checkpoint:
    """Read the description of a checkpoint; its tensors are read when they are needed.

    Raises
    ------
    ExportError
        If it is of no known family, or anything in it is not understood.
    """
    config = ConfigFile(source.config)
    spec = describe_decoder(config)
    tokenizer = TokenizerFiles(source.folder, config)
    source.fetch_weights()
    return Checkpoint(
        spec,
        find_tensors(config, spec, SafetensorsFiles(source.folder)),
        tokenizer.json,
        tokenizer.prefix,
        tokenizer.empty,
        source.name,
        source.revision,
        chat_of_files(source.folder),
    )


def _family(config: ConfigFile) -> Family:
    kind = config["model_type"]
    if kind not in FAMILIES:
        raise ExportError(f"models of type {kind!r} are not among those that graphs are built for")
    return FAMILIES[kind]


def describe_decoder(config: ConfigFile) -> DecoderSpec:
    """Return the block's parameters.

    Raises
    ------
    ExportError
        If the family is not known, or a setting is not understood.
    """
    family = _family(config)
    values = {name: _value(source, config) for name, source in family.parameters.items()}
    n_layers, n_heads = values.pop("n_layers"), values["n_heads"]
    values["n_kv_heads"] = values.get("n_kv_heads") or n_heads
    values["head_size"] = values.get("head_size") or values["hidden_size"] // n_heads
    values.setdefault("attention_scale", values["head_size"] ** -0.5)
    values["activation"] = _activation(values["activation"])
    for key, value in {**EXPECTED, **family.expected}.items():
        config.expect(key, value(config) if callable(value) else value)
    for key in (*family.noted, *ROTARY_SETTINGS, "tie_word_embeddings"):
        config.get(key)
    spec = DecoderSpec(
        architecture=family.architecture,
        layers=family.layers(config, n_layers, values["head_size"]),
        modules={
            part: path
            for part, path in family.parts.items()
            if part in MLP_PARTS and isinstance(path, str)
        },
        **values,
    )
    config.check_all_understood()
    return replace(spec, max_length=longest(config, spec.max_length))


def _value(source: Any, config: ConfigFile) -> Any:
    if isinstance(source, Key):
        if source.default is None:
            return config[source.name]
        value = config.get(source.name, source.default)
        return source.default if value is None else value
    return source(config) if callable(source) else source


def _activation(named: str) -> Any:
    if named not in ACTIVATIONS:
        raise ExportError(f"the activation {named!r} is not known")
    return ACTIVATIONS[named]


def find_tensors(
    config: ConfigFile, spec: DecoderSpec, files: TensorFiles
) -> dict[str, LazyTensor]:
    """Return the tensors under the names of the contract.

    Parameters
    ----------
    config : ConfigFile
    spec : DecoderSpec
        Of the same configuration.
    files : TensorFiles
        With the names that transformers gives.

    Raises
    ------
    ExportError
        If one is missing, has another shape, or is left over.
    """
    family = _family(config)
    tied = bool(config.get("tie_word_embeddings", family.tied))
    tensors, used = {}, set()
    for name, shape in tensor_shapes(spec).items():
        place, _, kind = name.rpartition(".")
        _, layer, part = ("", "", place) if "." not in place else place.split(".")
        if part not in family.parts or (part == "output" and tied):
            continue
        where = family.parts[part]
        path = (where.path if isinstance(where, Part) else where).format(layer) + f".{kind}"
        bare = path.removeprefix(family.base)
        path = bare if bare in files else path
        if path in files:
            used.add(path)
            tensors[name] = _tensor(family, spec, files, path, part, shape)
        elif kind == "weight":
            raise ExportError(f"the checkpoint has no tensor {path}")
    ignored = [*family.ignored, *([r"^(lm_head|embed_out)\.weight$"] if tied else [])]
    left = [
        name
        for name in files
        if name not in used and not any(re.search(pattern, name) for pattern in ignored)
    ]
    if left:
        raise ExportError(f"the checkpoint has a tensor {left[0]}, which is not known")
    check_tensors(spec, tensors)
    return tensors


def _tensor(
    family: Family,
    spec: DecoderSpec,
    files: TensorFiles,
    path: str,
    part: str,
    shape: tuple[int, ...],
) -> LazyTensor:
    """Return a tensor as the contract has it: turned, cut and with a norm's offset in it."""
    where = family.parts[part]
    cut = LAYOUTS[where.layout] if isinstance(where, Part) else None
    turned = part in MATRICES and family.transposed
    offset = family.norm_offset if part.endswith("_norm") and path.endswith(".weight") else 0.0

    def load() -> NDArray[np.float32]:
        array = files.read(path)
        if turned and array.ndim == 2:
            array = array.T
        if isinstance(where, Part) and cut is not None:
            array = cut(array, spec, where.index)
        return array + np.float32(offset) if offset else array

    if cut is None:
        found = files[path]
        shape = found[::-1] if turned else found
    return LazyTensor(shape, load)


Cut = Callable[[NDArray[np.float32], DecoderSpec, int], NDArray[np.float32]]


def _thirds(array: NDArray[np.float32], spec: DecoderSpec, index: int) -> NDArray[np.float32]:
    return np.split(array, 3, axis=-1)[index]


def _groups(array: NDArray[np.float32], spec: DecoderSpec, index: int) -> NDArray[np.float32]:
    query, key = spec.n_heads * spec.head_size, spec.n_kv_heads * spec.head_size
    return np.split(array, [query, query + key], axis=-1)[index]


def _heads(array: NDArray[np.float32], spec: DecoderSpec, index: int) -> NDArray[np.float32]:
    split = array.reshape(*array.shape[:-1], spec.n_heads, 3, spec.head_size)
    return split[..., index, :].reshape(*array.shape[:-1], -1)


def _offset(array: NDArray[np.float32], spec: DecoderSpec, index: int) -> NDArray[np.float32]:
    return array[OFFSET:]


LAYOUTS: dict[str, Cut] = {
    "thirds": _thirds,
    "groups": _groups,
    "heads": _heads,
    "offset": _offset,
}
