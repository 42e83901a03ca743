"""The two scoring graphs as ONNX: the traced trunk and the hand-built head."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from optimum.exporters.onnx.base import OnnxConfig
from optimum.exporters.onnx.convert import export as optimum_export
from optimum.utils import NormalizedConfig

from .operators import IR_VERSION, OPSET, use_standard_domain
from .trunk import Trunk

__all__ = ["HEAD_BIAS", "HEAD_WEIGHT", "head_graph", "trunk_graph"]

TRACING_OPSET = 18  # the newest that the tracer knows without gaps
HEAD_WEIGHT, HEAD_BIAS = "lm_head.weight", "lm_head.bias"


class _TrunkOnnxConfig(OnnxConfig):
    """Optimum's description of the trunk: names, dynamic axes and tracing inputs."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig

    def __init__(self, config: Any, past: list[tuple[int, int]]) -> None:
        super().__init__(config, task="feature-extraction")
        self.past = past

    def _layers(self, prefix: str, axes: dict[int, str]) -> dict[str, dict[int, str]]:
        return {
            f"{prefix}.{layer}.{part}": axes
            for layer in range(len(self.past))
            for part in ("key", "value")
        }

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {
            "input_ids": {0: "B", 1: "T"},
            "position_ids": {0: "B", 1: "T"},
            "attention_bias": {0: "B", 2: "T", 3: "S"},
            "rows": {0: "N"},
            **self._layers("past", {0: "B", 2: "P"}),
        }

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"hidden": {0: "N"}, **self._layers("present", {0: "B", 2: "S"})}

    def generate_dummy_inputs(self, framework: str = "pt", **_: Any) -> dict[str, Any]:
        batch, length, prefix = 2, 5, 3
        return {
            "input_ids": torch.ones((batch, length), dtype=torch.int64),
            "position_ids": torch.arange(prefix, prefix + length).expand(batch, -1).contiguous(),
            "attention_bias": torch.zeros(batch, 1, length, prefix + length),
            "rows": torch.tensor([4, 7, 9]),
            "past": [
                (torch.zeros(batch, heads, prefix, size), torch.zeros(batch, heads, prefix, size))
                for heads, size in self.past
            ],
        }


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Drop what the tracer's C++ code prints: the whole graph, when it fails."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def trunk_graph(trunk: Trunk, past: list[tuple[int, int]], path: Path) -> onnx.ModelProto:
    """Trace `trunk` through Optimum and return the graph.

    Parameters
    ----------
    trunk : Trunk
    past : list of (kv_heads, head_size)
        One pair per layer, see :func:`past_shapes`.
    path : Path
        A scratch file for the exporter.

    Returns
    -------
    onnx.ModelProto
        The graph with its weights loaded.
    """
    with _silent_stdout(), warnings.catch_warnings():
        # The tracer warns of every Python branch of every decoder; the parity check decides.
        warnings.simplefilter("ignore")
        optimum_export(
            trunk,
            _TrunkOnnxConfig(trunk.config, past),
            path,
            opset=TRACING_OPSET,
            disable_dynamic_axes_fix=True,
        )
    return use_standard_domain(onnx.load(str(path)))


def head_graph(
    weight: np.ndarray, bias: np.ndarray | None, logit_scale: float, softcap: float | None
) -> onnx.ModelProto:
    """Build the graph that turns hidden states into log-probabilities of targets.

    Inputs are ``hidden [N, H]``, ``delta [K, H, H]`` (one matrix per head), ``rows [M]``
    and ``targets [M]``; the output is ``log_prob [K, M]`` in nats, where
    ``log_prob[k, m] = log_softmax(logits(h + h @ delta[k]))[targets[m]]`` with
    ``h = hidden[rows[m]]``. A hidden state that predicts several targets is projected once.

    Parameters
    ----------
    weight : ndarray of shape (V, H)
        The output embedding.
    bias : ndarray of shape (V,) or None
    logit_scale : float
        The logits are multiplied by this.
    softcap : float or None
        Then a logit x becomes ``softcap * tanh(x / softcap)``.

    Returns
    -------
    onnx.ModelProto
    """
    vocabulary, size = weight.shape
    initializers = [numpy_helper.from_array(weight, HEAD_WEIGHT)]
    nodes = []

    def constant(name: str, value: Any, dtype: Any = np.int64) -> str:
        initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    moved = node("MatMul", ["hidden", "delta"], "moved")
    adapted = node("Add", ["hidden", moved], "adapted")
    flat = node("Reshape", [adapted, constant("flat_shape", [-1, size])], "flat")
    projection = [flat, HEAD_WEIGHT]
    if bias is not None:
        initializers.append(numpy_helper.from_array(bias, HEAD_BIAS))
        projection.append(HEAD_BIAS)
    logits = node("Gemm", projection, "logits", transB=1, alpha=logit_scale, beta=logit_scale)
    if softcap is not None:
        cap = constant("softcap", softcap, np.float32)
        inner = node("Tanh", [node("Div", [logits, cap], "scaled")], "squashed")
        logits = node("Mul", [inner, cap], "capped")
    log_probs = node("LogSoftmax", [logits], "log_probs", axis=-1)
    heads = node("Shape", ["delta"], "heads", end=1)
    shape = node("Concat", [heads, constant("minus_one", [-1])], "per_head", axis=0)
    log_probs = node("Reshape", [log_probs, shape], "log_probs_per_head")
    start = node("Mul", ["rows", constant("vocabulary", vocabulary)], "row_start")
    index = node("Add", [start, "targets"], "target_index")
    node("Gather", [log_probs, index], "log_prob", axis=1)

    graph = helper.make_graph(
        nodes,
        "likra_lite_head",
        [
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["N", size]),
            helper.make_tensor_value_info("delta", TensorProto.FLOAT, ["K", size, size]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["M"]),
            helper.make_tensor_value_info("targets", TensorProto.INT64, ["M"]),
        ],
        [helper.make_tensor_value_info("log_prob", TensorProto.FLOAT, ["K", "M"])],
        initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
