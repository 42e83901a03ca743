"""Open ONNX Runtime sessions: a few per process, shared by all who use a model."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFolderError, first_line
from .folder import ADAPTED, GRADIENT, HEAD, TRUNK, check_weights, read_manifest
from .forward import LoraTrunkRunner, TrunkRunner

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

__all__ = ["Sessions", "available_threads", "open_graph", "open_sessions", "session_options"]


class Sessions:
    """The graphs of a model folder, each opened when it is first used.

    Parameters
    ----------
    folder : Path
    n_threads : int
    """

    def __init__(self, folder: Path, n_threads: int) -> None:
        self.folder = folder
        self.n_threads = n_threads

    @cached_property
    def trunk(self) -> TrunkRunner:
        """Token trees to hidden states."""
        return TrunkRunner(self._open(TRUNK))

    @cached_property
    def adapted(self) -> LoraTrunkRunner:
        """Token trees to the hidden states of several LoRA heads."""
        return LoraTrunkRunner(self._open(ADAPTED), self.folder / ADAPTED)

    @property
    def has_opened_adapted(self) -> bool:
        """Whether :attr:`adapted` is in memory."""
        return "adapted" in vars(self)

    @cached_property
    def head(self) -> InferenceSession:
        """Hidden states to log-probabilities."""
        return self._open(HEAD)

    @cached_property
    def gradient(self) -> InferenceSession:
        """Hidden states to a loss and its gradient."""
        return self._open(GRADIENT)

    def _open(self, name: str) -> InferenceSession:
        return open_graph(self.folder / name, self.n_threads)


def open_graph(path: Path, n_threads: int) -> InferenceSession:
    """Open one graph of a model folder; it stays open as long as the session is kept.

    Raises
    ------
    ModelFolderError
        If ONNX Runtime cannot run it.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(
            str(path), session_options(n_threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no useful base class
        raise ModelFolderError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open {path}: {first_line(error)}"
        ) from error


def session_options(n_threads: int) -> SessionOptions:
    """Return the options that suit passes of many shapes on cores shared with others."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures come back as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Every batch has another shape: remembering a memory plan for each only costs memory.
    options.enable_mem_pattern = False
    return options


# Sessions cost seconds and hundreds of megabytes to open: the last few are kept, by the
# model's checksum and the number of threads.
MAX_OPEN = 4
_open_sessions: OrderedDict[tuple[str, int], Sessions] = OrderedDict()
_inherited: list[object] = []


def _leave_to_parent() -> None:
    """Set a forked parent's sessions aside: their threads are not here, so they must not end."""
    _inherited.append(_open_sessions.copy())
    _open_sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def open_sessions(folder: Path, fingerprint: str, n_threads: int) -> Sessions:
    """Return the sessions of a model, opened once per process, from whichever folder holds it."""
    key = (fingerprint, n_threads)
    sessions = _open_sessions.get(key)
    if sessions is None or sessions.folder != folder:
        manifest = read_manifest(folder)
        if manifest.fingerprint != fingerprint:
            raise ModelFolderError(f"{folder} has been replaced by another model; open it again")
        check_weights(folder, manifest)
    if sessions is None:
        while len(_open_sessions) >= MAX_OPEN:
            _open_sessions.popitem(last=False)
        sessions = _open_sessions[key] = Sessions(folder, n_threads)
    sessions.folder = folder  # the one that is there: what is not open yet is opened from it
    _open_sessions.move_to_end(key)
    return sessions


def available_threads() -> int:
    """Return the number of physical cores that this process may use."""
    from joblib import cpu_count

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where cores cannot be told from threads, it says so
        return int(cpu_count(only_physical_cores=True))
