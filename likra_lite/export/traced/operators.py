"""ONNX's own operators for attention and rotary embedding, in place of their many small steps.

One operator in place of a dozen small ones: ONNX Runtime then spends its time in matrix
products. torch.export writes them as they are; the TorchScript exporter, whose opset is older
than the operators, traces them under a domain of our own, and :func:`use_standard_domain` moves
them to ONNX's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from ..graphs.graph_builder import IR_VERSION, OPSET

__all__ = ["attention", "rotary_operator", "use_standard_domain", "usual_rotary"]

DOMAIN = "likra_lite"
ROTARY = "apply_rotary_pos_emb"  # the name that transformers' models share


def _joined(g: Any, x: Any) -> Any:
    """Return [B, heads, T, d] as [B, T, heads * d], the operators' layout."""
    transposed = g.op("Transpose", x, perm_i=[0, 2, 1, 3])
    return g.op("Reshape", transposed, g.op("Constant", value_t=torch.tensor([0, 0, -1])))


def _split(g: Any, x: Any, heads: int) -> Any:
    """Return [B, T, heads * d] as [B, T, heads, d]."""
    return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor([0, 0, heads, -1])))


class _Attention(torch.autograd.Function):
    """Attention with a past, in PyTorch and as one ONNX operator."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
        past_key: Tensor,
        past_value: Tensor,
        scale: float,
        softcap: float,
        heads: int,
        kv_heads: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        key = torch.cat([past_key, key], dim=2)
        value = torch.cat([past_value, value], dim=2)
        groups = heads // kv_heads
        logits = (query * scale) @ key.repeat_interleave(groups, 1).transpose(-1, -2)
        if softcap:
            logits = softcap * torch.tanh(logits / softcap)
        weights = torch.softmax(logits + bias, dim=-1)
        mixed = weights @ value.repeat_interleave(groups, 1)
        return mixed.transpose(1, 2), key, value

    @staticmethod
    def symbolic(
        g: Any,
        query: Any,
        key: Any,
        value: Any,
        bias: Any,
        past_key: Any,
        past_value: Any,
        scale: float,
        softcap: float,
        heads: int,
        kv_heads: int,
    ) -> tuple[Any, Any, Any]:
        mixed, present_key, present_value = g.op(
            f"{DOMAIN}::Attention",
            *(_joined(g, x) for x in (query, key, value)),
            bias,
            past_key,
            past_value,
            scale_f=scale,
            softcap_f=softcap,
            q_num_heads_i=heads,
            kv_num_heads_i=kv_heads,
            outputs=3,
        )
        for output, like in ((mixed, query), (present_key, past_key), (present_value, past_value)):
            output.setType(like.type().with_sizes(None))
        return _split(g, mixed, heads), present_key, present_value


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    past: tuple[Tensor, Tensor],
    scale: float,
    softcap: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Attend to a past and to the new tokens.

    Parameters
    ----------
    query : Tensor of shape (B, heads, T, d)
    key, value : Tensor of shape (B, kv_heads, T, d)
    bias : Tensor of shape (B, 1, T, P+T)
        Added to the attention logits.
    past : (key, value), each of shape (B, kv_heads, P, d)
    scale : float
        Factor on the attention logits.
    softcap : float or None
        Attention logits x become ``softcap * tanh(x / softcap)``, before `bias` is added.

    Returns
    -------
    mixed : Tensor of shape (B, T, heads, d)
    present_key, present_value : Tensor of shape (B, kv_heads, P+T, d)
    """
    heads = int(query.shape[1]), int(key.shape[1])
    if torch.compiler.is_exporting():
        return _attention_node(query, key, value, bias, past, scale, softcap or 0.0)
    apply: Any = _Attention.apply
    return apply(query, key, value, bias, *past, float(scale), softcap or 0.0, *heads)


def _joined_heads(x: Tensor) -> Tensor:
    """Return [B, heads, T, d] as [B, T, heads * d], the operators' layout."""
    return x.transpose(1, 2).flatten(2)


