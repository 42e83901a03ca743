"""The fastest float32 matrix product that the machine is seen to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["GemmPeak"]

SHAPES = ((512, 576, 1536), (512, 1536, 576), (1024, 1024, 1024))  # rows, inner size, columns
REPEATS = 20

FloatArray = NDArray[np.float32]


class GemmPeak:
    """Multiplies matrices with NumPy, PyTorch and ONNX Runtime.

    Parameters
    ----------
    threads : int
        For PyTorch and ONNX Runtime; NumPy's BLAS takes it from the environment.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def measure(self) -> tuple[float, str]:
        """Return the highest rate in FLOP/s, and with which library and shape."""
        rng = np.random.default_rng(0)
        rates = []
        for rows, inner, columns in SHAPES:
            left, right = (
                rng.standard_normal(shape, dtype=np.float32)
                for shape in ((rows, inner), (inner, columns))
            )
            for library, multiply in self._libraries(left, right):
                rate = 2 * rows * inner * columns / _shortest(multiply)
                rates.append((rate, f"{library}, {rows} x {inner} x {columns}"))
        return max(rates)

    def _libraries(
        self, left: FloatArray, right: FloatArray
    ) -> Iterator[tuple[str, Callable[[], object]]]:
        import onnxruntime
        import torch

        out = np.empty((len(left), right.shape[1]), np.float32)
        yield "NumPy", lambda: np.matmul(left, right, out=out)

        torch.set_num_threads(self.threads)
        tensors = torch.from_numpy(left), torch.from_numpy(right), torch.from_numpy(out)
        yield "PyTorch", lambda: torch.mm(tensors[0], tensors[1], out=tensors[2])

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(
            _product_graph(right), options, providers=["CPUExecutionProvider"]
        )
        yield "ONNX Runtime", lambda: session.run(None, {"left": left})


def _shortest(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _product_graph(right: FloatArray) -> bytes:
    """Return a model that multiplies its input by a constant, as it does with weights."""
    from onnx import TensorProto, helper, numpy_helper

    def matrix(name: str, columns: int) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", columns])

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["product"])],
        "product",
        [matrix("left", right.shape[0])],
        [matrix("product", right.shape[1])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()
