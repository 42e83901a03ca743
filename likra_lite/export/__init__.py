"""Checkpoints to model folders (extra ``export``).

Any decoder-only checkpoint that transformers can load, from a local folder or the hub,
becomes two ONNX graphs that share one weights file. See :func:`export_model`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ..engine.folder import Manifest, check_folder_target
from ..errors import import_extra
from ..validation import check_one_of

__all__ = ["PRECISIONS", "export_model", "quantize_model"]

PRECISIONS = ("float32", "int8")


def export_model(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    revision: str | None = None,
    precision: str = "float32",
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
    precision : {"float32", "int8"}, default="float32"
        Number format of the weights, see :func:`quantize_model`.
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
    check_one_of("precision", precision, PRECISIONS)
    for module in ("torch", "transformers", "onnx", "optimum.exporters.onnx"):
        import_extra(module, "export")
    checkpoint: Any = import_extra("likra_lite.export.traced", "export")
    if precision == "float32":
        return checkpoint.export_checkpoint(os.fspath(model), Path(out), revision, verbose)
    check_folder_target(out)
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / "float32"
        checkpoint.export_checkpoint(os.fspath(model), exact, revision, verbose)
        return quantize_model(exact, out)


def quantize_model(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Manifest:
    """Round a model's weights to 8-bit integers.

    Weights get a scale per output channel, activations a scale per token that is found as
    the token passes, so that a token's result does not depend on the rest of the batch.
    What that changes is for :func:`likra_lite.scoring.agreement.compare_scores` to tell.

    Parameters
    ----------
    folder : path
        A float32 model folder without heads.
    out : path
        The model folder to write; an existing one is replaced.

    Returns
    -------
    Manifest
        Its ``parity`` is that of the float32 folder.

    Raises
    ------
    ExportError
        If the folder is no float32 model, or has heads.
    ModelFolderError
        If it is damaged.
    MissingExtraError
        If the extra ``export`` is not installed.
    """
    import_extra("onnx", "export")
    quantization: Any = import_extra("likra_lite.export.quantization", "export")
    return quantization.quantize_folder(folder, out)
