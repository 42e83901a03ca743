"""The trunk with low-rank adapters as inputs: one set of weights, several heads in one pass.

Below the first adapted layer all heads are the same, so those layers run once. From there on
the rows are repeated, head by head, and every adapted module adds its head's own low-rank
product. Weights are not merged: each head would need a copy of them.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from transformers import PreTrainedModel

from .operators import DOMAIN
from .targets import Targets, decoder_layers
from .trunk import Trunk

__all__ = ["AdaptedTrunk", "expand_products"]

PRODUCT = "LowRankProduct"


class _Product(torch.autograd.Function):
    """``x @ a @ b`` for each head, in PyTorch and as one node, see :func:`expand_products`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        heads = x.reshape(a.shape[0], -1, a.shape[1])
        return (heads @ a @ b).reshape(*x.shape[:-1], b.shape[2])

    @staticmethod
    def symbolic(g: Any, x: Any, a: Any, b: Any) -> Any:
        product = g.op(f"{DOMAIN}::{PRODUCT}", x, a, b)
        product.setType(x.type().with_sizes(None))
        return product


def _product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if torch.compiler.is_exporting():
        shape = [*x.shape[:-1], b.shape[2]]
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{PRODUCT}", [x, a, b], dtype=x.dtype, shape=shape
        )
    apply: Any = _Product.apply
    return apply(x, a, b)


class _Adapted(nn.Module):
    """A matrix with its low-rank product beside it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.factors: tuple[Tensor, Tensor]

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + _product(x, *self.factors)


class AdaptedTrunk(Trunk):
    """A :class:`Trunk` whose targets take factors.

    Parameters
    ----------
    model : PreTrainedModel
        Its targets are replaced for good.
    targets : Targets
    """

    def __init__(self, model: PreTrainedModel, targets: Targets) -> None:
        super().__init__(model)
        self.targets = targets
        self.adapted = []
        for path in targets.modules:
            parent, _, name = path.rpartition(".")
            adapted = _Adapted(model.get_submodule(path))
            setattr(model.get_submodule(parent), name, adapted)
            self.adapted.append(adapted)
        self.copies: dict[int, tuple[Tensor, Tensor]] = {}
        _, layers = decoder_layers(model, model.config.num_hidden_layers)
        for layer in layers[targets.first_layer :]:
            layer.register_forward_pre_hook(self._repeat, with_kwargs=True)

    def _repeat(self, layer: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Give a layer every head's rows; what has them already stays as it is."""
        self.current.distance = self._repeated(self.current.distance)
        return self._repeated(args), self._repeated(kwargs)

    def _repeated(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() > 1 and value.shape[0] == self.n_rows:
            if id(value) not in self.copies:
                times = [self.n_heads, *[1] * (value.dim() - 1)]
                self.copies[id(value)] = value, value.repeat(times)  # the key must stay alive
            return self.copies[id(value)][1]
        if isinstance(value, tuple | list):
            return type(value)(self._repeated(part) for part in value)
        if type(value) is dict:
            return {name: self._repeated(part) for name, part in value.items()}
        return value

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        attention_bias: Tensor,
        rows: Tensor,
        past: list[tuple[Tensor, Tensor]],
        lora: list[tuple[Tensor, Tensor]],
    ) -> dict[str, Any]:
        """Return the final hidden states of K heads at N rows, (K*N, H), and keys and values.

        Parameters
        ----------
        input_ids, position_ids, attention_bias, rows
            See :meth:`Trunk.forward`.
        past : list of (key, value)
            Of shapes (B, kv_heads, P, d) below the first adapted layer, then
            (K*B, kv_heads, P, d).
        lora : list of (a, b)
            Of shapes (K, n_in, rank) and (K, rank, n_out), in the order of the targets.
        """
        for module, factors in zip(self.adapted, lora, strict=True):
            module.factors = factors
        self.copies.clear()
        self.n_rows, self.n_heads = input_ids.shape[0], lora[0][0].shape[0]
        starts = torch.arange(self.n_heads, device=rows.device) * input_ids.numel()
        every = (starts[:, None] + rows).reshape(-1)
        return super().forward(input_ids, position_ids, attention_bias, every, past)


def expand_products(graph: onnx.ModelProto) -> None:
    """Write the low-rank products out in ONNX's operators, in place."""
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    del graph.graph.value_info[:]  # the tracer takes some of its example's sizes for fixed ones
    constants = graph.graph.initializer
    constants.append(numpy_helper.from_array(torch.tensor([-1]).numpy(), "lora.last"))
    for node in nodes:
        if node.op_type != PRODUCT:
            graph.graph.node.append(node)
            continue
        (x, a, b), result = node.input, node.output[0]

        def add(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
            graph.graph.node.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
            return name

        # [K*B, T, n_in] or [K*N, n_in] to [K, rows, n_in] and back.
        width = add("Shape", [a], f"{result}.a_shape")
        ends = [
            add("Gather", [width, place], f"{result}.{place}")
            for place in ("lora.first", "lora.second")
        ]
        shape = add("Concat", [ends[0], "lora.last", ends[1]], f"{result}.heads", axis=0)
        rows = add("Reshape", [x, shape], f"{result}.rows")
        down = add("MatMul", [rows, a], f"{result}.down")
        up = add("MatMul", [down, b], f"{result}.up")
        before = add("Shape", [x], f"{result}.before", end=-1)
        back = add("Concat", [before, "lora.last"], f"{result}.after", axis=0)
        add("Reshape", [up, back], result)
    for name, place in (("lora.first", 0), ("lora.second", 1)):
        constants.append(numpy_helper.from_array(torch.tensor([place]).numpy(), name))
