"""A decoder in NumPy and double precision: what every built export is compared with.

Plain and slow: every continuation is a text of its own, a token sees the tokens before it, and
nothing is shared or left out. It has no line in common with the graphs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...engine.head import Lora
from ..parity import Case
from .decoder_spec import Checkpoint, DecoderSpec, LayerSpec, Rotary

__all__ = ["reference_scores"]

Array = NDArray[np.float64]


def reference_scores(
    checkpoint: Checkpoint, cases: Sequence[Case], adapters: Sequence[Lora | None] = (None,)
) -> Array:
    """Score continuations, each alone behind its context.

    Parameters
    ----------
    checkpoint : Checkpoint
    cases : sequence of (context, continuations)
    adapters : sequence of Lora or None
        With which to score; None is the model as it is.

    Returns
    -------
    ndarray of shape (n_adapters, n_continuations)
        Log-likelihoods in nats.
    """
    pairs = [(context, tokens) for context, branches in cases for tokens in branches]
    texts = [[*context, *tokens[:-1]] for context, tokens in pairs]
    model = _Decoder(checkpoint, [len(text) for text in texts] * len(adapters))
    for place, adapter in enumerate(adapters):
        model.adapt(place * len(texts), (place + 1) * len(texts), adapter)
    predicting = np.concatenate(
        [
            np.arange(len(text)) >= len(context) - 1
            for text, (context, _) in zip(texts, pairs, strict=True)
        ]
        * len(adapters)
    )
    hidden = model.read(np.concatenate(texts * len(adapters)))
    log_probs = model.log_probs(hidden[predicting])
    targets = np.concatenate([tokens for _, tokens in pairs] * len(adapters))
    chosen = log_probs[np.arange(len(targets)), targets]
    starts = np.cumsum([0, *[len(tokens) for _, tokens in pairs] * len(adapters)])[:-1]
    return np.add.reduceat(chosen, starts).reshape(len(adapters), -1)


class _Decoder:
    """A decoder that reads several texts, one below the other in arrays of N rows.

    Parameters
    ----------
    checkpoint : Checkpoint
    lengths : sequence of int
        Tokens in each text, N together.
    """

    def __init__(self, checkpoint: Checkpoint, lengths: Sequence[int]) -> None:
        self.spec, self.tensors = checkpoint.spec, checkpoint.tensors
        self.bounds = np.cumsum([0, *lengths])
        self.positions = np.concatenate([np.arange(length) for length in lengths])
        self.adapted: list[tuple[slice, Lora]] = []

    def adapt(self, first: int, last: int, adapter: Lora | None) -> None:
        """Give an adapter to the texts from `first` up to `last`."""
        if adapter is not None:
            self.adapted.append((slice(self.bounds[first], self.bounds[last]), adapter))

    def read(self, tokens: NDArray[np.int64]) -> Array:
        """Return the final hidden states, (N, H)."""
        spec = self.spec
        x = self.tensors["embedding.weight"].load()[tokens] * np.float64(spec.embedding_scale)
        if spec.learned_positions:
            x = x + self.weight("positions.weight")[self.positions]
        for layer in range(len(spec.layers)):
            x = self.layer(f"layers.{layer}", spec.layers[layer], x)
        return self.norm("final_norm", x)

    def log_probs(self, hidden: Array) -> Array:
        """Return the log-probabilities of all tokens, (n, V)."""
        spec = self.spec
        name = "output.weight" if "output.weight" in self.tensors else "embedding.weight"
        logits = hidden @ self.weight(name).T
        if "output.bias" in self.tensors:
            logits += self.weight("output.bias")
        logits = _capped(logits * spec.logit_scale, spec.logit_softcap)
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def layer(self, at: str, kind: LayerSpec, x: Array) -> Array:
        """Return the states behind one layer."""
        spec = self.spec
        read = self.norm(f"{at}.attention_norm", x) if spec.norm_before else x
        change = self.attention(at, kind, read)
        if spec.norm_after:
            change = self.norm(f"{at}.attention_post_norm", change)
        after = x + spec.residual_scale * change
        read = x if spec.parallel else after
        if spec.norm_before:
            read = self.norm(f"{at}.mlp_norm", read)
        change = self.mlp(at, read)
        if spec.norm_after:
            change = self.norm(f"{at}.mlp_post_norm", change)
        return after + spec.residual_scale * change

    def attention(self, at: str, kind: LayerSpec, x: Array) -> Array:
        """Let the tokens of each text look at those before them."""
        spec = self.spec
        query, key, value = (self.linear(f"{at}.{part}", x) for part in ("query", "key", "value"))
        if spec.qk_norm == "all":
            query = self.rms(f"{at}.query_norm.weight", query)
            key = self.rms(f"{at}.key_norm.weight", key)
        query, key, value = (x.reshape(len(x), -1, spec.head_size) for x in (query, key, value))
        if spec.qk_norm == "head":
            query = self.rms(f"{at}.query_norm.weight", query)
            key = self.rms(f"{at}.key_norm.weight", key)
        if kind.rotary is not None:
            query = _rotated(query, kind.rotary, self.positions)
            key = _rotated(key, kind.rotary, self.positions)
        mixed = [
            _mixed(query[start:end], key[start:end], value[start:end], kind.window, spec)
            for start, end in zip(self.bounds[:-1], self.bounds[1:], strict=True)
        ]
        return self.linear(f"{at}.attention_output", np.concatenate(mixed))

    def mlp(self, at: str, x: Array) -> Array:
        """Transform each token alone."""
        if self.spec.mlp == "plain":
            inner = self.activation(self.linear(f"{at}.up", x))
        else:
            if self.spec.mlp == "fused":
                gate, up = np.split(self.linear(f"{at}.gate_up", x), 2, axis=-1)
            else:
                gate, up = self.linear(f"{at}.gate", x), self.linear(f"{at}.up", x)
            inner = self.activation(gate) * up
        return self.linear(f"{at}.down", inner)

    def activation(self, x: Array) -> Array:
        """Return f(x)."""
        if self.spec.activation == "relu":
            return np.maximum(x, 0)
        if self.spec.activation == "silu":
            return x / (1 + np.exp(-x))
        if self.spec.activation == "gelu":
            from scipy.special import erf  # slow to import, and few models need it

            return x * (1 + erf(x / np.sqrt(2))) / 2
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2

    def linear(self, name: str, x: Array) -> Array:
        """Apply a matrix, and to the adapted texts their low-rank change of it."""
        result = x @ self.weight(f"{name}.weight")
        if f"{name}.bias" in self.tensors:
            result += self.weight(f"{name}.bias")
        _, layer, part = name.split(".")
        path = self.spec.modules.get(part, "").format(layer)
        for rows, adapter in self.adapted:
            if path in adapter.factors:
                a, b = adapter.factors[path]
                result[rows] += x[rows] @ a @ b
        return result

    def norm(self, name: str, x: Array) -> Array:
        """Normalise every token."""
        if self.spec.norm == "rms":
            return self.rms(f"{name}.weight", x)
        result = self.rms(f"{name}.weight", x - x.mean(-1, keepdims=True))
        return result + self.weight(f"{name}.bias") if f"{name}.bias" in self.tensors else result

    def rms(self, name: str, x: Array) -> Array:
        """Divide by the root mean square, and multiply by a weight."""
        size = np.sqrt((x**2).mean(-1, keepdims=True) + self.spec.norm_eps)
        return x / size * self.weight(name)

    def weight(self, name: str) -> Array:
        """Read a tensor."""
        return self.tensors[name].load().astype(np.float64)


def _mixed(query: Array, key: Array, value: Array, window: int | None, spec: DecoderSpec) -> Array:
    """Return what the heads read in one text of n tokens, (n, n_heads * head_size)."""
    places = np.arange(len(query))
    distance = places[:, None] - places
    unseen = distance < 0
    if window is not None:
        unseen |= distance >= window
    group = spec.n_heads // spec.n_kv_heads
    key, value = np.repeat(key, group, axis=1), np.repeat(value, group, axis=1)
    logits = np.einsum("qhd,khd->hqk", query, key) * spec.attention_scale
    logits = _capped(logits, spec.attention_softcap)
    logits[:, unseen] = -np.inf
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", weights, value).reshape(len(query), -1)


def _capped(logits: Array, cap: float | None) -> Array:
    return logits if cap is None else cap * np.tanh(logits / cap)


def _rotated(x: Array, rotary: Rotary, positions: NDArray[np.int64]) -> Array:
    """Turn each pair of dimensions by its angle at each position; x is (n, heads, d)."""
    turn = np.exp(1j * np.multiply.outer(positions, rotary.frequencies))[:, None] * rotary.factor
    pairs = len(rotary.frequencies)
    turned = (x[..., :pairs] + 1j * x[..., pairs : 2 * pairs]) * turn
    return np.concatenate([turned.real, turned.imag, x[..., 2 * pairs :]], axis=-1)