def _attention_node(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    past: tuple[Tensor, Tensor],
    scale: float,
    softcap: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what :func:`attention` does, as one operator of the graph that torch.export makes."""
    batch, heads, length, _ = query.shape
    kv_heads, total = key.shape[1], past[0].shape[2] + length
    # The past's own batch axis: from the first adapted layer on it is another one.
    kept = [[before.shape[0], kv_heads, total, before.shape[3]] for before in past]
    mixed, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
        "Attention",
        [*(_joined_heads(x) for x in (query, key, value)), bias, *past],
        {
            "scale": scale,
            "softcap": softcap,
            "q_num_heads": heads,
            "kv_num_heads": kv_heads,
        },
        dtypes=[query.dtype] * 3,
        shapes=[[batch, length, heads * value.shape[3]], *kept],
        version=OPSET,
    )
    return mixed.reshape(batch, length, heads, -1), present_key, present_value


def _rotary_node(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return the rotated heads, as one operator of the graph that torch.export makes."""
    batch, heads, length, size = x.shape
    rotated = torch.onnx.ops.symbolic(
        "RotaryEmbedding",
        [_joined_heads(x), cos, sin],
        {"num_heads": heads},
        dtype=x.dtype,
        shape=[batch, length, heads * size],
        version=OPSET,
    )
    return rotated.reshape(batch, length, heads, size).transpose(1, 2)


class _Rotary(torch.autograd.Function):
    """Rotary position embedding of halves, in PyTorch and as one ONNX operator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    @staticmethod
    def symbolic(g: Any, x: Any, cos: Any, sin: Any, heads: int) -> Any:
        rotated = g.op(f"{DOMAIN}::RotaryEmbedding", _joined(g, x), cos, sin, num_heads_i=heads)
        rotated.setType(x.type().with_sizes(None))
        return g.op("Transpose", _split(g, rotated, heads), perm_i=[0, 2, 1, 3])


def _rotary(original: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Any]:
    """Return a twin of transformers' function that traces to the operator."""

    def apply(
        q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *rest: Any, **named: Any
    ) -> tuple[Tensor, Tensor]:
        size = cos.shape[-1]
        if rest or named or cos.dim() != 3 or q.shape[-1] != size or k.shape[-1] != size:
            return original(q, k, cos, sin, *rest, **named)
        halves = cos[..., : size // 2], sin[..., : size // 2]
        if torch.compiler.is_exporting():
            return _rotary_node(q, *halves), _rotary_node(k, *halves)
        rotate: Any = _Rotary.apply
        rotated = [rotate(x, *halves, int(x.shape[1])) for x in (q, k)]
        return rotated[0], rotated[1]

    return apply


def _same(original: Callable[..., Any], twin: Callable[..., Any]) -> bool:
    """Return whether two rotary functions give the same result."""
    random = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 3, 5, 8, generator=random)
    cos, sin = torch.randn(2, 2, 5, 4, generator=random).repeat(1, 1, 1, 2)
    try:
        expected, got = original(q, k, cos, sin), twin(q, k, cos, sin)
    except Exception:  # another signature, another embedding
        return False
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, got, strict=True))


def _repeat_interleave(x: Tensor, repeats: int, dim: int) -> Tensor:
    """Repeat every element along a dimension; torch's own traces to a tensor of wrong rank."""
    dim %= x.dim()
    shape = [*x.shape[: dim + 1], repeats, *x.shape[dim + 1 :]]
    return x.unsqueeze(dim + 1).expand(shape).flatten(dim, dim + 1)


def usual_rotary(model: nn.Module) -> list[str]:
    """Return the modules of transformers whose rotary embedding is the usual one.

    Usual is what rotates the first half of a head's dimensions against the second (Su et
    al. 2021, as in transformers' Llama); any other is traced as it is.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    list of str
        For :func:`rotary_operator`.
    """
    found = []
    for name in sorted({type(module).__module__ for module in model.modules()}):
        original = getattr(sys.modules.get(name), ROTARY, None)
        if original is not None and _same(original, _rotary(original)):
            found.append(name)
    return found


@contextmanager
def rotary_operator(modules: Sequence[str]) -> Iterator[None]:
    """Let the rotary embedding of some modules trace to one operator.

    Parameters
    ----------
    modules : sequence of str
        See :func:`usual_rotary`.
    """
    with ExitStack() as stack:
        for owner in (torch, Tensor):
            stack.enter_context(patch.object(owner, "repeat_interleave", _repeat_interleave))
        for name in modules:
            twin = _rotary(getattr(sys.modules[name], ROTARY))
            stack.enter_context(patch(f"{name}.{ROTARY}", twin))
        yield


def use_standard_domain(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Move the operators of this module to ONNX's domain, in place.

    Parameters
    ----------
    graph : onnx.ModelProto
        Traced at an older opset.

    Returns
    -------
    onnx.ModelProto
        At :data:`likra_lite.export.graphs.graph_builder.OPSET`.
    """
    for node in graph.graph.node:
        if node.domain == DOMAIN:
            node.domain = ""
    kept = [entry for entry in graph.opset_import if entry.domain not in ("", "ai.onnx", DOMAIN)]
    del graph.opset_import[:]
    graph.opset_import.extend([helper.make_opsetid("", OPSET), *kept])
    graph.ir_version = IR_VERSION
    return graph
