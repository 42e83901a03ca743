"""The ways from a checkpoint to graphs, by name."""

from __future__ import annotations

import importlib.util

__all__ = ["EXPORTERS", "TRACERS", "default_tracer", "missing_packages"]

# By name: the package that the tracer needs besides PyTorch and transformers, the extra that
# brings it, and the module with its `trace`.
TRACERS = {
    "dynamo": ("onnxscript", "export", "likra_lite.export.traced.dynamo_tracer"),
    "optimum": ("optimum.exporters.onnx", "optimum", "likra_lite.export.traced.optimum_tracer"),
}
EXPORTERS = ("built", *TRACERS)


def missing_packages(tracer: str) -> list[str]:
    """Return the packages that a tracer needs and that are not installed."""
    needed = ("torch", "transformers", TRACERS[tracer][0])
    return [name for name in needed if importlib.util.find_spec(name.partition(".")[0]) is None]


def default_tracer() -> str:
    """Return the first tracer that is installed, or the first of all if none is."""
    return next((name for name in TRACERS if not missing_packages(name)), next(iter(TRACERS)))
