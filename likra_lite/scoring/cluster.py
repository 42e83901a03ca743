"""Clusters: reaching one of Dask, and bringing the model to workers that lack it.

A worker opens the model where the client has it, if there is a folder of that path with the same
checksums: one on a common file system, or a copy. Otherwise it takes what Dask has brought it.
"""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..engine.folder import read_manifest
from ..engine.manifest import MANIFEST, Manifest
from ..errors import LikraError, ModelFolderError, first_line, import_extra
from ..system.scratch import scratch_folder, temporary_folder

__all__ = [
    "ATTEMPTS",
    "connected",
    "find_model",
    "holds_model",
    "is_local",
    "is_loss",
    "offer_model",
]

ATTEMPTS = 3  # times that the same work may lose its worker

LOCAL = ("LokyBackend", "MultiprocessingBackend", "SequentialBackend", "ThreadingBackend")
# What clusters say of a worker that is gone; their packages need not be installed.
LOSSES = ("ActorDiedError", "KilledWorker", "RayActorError", "WorkerCrashedError")


def is_local() -> bool:
    """Return whether joblib would work on this machine, and not on a cluster."""
    from joblib.parallel import get_active_backend

    return type(get_active_backend()[0]).__name__ in LOCAL


def is_loss(error: Exception) -> bool:
    """Return whether an error of joblib says that a worker is gone."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in LOSSES


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Let the workers of a Dask cluster do what joblib is asked to do.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    LikraError
        If no scheduler answers.
    MissingExtraError
        If dask.distributed is not installed.
    """
    from joblib import parallel_config

    distributed: Any = import_extra("distributed", "cluster")
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise LikraError(f"no Dask scheduler answers at {address}: {first_line(error)}") from error
    with client, parallel_config(backend="dask"):
        yield client


def holds_model(folder: str | os.PathLike[str], fingerprint: str) -> bool:
    """Return whether a folder is there and holds the model of that checksum."""
    try:
        return read_manifest(folder).fingerprint == fingerprint
    except ModelFolderError:
        return False


def offer_model(folder: Path, manifest: Manifest) -> None:
    """Have Dask's scheduler bring the model to its workers, if one of them lacks it.

    It keeps the model for workers that come later. Of other clusters every machine needs the folder
    at the same path.
    """
    client = _client()
    if client is None or all(client.run(holds_model, folder, manifest.fingerprint).values()):
        return
    plugins: Any = import_extra("distributed.diagnostics.plugin", "cluster")
    with temporary_folder() as scratch:
        archive = scratch / f"{manifest.fingerprint}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for name in (MANIFEST, *manifest.files):
                packed.write(folder / name, name)
        client.register_plugin(plugins.UploadFile(str(archive), load=False), name=archive.name)


def _client() -> Any:
    from joblib.parallel import get_active_backend

    return getattr(get_active_backend()[0], "client", None)


def find_model(folder: Path, fingerprint: str) -> Path:
    """Return where a worker has the model.

    Raises
    ------
    ModelFolderError
        If it has it nowhere.
    """
    if holds_model(folder, fingerprint):
        return folder
    brought = _brought(fingerprint)
    if brought is None:
        raise ModelFolderError(
            f"this worker has no {folder}, or another model there; put the model folder where all "
            "workers see it by the same path"
        )
    target = brought.with_suffix("")
    if not target.exists():
        with scratch_folder(target) as scratch:
            with zipfile.ZipFile(brought) as packed:
                packed.extractall(scratch)
            scratch.rename(target)
    return target


def _brought(fingerprint: str) -> Path | None:
    """Return the model that Dask has brought to this worker, packed."""
    try:
        distributed: Any = importlib.import_module("distributed")
        archive = Path(distributed.get_worker().local_directory) / f"{fingerprint}.zip"
    except (ImportError, ValueError):  # no worker of Dask
        return None
    return archive if archive.is_file() else None
