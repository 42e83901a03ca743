"""Checkpoints to model folders.

A decoder-only checkpoint, from a local folder or the hub, becomes a few ONNX graphs that share
one weights file. Graphs of the families in :mod:`.built.families` are built, without PyTorch; those
of others are traced, with the extra ``export``. See :func:`export_model`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..engine.folder_writing import check_folder_target
from ..engine.manifest import Manifest
from ..errors import ExportError, import_extra
from ..system.scratch import temporary_folder
from ..validation import check_one_of
from .exporters import EXPORTERS, TRACERS, default_tracer, missing_packages

__all__ = ["EXPORTERS", "PRECISIONS", "export_model", "quantize_model"]

PRECISIONS = ("float32", "int8")
GGUF = ".gguf"


def export_model(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    revision: str | None = None,
    precision: str = "float32",
    verbose: bool = False,
    exporter: str | None = None,
) -> Manifest:
    """Export a checkpoint to a model folder and check it.

    Parameters
    ----------
    model : str or path
        A local folder, a model id on the Hugging Face hub, or a GGUF file.
    out : str or path
        The model folder to write; an existing one is replaced.
    revision : str, optional
        Branch, tag or commit on the hub.
    precision : {"float32", "int8"}, default="float32"
        Number format of the weights, see :func:`quantize_model`.
    verbose : bool, default=False
        Show the progress, on stderr, of what takes more than two seconds.
    exporter : {"built", "dynamo", "optimum"}, optional
        How to come to the graphs: built from the checkpoint's configuration, or traced with
        PyTorch, through ``torch.export`` or through Optimum (extra ``optimum``). By default they
        are built where everything in the checkpoint is understood, and else traced by what is
        installed.

    Returns
    -------
    Manifest
        Its ``parity`` says how far the graphs are, in nats, from a plain implementation in
        NumPy if they were built, and from PyTorch if they were traced.

    Raises
    ------
    ExportError
        If the checkpoint cannot be loaded, its architecture cannot be exported, or the
        graphs disagree with what they are compared with. Nothing is written then.
    MissingExtraError
        If the graphs are to be traced and the extra ``export`` is not installed.
    """
    check_one_of("precision", precision, PRECISIONS)
    if exporter is not None:
        check_one_of("exporter", exporter, EXPORTERS)
    check_folder_target(out)
    if precision == "float32":
        return _export(os.fspath(model), Path(out), revision, verbose, exporter)
    with temporary_folder() as scratch:
        exact = scratch / "float32"
        _export(os.fspath(model), exact, revision, verbose, exporter)
        return quantize_model(exact, out)


def _export(
    model: str, out: Path, revision: str | None, verbose: bool, exporter: str | None
) -> Manifest:
    if Path(model).suffix.lower() == GGUF:
        return _export_gguf(model, out, revision, verbose, exporter)
    if exporter in (None, "built"):
        from .built.build import build_model_folder
        from .built.hugging_face import read_checkpoint
        from .checkpoint.sources import find_checkpoint

        source = find_checkpoint(model, revision)
        try:
            checkpoint = read_checkpoint(source)
        except ExportError as reason:
            if exporter == "built":
                raise ExportError(f"{model} cannot be built: {reason}") from None
            if missing_packages(default_tracer()):
                raise ExportError(
                    f"{model} cannot be built: {reason}; to trace it with PyTorch: "
                    'pip install "likra-lite[export]"'
                ) from None
        else:
            return build_model_folder(checkpoint, out, verbose)
    tracer = exporter or default_tracer()
    traced: Any = import_extra("likra_lite.export.traced.trace", TRACERS[tracer][1])
    return traced.export_checkpoint(model, out, revision, verbose, tracer=tracer)


def _export_gguf(
    model: str, out: Path, revision: str | None, verbose: bool, exporter: str | None
) -> Manifest:
    from .built.build import build_model_folder
    from .gguf.read_gguf import read_gguf

    if revision is not None or exporter not in (None, "built"):
        raise ExportError(f"{model} is a GGUF file: it has no revision and cannot be traced")
    return build_model_folder(read_gguf(model), out, verbose)


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
    """
    from .quantization import quantize_folder

    return quantize_folder(folder, out)
