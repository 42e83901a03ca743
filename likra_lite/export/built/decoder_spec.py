"""The description of a decoder, whatever file it came from: readers make it, the builder takes it.

A reader (of a Hugging Face checkpoint, of a GGUF file) makes a :class:`Checkpoint`;
:func:`likra_lite.export.built.build.build_model_folder` turns it into a model folder. Nothing here
needs more than NumPy.

Names of tensors
----------------
Matrices lie as ``[n_in, n_out]``, so that ``x @ W`` applies them; embeddings as ``[V, H]``.
Every ``weight`` may have a ``bias`` beside it, except where the table says no.

==============================================  =======================================
name                                            shape
==============================================  =======================================
``embedding.weight`` (no bias)                  (V, H)
``positions.weight`` (no bias)                  (max_length, H), if learned: row p is that
                                                of position p
``layers.{i}.attention_norm.weight``            (H,), if ``norm_before``
``layers.{i}.query.weight``                     (H, n_heads * head_size)
``layers.{i}.key.weight``, ``...value.weight``  (H, n_kv_heads * head_size)
``layers.{i}.query_norm.weight``,               (head_size,), or (n * head_size,) if
``layers.{i}.key_norm.weight`` (no bias)        ``qk_norm`` is ``"all"``
``layers.{i}.attention_output.weight``          (n_heads * head_size, H)
``layers.{i}.attention_post_norm.weight``       (H,), if ``norm_after``
``layers.{i}.mlp_norm.weight``                  (H,), if ``norm_before``
``layers.{i}.gate.weight``, ``...up.weight``    (H, I); no gate if ``mlp`` is ``"plain"``
``layers.{i}.gate_up.weight``                   (H, 2 * I), in place of both, gate first, if
                                                ``mlp`` is ``"fused"``
``layers.{i}.down.weight``                      (I, H)
``layers.{i}.mlp_post_norm.weight``             (H,), if ``norm_after``
``final_norm.weight``                           (H,)
``output.weight``                               (V, H); absent if it is the embedding
==============================================  =======================================

A norm's weight is what the normalised values are multiplied by (Gemma's files hold it less
one). Rotary embeddings turn the first half of the rotated dimensions of a head against the
second (files of some kinds hold neighbours: their rows are to be put in order by the reader).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ExportError
from ..graphs.weights import LazyTensor

__all__ = [
    "Checkpoint",
    "DecoderSpec",
    "LayerSpec",
    "Rotary",
    "check_tensors",
    "tensor_shapes",
]


@dataclass(frozen=True)
class Rotary:
    """A rotary position embedding (Su et al. 2021).

    Parameters
    ----------
    frequencies : tuple of float
        Radians per position, one for each pair of rotated dimensions, any scaling included.
        The first ``2 * len(frequencies)`` dimensions of a head are rotated.
    factor : float
        Both cosine and sine are multiplied by this (YaRN, LongRoPE).
    """

    frequencies: tuple[float, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class LayerSpec:
    """What may differ from layer to layer.

    Parameters
    ----------
    rotary : Rotary or None
        None if the layer's attention knows no positions, or positions are learned.
    window : int or None
        A token sees keys that are less than so many positions away, itself included.
    """

    rotary: Rotary | None = None
    window: int | None = None


@dataclass(frozen=True)
class DecoderSpec:
    """The parameters of one decoder block, and of what stands before and after the blocks.

    Parameters
    ----------
    architecture : str
        The name of its class in transformers, for the manifest and for messages.
    vocab_size, hidden_size, intermediate_size : int
    n_heads, n_kv_heads, head_size : int
    max_length : int
        Tokens in the model's window.
    layers : tuple of LayerSpec
    norm : {"rms", "layer"}
    norm_eps : float
    norm_before, norm_after : bool
        Whether attention and MLP have a norm before them, and one on their result, before it is
        added to the residual stream.
    qk_norm : {None, "head", "all"}
        RMS norm of queries and keys, over each head or over all heads together, before the
        rotary embedding.
    attention_scale : float
        Factor on the attention logits.
    attention_softcap : float or None
        Attention logits x become ``softcap * tanh(x / softcap)``.
    mlp : {"gated", "fused", "plain"}
        ``down(f(gate(x)) * up(x))``, the same with gate and up as one matrix, or
        ``down(f(up(x)))``.
    activation : {"silu", "gelu", "gelu_tanh", "relu"}
        f.
    parallel : bool
        Whether the MLP reads what the attention reads, and both are added together; each by its
        own norm.
    learned_positions : bool
    embedding_scale, residual_scale : float
        Factors on the embeddings, and on what attention and MLP add to the residual stream.
    logit_scale : float
    logit_softcap : float or None
    modules : mapping of str to str
        The paths in transformers' class of the matrices that LoRA heads adapt, with ``{}`` for
        the layer: of ``gate``, ``up`` and ``down``, or ``gate_up`` and ``down``. Heads name what
        they adapt by these, so they must not depend on the kind of file.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    max_length: int
    layers: tuple[LayerSpec, ...]
    modules: Mapping[str, str]
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    norm_before: bool = True
    norm_after: bool = False
    qk_norm: Literal["head", "all"] | None = None
    attention_scale: float = 1.0
    attention_softcap: float | None = None
    mlp: Literal["gated", "fused", "plain"] = "gated"
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    parallel: bool = False
    learned_positions: bool = False
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    logit_softcap: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A decoder with its weights and its tokenizer.

    Parameters
    ----------
    spec : DecoderSpec
    tensors : mapping of str to LazyTensor
        By the names above, and no others.
    tokenizer : str
        The content of ``tokenizer.json``.
    prefix : tuple of int
        Token ids that the tokenizer puts before a text.
    empty : int
        Token id that stands for no text.
    name : str
        Id on the hub, or the name of the folder or file.
    revision : str or None
        Commit on the hub.
    chat : dict or None
        See :func:`likra_lite.export.checkpoint.chat_files.chat_settings`.
    """

    spec: DecoderSpec
    tensors: Mapping[str, LazyTensor]
    tokenizer: str
    prefix: tuple[int, ...]
    empty: int
    name: str
    revision: str | None = None
    chat: dict[str, Any] | None = None


def tensor_shapes(spec: DecoderSpec) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of a decoder by name, those that may be absent too."""
    wide, query, key = (
        spec.hidden_size,
        spec.n_heads * spec.head_size,
        spec.n_kv_heads * spec.head_size,
    )
    inner = spec.intermediate_size
    norms = [
        *(["attention_norm", "mlp_norm"] if spec.norm_before else []),
        *(["attention_post_norm", "mlp_post_norm"] if spec.norm_after else []),
    ]
    matrices = {
        "query": (wide, query),
        "key": (wide, key),
        "value": (wide, key),
        "attention_output": (query, wide),
        "down": (inner, wide),
        **({"gate_up": (wide, 2 * inner)} if spec.mlp == "fused" else {"up": (wide, inner)}),
        **({"gate": (wide, inner)} if spec.mlp == "gated" else {}),
    }
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (spec.vocab_size, wide)}
    if spec.learned_positions:
        shapes["positions.weight"] = (spec.max_length, wide)
    for layer in range(len(spec.layers)):
        at = f"layers.{layer}"
        for name, shape in matrices.items():
            shapes |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[1:]}
        for name in norms:
            shapes |= {f"{at}.{name}.{kind}": (wide,) for kind in ("weight", "bias")}
        if spec.qk_norm:
            whole = spec.qk_norm == "all"
            shapes[f"{at}.query_norm.weight"] = (query if whole else spec.head_size,)
            shapes[f"{at}.key_norm.weight"] = (key if whole else spec.head_size,)
    shapes |= {f"final_norm.{kind}": (wide,) for kind in ("weight", "bias")}
    shapes |= {"output.weight": (spec.vocab_size, wide), "output.bias": (spec.vocab_size,)}
    return shapes


def check_tensors(spec: DecoderSpec, tensors: Mapping[str, LazyTensor]) -> None:
    """Raise ExportError unless the tensors are those of the decoder, in number and shape."""
    shapes = tensor_shapes(spec)
    for name, shape in shapes.items():
        if name not in tensors:
            if name.endswith(".weight") and name != "output.weight":
                raise ExportError(f"{spec.architecture}: the tensor {name} is missing")
        elif tensors[name].shape != shape:
            raise ExportError(
                f"{spec.architecture}: {name} has shape {tensors[name].shape}, expected {shape}"
            )
    unknown = sorted(set(tensors) - set(shapes))
    if unknown:
        raise ExportError(f"{spec.architecture}: the tensor {unknown[0]} has no place in the graph")
