"""The traced model: token trees in, final hidden states at chosen rows out.

The decoder is the checkpoint's own PyTorch module. What is replaced is its
attention, by one that takes the mask of a token tree and knows each token's
depth, and its key-value cache, by one that holds a shared prefix. Nothing here
depends on the exporter that traces the module.
"""

from __future__ import annotations

import inspect
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ...engine.trees import MASKED
from ...errors import ExportError, first_line
from .operators import attention, rotary_operator, usual_rotary

__all__ = ["Trunk", "past_shapes"]

TREE_ATTENTION = "likra_lite_tree"


class Reading:
    """What a decoder does not hand down to its attention; every attention module has it.

    It stays until the next forward pass, because gradient checkpointing computes the
    attention again during the backward pass, in another thread.

    Attributes
    ----------
    distance : Tensor of shape (B, 1, T, P+T)
        The depth of each query minus that of each key: windows are windows of depth, not
        of rows.
    cache : PrefixCache or None
        None in training, where there is no shared prefix.
    """

    distance: Tensor
    cache: PrefixCache | None = None


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention over a token tree, with the signature of transformers' interface.

    Parameters
    ----------
    module : nn.Module
        The attention module that calls.
    query : Tensor of shape (B, heads, T, d)
    key, value : Tensor of shape (B, kv_heads, T, d)
        Of the new tokens; the cache holds the others.
    attention_mask : Tensor of shape (B, 1, T, P+T)
        Added to the attention logits.
    scaling : float, optional
        Factor on the attention logits; ``d ** -0.5`` by default.
    softcap : float, optional
        Attention logits x become ``softcap * tanh(x / softcap)``.
    sliding_window : int, optional
        A token sees only keys that are less than this many positions away.

    Returns
    -------
    tuple of (Tensor of shape (B, T, heads, d), None)

    Raises
    ------
    ExportError
        If the model asks for something that would change the result.
    """
    if kwargs.get("s_aux") is not None:
        raise ExportError(f"{type(module).__name__} uses attention sinks, which are not supported")
    reading: Any = module.reading
    if sliding_window is None:
        sliding_window = getattr(module, "sliding_window", None)
    bias = attention_mask
    if sliding_window is not None:
        bias = bias.masked_fill(reading.distance >= sliding_window, MASKED)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if reading.cache is None:
        return _differentiable_attention(query, key, value, bias, scale, softcap), None
    return reading.cache.attend(query, key, value, bias, scale, softcap), None


def _differentiable_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, softcap: float | None
) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    bias = bias.to(query.dtype)
    if not softcap:
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
        return mixed.transpose(1, 2)
    logits = softcap * torch.tanh(query @ key.transpose(-1, -2) * (scale / softcap))
    weights = torch.softmax((logits + bias).float(), dim=-1).to(query.dtype)
    return (weights @ value).transpose(1, 2)


def _gpt_neo_attention(
    self: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, *_: Any
) -> tuple[Tensor, None]:
    window = self.config.window_size if self.is_local else None
    mixed, _none = tree_attention(
        self, query, key, value, attention_mask, scaling=1.0, sliding_window=window
    )
    return mixed.transpose(1, 2), None


def _use_tree_attention(model: PreTrainedModel, reading: Reading) -> None:
    """Route every attention layer of `model` through :func:`tree_attention`."""
    for module in model.modules():
        module.reading = reading
    if model.config.model_type == "gpt_neo":
        # Not on transformers' attention interface, and its mask is a buffer over row indices.
        kinds = iter(model.config.attention_layers)
        for module in model.modules():
            if hasattr(module, "_attn"):
                module.is_local = next(kinds) == "local"
                module._attn = MethodType(_gpt_neo_attention, module)
        return
    ALL_ATTENTION_FUNCTIONS.register(TREE_ATTENTION, tree_attention)
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "_attn_implementation"):
            module.config._attn_implementation = TREE_ATTENTION


class PrefixCache(DynamicCache):
    """Keys and values of a shared prefix, and those of the prefix with the new tokens.

    Parameters
    ----------
    past : list of (key, value)
        One pair per layer, each of shape (B, kv_heads, P, d); none for no prefix.
    """

    def __init__(self, past: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.past = past
        self.present: dict[int, tuple[Tensor, Tensor]] = {}
        self.layer = 0

    def get_seq_length(self, *_: Any, **__: Any) -> int:
        return self.past[0][0].shape[2] if self.past else 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.layer = layer_idx
        return key_states, value_states

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
        scale: float,
        softcap: float | None,
    ) -> Tensor:
        """Attend in the layer that was updated last; see :func:`.operators.attention`."""
        past = self.past[self.layer] if self.past else (key[:, :, :0], value[:, :, :0])
        mixed, *present = attention(query, key, value, bias, past, scale, softcap)
        self.present[self.layer] = (present[0], present[1])
        return mixed


class Trunk(nn.Module):
    """A decoder without its vocabulary projection, reading token trees.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model. Its attention is replaced for good.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.current = Reading()
        _use_tree_attention(model, self.current)
        self.config = model.config
        body = model.base_model if model.base_model is not model else model.model
        # OPT's body does not take positions, the decoder inside it does.
        self.decoder = getattr(body, "decoder", body)
        self.rotary = usual_rotary(self.decoder)
        # Its name since transformers 5.24, and before.
        taken = inspect.signature(self.decoder.forward).parameters
        self.cache_argument = "cache" if "cache" in taken else "past_key_values"

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        attention_bias: Tensor,
        rows: Tensor,
        past: list[tuple[Tensor, Tensor]],
    ) -> dict[str, Any]:
        """Return the final hidden states at `rows` and every layer's keys and values.

        Parameters
        ----------
        input_ids, position_ids : Tensor of shape (B, T)
        attention_bias : Tensor of shape (B, 1, T, P+T)
            0 where a token may look, a large negative number elsewhere.
        rows : Tensor of shape (N,)
            Indices into the flattened (B*T).
        past : list of (key, value)
            The shared prefix, each of shape (B, kv_heads, P, d).
        """
        with rotary_operator(self.rotary):
            hidden, present = self.read(input_ids, position_ids, attention_bias, past)
        return {"hidden": hidden.index_select(0, rows), "present": present}

    def read(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        attention_bias: Tensor,
        past: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return all final hidden states, (B*T, H), and every layer's keys and values.

        Without a past, which is not the same as an empty one, nothing is kept and the result
        can be differentiated.
        """
        prefix = attention_bias.shape[-1] - input_ids.shape[1]
        before = torch.arange(prefix, device=input_ids.device).expand(input_ids.shape[0], -1)
        keys_at = torch.cat([before, position_ids], dim=1)
        cache = None if past is None else PrefixCache(past)
        self.current.distance = (position_ids[:, :, None] - keys_at[:, None, :]).unsqueeze(1)
        self.current.cache = cache
        output = self.decoder(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_bias,
            use_cache=cache is not None,
            return_dict=True,
            **{self.cache_argument: cache},
        )
        hidden = output.last_hidden_state.reshape(-1, self.config.hidden_size)
        present = [] if cache is None else [cache.present[i] for i in range(len(cache.present))]
        return hidden, present


def past_shapes(trunk: Trunk) -> list[tuple[int, int]]:
    """Run one token through `trunk` and return each layer's (kv_heads, head_size).

    Raises
    ------
    ExportError
        If the decoder does not keep one key-value pair per layer, or its attention
        does not pass through transformers' attention interface.
    """
    name = trunk.config.architectures[0] if trunk.config.architectures else trunk.config.model_type
    calls = 0

    def counting(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        nonlocal calls
        calls += 1
        return tree_attention(*args, **kwargs)

    ALL_ATTENTION_FUNCTIONS.register(TREE_ATTENTION, counting)
    zero = torch.zeros((1, 1), dtype=torch.int64)
    try:
        with torch.no_grad():
            present = trunk(zero, zero, torch.zeros(1, 1, 1, 1), zero[0], [])["present"]
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f"{name} cannot be exported: its decoder does not take token trees "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
    finally:
        ALL_ATTENTION_FUNCTIONS.register(TREE_ATTENTION, tree_attention)
    layers = trunk.config.num_hidden_layers
    through = layers if trunk.config.model_type == "gpt_neo" else calls
    if len(present) != layers or through != layers:
        raise ExportError(
            f"{name} cannot be exported: {through} of its {layers} layers use transformers' "
            "attention interface, which token trees need"
        )
    return [(key.shape[1], key.shape[3]) for key, _ in present]
