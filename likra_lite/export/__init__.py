"""Checkpoints to model folders (extra ``export``).

Any decoder-only checkpoint that transformers can load, from a local folder or the hub,
becomes two ONNX graphs that share one weights file. See :func:`export_model`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import import_extra
from ..storage import Manifest

__all__ = ["export_model"]


def export_model(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    revision: str | None = None,
    verbose: bool = False,
) -> Manifest:
    """Export a checkpoint to a model folder and check it against PyTorch.

    Parameters
    ----------
    model : str or path
        A local folder or a model id on the Hugging Face hub.
    out : str or path
        The model folder to write; an existing one is replaced.
    revision : str, optional
        Branch, tag or commit on the hub.
    verbose : bool, default=False
        Show progress on stderr if that is a terminal.

    Returns
    -------
    Manifest
        Its ``parity`` says how far the graphs are from PyTorch, in nats.

    Raises
    ------
    ExportError
        If the checkpoint cannot be loaded, its architecture cannot be exported, or the
        graphs disagree with PyTorch. Nothing is written then.
    MissingExtraError
        If the extra ``export`` is not installed.
    """
    for module in ("torch", "transformers", "onnx", "optimum.exporters.onnx"):
        import_extra(module, "export")
    checkpoint: Any = import_extra("likra_lite.export.checkpoint", "export")
    return checkpoint.export_checkpoint(os.fspath(model), Path(out), revision, verbose)
