"""A decoder without its vocabulary projection as an ONNX graph: token trees in, hidden states out.

Two graphs are made of one description: ``trunk.onnx``, and ``adapted.onnx``, which has the
factors of K LoRA heads as inputs besides. There the rows of the batch are repeated head by
head, and every adapted matrix adds its head's own product. Behind the last layer's attention
only the rows that are asked for are computed.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ...engine.head import LORA, ROWS_OF_HEADS
from ..graphs.graph_builder import GraphBuilder
from ..graphs.weights import LazyTensor, Reference
from .decoder_spec import DecoderSpec, LayerSpec
from .shared_inputs import SharedInputs

__all__ = ["adapted_graph", "lora_shapes", "trunk_graph"]


def trunk_graph(spec: DecoderSpec, tensors: Mapping[str, LazyTensor]) -> onnx.ModelProto:
    """Return the graph of the model as it is; see ``tensors`` of :mod:`.decoder_spec`."""
    return _DecoderGraph(spec, tensors, {}).model()


def adapted_graph(spec: DecoderSpec, tensors: Mapping[str, LazyTensor]) -> onnx.ModelProto:
    """Return the graph that takes LoRA factors for the MLPs of all layers."""
    return _DecoderGraph(spec, tensors, lora_shapes(spec, tensors)).model()


def lora_shapes(spec: DecoderSpec, tensors: Mapping[str, LazyTensor]) -> dict[str, tuple[int, int]]:
    """Return (n_in, n_out) of the matrices that LoRA heads adapt, by their paths."""
    shapes = {}
    for layer in range(len(spec.layers)):
        for part, path in spec.modules.items():
            n_in, n_out = tensors[f"layers.{layer}.{part}.weight"].shape
            shapes[path.format(layer)] = (n_in, n_out)
    return shapes


class _DecoderGraph:
    """One graph of a decoder.

    Shapes below: B rows of T tokens behind P, S = P + T, H wide; with K heads, K*B rows. The
    MLPs read [K, B*T, H], so that each head's factors meet their own tokens.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        tensors: Mapping[str, LazyTensor],
        lora: Mapping[str, tuple[int, int]],
    ) -> None:
        self.spec, self.tensors, self.lora = spec, tensors, lora
        self.builder = GraphBuilder()
        self.node, self.constant = self.builder.node, self.builder.constant
        self.shared = SharedInputs(self.builder, self._repeated)

    def model(self) -> onnx.ModelProto:
        """Return the finished graph."""
        spec = self.spec
        self._place_constants()
        x = self._repeated(self._embedded())
        for layer in range(len(spec.layers)):
            x = self._layer(layer, x)
        x = self._norm("final_norm", x, "final" if self.lora else "hidden")
        if self.lora:
            flat = self.constant("hidden_shape", [-1, spec.hidden_size])
            self.node("Reshape", [x, flat], "hidden")
        rows = ROWS_OF_HEADS if self.lora else "B"
        kept = [f"{layer}.{side}" for layer in range(len(spec.layers)) for side in ("key", "value")]
        cached: list[int | str] = [rows, spec.n_kv_heads, "P", spec.head_size]
        factors: dict[str, list[int | str]] = {}
        for path, (n_in, n_out) in self.lora.items():
            factors[f"{LORA}{path}.a"] = ["K", n_in, "R"]
            factors[f"{LORA}{path}.b"] = ["K", "R", n_out]
        return self.builder.model(
            "likra_lite_adapted" if self.lora else "likra_lite_trunk",
            {
                "input_ids": ["B", "T"],
                "position_ids": ["B", "T"],
                "attention_bias": ["B", 1, "T", "S"],
                "rows": ["N"],
                **{f"past.{name}": cached for name in kept},
                **factors,
            },
            {
                "hidden": ["KN" if self.lora else "N", spec.hidden_size],
                **{f"present.{name}": [*cached[:2], "S", cached[3]] for name in kept},
            },
            integers=("input_ids", "position_ids", "rows"),
        )

    def _place_constants(self) -> None:
        self.constant("first", [0])
        self.constant("last", [-1])
        if self.lora:
            some = f"{LORA}{next(iter(self.lora))}.a"
            self.node("Shape", [some], "n_heads", start=0, end=1)
            for rank in (3, 4):
                ones = self.constant(f"ones_{rank}", [1] * (rank - 1))
                self.node("Concat", ["n_heads", ones], f"repeats_{rank}", axis=0)

    def _repeated(self, x: str, rank: int = 3) -> str:
        """Repeat the rows of [B, ...] for every head, head by head."""
        return self.node("Tile", [x, f"repeats_{rank}"], f"{x}.of_heads") if self.lora else x

    def _embedded(self) -> str:
        spec = self.spec
        x = self.node("Gather", [self._weight("embedding.weight"), "input_ids"], "embedded")
        if spec.embedding_scale != 1.0:
            x = self.builder.scaled(x, spec.embedding_scale, "embedded.scaled")
        if spec.learned_positions:
            places = self.node(
                "Gather", [self._weight("positions.weight"), "position_ids"], "positions"
            )
            x = self.node("Add", [x, places], "embedded.placed")
        return x

    def _layer(self, layer: int, x: str) -> str:
        spec, at = self.spec, f"layers.{layer}"
        read = self._norm(f"{at}.attention_norm", x) if spec.norm_before else x
        mixed = self._attention(layer, read)
        if layer == len(spec.layers) - 1:
            x = self._selected(x, spec.hidden_size)
            mixed = self._selected(mixed, spec.n_heads * spec.head_size)
        change = self._linear(f"{at}.attention_output", mixed)
        if spec.norm_after:
            change = self._norm(f"{at}.attention_post_norm", change)
        after = self._added(x, change, f"{at}.attention_added")
        read = x if spec.parallel else after
        if spec.norm_before:
            read = self._norm(f"{at}.mlp_norm", read)
        change = self._mlp(layer, read)
        if spec.norm_after:
            change = self._norm(f"{at}.mlp_post_norm", change)
        return self._added(after, change, f"{at}.mlp_added")

    def _attention(self, layer: int, x: str) -> str:
        """Return what the heads of one layer read, [B, T, n_heads * head_size]."""
        spec, at = self.spec, f"layers.{layer}"
        kind = spec.layers[layer]
        query, key, value = (self._linear(f"{at}.{part}", x) for part in ("query", "key", "value"))
        query = self._head_norm(f"{at}.query_norm", query, spec.n_heads)
        key = self._head_norm(f"{at}.key_norm", key, spec.n_kv_heads)
        query = self._placed(kind, query, spec.n_heads)
        key = self._placed(kind, key, spec.n_kv_heads)
        past = [f"past.{layer}.{side}" for side in ("key", "value")]
        present = [f"present.{layer}.{side}" for side in ("key", "value")]
        return self.builder.nodes_of(
            "Attention",
            [query, key, value, self.shared.mask(kind.window), *past],
            [f"{at}.mixed", *present],
            scale=spec.attention_scale,
            softcap=spec.attention_softcap or 0.0,
            q_num_heads=spec.n_heads,
            kv_num_heads=spec.n_kv_heads,
        )[0]

    def _mlp(self, layer: int, x: str) -> str:
        spec, at = self.spec, f"layers.{layer}"
        shape = None
        if self.lora and layer < len(spec.layers) - 1:
            shape = self.node("Shape", [x], f"{at}.mlp.shape")
            x = self._per_head(x, spec.hidden_size)
        if spec.mlp == "plain":
            inner = self._activated(self._adapted(layer, "up", x))
        else:
            if spec.mlp == "fused":
                both = self._adapted(layer, "gate_up", x)
                gate, up = self.builder.nodes_of(
                    "Split", [both], [f"{at}.gate", f"{at}.up"], axis=-1, num_outputs=2
                )
            else:
                gate, up = self._adapted(layer, "gate", x), self._adapted(layer, "up", x)
            inner = self.node("Mul", [self._activated(gate), up], f"{at}.gated")
        x = self._adapted(layer, "down", inner)
        return x if shape is None else self.node("Reshape", [x, shape], f"{at}.mlp")

    def _activated(self, x: str) -> str:
        if self.spec.activation == "silu":
            return self.node("Mul", [x, self.node("Sigmoid", [x], f"{x}.sigmoid")], f"{x}.silu")
        if self.spec.activation == "relu":
            return self.node("Relu", [x], f"{x}.relu")
        approximate = "tanh" if self.spec.activation == "gelu_tanh" else "none"
        return self.node("Gelu", [x], f"{x}.gelu", approximate=approximate)

    def _per_head(self, x: str, width: int) -> str:
        """Return [K*B, T, width] as [K, B*T, width]."""
        name = f"per_head_{width}"
        if not self.builder.has(name):
            rest = self.constant(f"{name}.rest", [-1, width])
            self.node("Concat", ["n_heads", rest], name, axis=0)
        return self.node("Reshape", [x, name], f"{x}.per_head")

    def _selected(self, x: str, width: int) -> str:
        """Return the rows that are asked for: [N, width], or [K, N, width]."""
        shape = self.constant(f"{x}.flat_shape", [-1, width])
        flat = self.node("Reshape", [x, shape], f"{x}.flat")
        selected = self.node("Gather", [flat, self._rows()], f"{x}.selected")
        return self._per_head(selected, width) if self.lora else selected

    def _rows(self) -> str:
        """Return the rows that are asked for, of all heads, as places in [K * B * T]."""
        if not self.lora:
            return "rows"
        if not self.builder.has("rows.of_heads"):
            node = self.node
            count = node("Squeeze", ["n_heads", "first"], "n_heads_scalar")
            heads = node("Range", [self.builder.number(0), count, self.builder.number(1)], "heads")
            size = node("Size", ["input_ids"], "n_tokens")
            starts = node(
                "Unsqueeze", [node("Mul", [heads, size], "starts"), "last"], "start_column"
            )
            every = node("Add", [starts, "rows"], "rows.by_head")
            node("Reshape", [every, "last"], "rows.of_heads")
        return "rows.of_heads"

    def _adapted(self, layer: int, part: str, x: str) -> str:
        """Return ``x @ W + b``, and with LoRA ``x @ a @ b`` added to it."""
        name = f"layers.{layer}.{part}"
        result = self._linear(name, x)
        path = self.spec.modules[part].format(layer)
        if path not in self.lora:
            return result
        low = self.node("MatMul", [x, f"{LORA}{path}.a"], f"{name}.lora.down")
        high = self.node("MatMul", [low, f"{LORA}{path}.b"], f"{name}.lora.up")
        return self.node("Add", [result, high], f"{name}.adapted")

    def _linear(self, name: str, x: str) -> str:
        result = self.node("MatMul", [x, self._weight(f"{name}.weight")], f"{name}.product")
        if f"{name}.bias" not in self.tensors:
            return result
        return self.node("Add", [result, self._weight(f"{name}.bias")], f"{name}.sum")

    def _norm(self, name: str, x: str, output: str | None = None) -> str:
        output = output or f"{name}.normed"
        if self.spec.norm == "rms":
            return self._rms(f"{name}.weight", x, output)
        inputs = [x, self._weight(f"{name}.weight")]
        if f"{name}.bias" in self.tensors:
            inputs.append(self._weight(f"{name}.bias"))
        return self.node("LayerNormalization", inputs, output, axis=-1, epsilon=self.spec.norm_eps)

    def _rms(self, weight: str, x: str, output: str) -> str:
        inputs = [x, self._weight(weight)]
        return self.node("RMSNormalization", inputs, output, axis=-1, epsilon=self.spec.norm_eps)

    def _head_norm(self, name: str, x: str, heads: int) -> str:
        """Return normed queries or keys, [B, T, heads * head_size]."""
        spec = self.spec
        if spec.qk_norm is None:
            return x
        if spec.qk_norm == "all":
            return self._rms(f"{name}.weight", x, f"{name}.normed")
        split = self.constant(f"split_{heads}", [0, 0, heads, spec.head_size])
        joined = self.constant(f"joined_{heads}", [0, 0, heads * spec.head_size])
        x = self.node("Reshape", [x, split], f"{name}.split")
        x = self._rms(f"{name}.weight", x, f"{name}.normed")
        return self.node("Reshape", [x, joined], f"{name}.joined")

    def _placed(self, kind: LayerSpec, x: str, heads: int) -> str:
        """Return queries or keys with their positions in them."""
        rotary = kind.rotary
        if rotary is None:
            return x
        size = 2 * len(rotary.frequencies)
        return self.node(
            "RotaryEmbedding",
            [x, *self.shared.cosine_and_sine(rotary)],
            f"{x}.rotated",
            num_heads=heads,
            rotary_embedding_dim=0 if size == self.spec.head_size else size,
        )

    def _added(self, x: str, change: str, output: str) -> str:
        if self.spec.residual_scale != 1.0:
            change = self.builder.scaled(change, self.spec.residual_scale, f"{output}.scaled")
        return self.node("Add", [x, change], output)

    def _weight(self, name: str) -> str:
        return self.builder.weight(name, Reference(name, self.tensors[name].shape))
