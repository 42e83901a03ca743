"""Open ONNX Runtime sessions: a few per process, shared by all who use a model."""

from __future__ import annotations

import mmap
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFolderError, first_line, printable
from .folder import unchanged
from .forward import LoraTrunkRunner, TrunkRunner
from .head import LORA
from .manifest import ADAPTED, GRADIENT, HEAD, LORA_GRADIENT, TRUNK, WEIGHTS, Manifest
from .subgraph import keep_needed

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession, SessionOptions

# What every graph takes, besides the past and LoRA factors.
_TREES = {"input_ids", "position_ids", "attention_bias", "rows"}
INPUTS = {
    TRUNK: _TREES,
    ADAPTED: _TREES,
    HEAD: {"hidden", "delta", "rows", "targets"},
    GRADIENT: {"hidden", "delta", "rows", "targets", "weight", "row_weights"},
    LORA_GRADIENT: {*_TREES, "target_rows", "targets", "weight", "row_weights"},
}
OTHER_INPUTS = ("past.", LORA)
LONGEST = 200  # characters of a message about another graph's inputs

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"  # of a graph from memory
IN_MEMORY = "add_external_initializers_from_files_in_memory"  # a method that came late

__all__ = [
    "Sessions",
    "available_threads",
    "open_graph",
    "open_sessions",
    "read_graph",
    "session_options",
]


class Sessions:
    """The graphs of a model folder, each opened once, when it is first used by some thread.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        What the files of the folder must be when they are opened.
    n_threads : int
    """

    def __init__(self, folder: Path, manifest: Manifest, n_threads: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.n_threads = n_threads
        self._graphs: dict[str, InferenceSession] = {}
        self._lock = threading.Lock()

    @cached_property
    def trunk(self) -> TrunkRunner:
        """Token trees to hidden states."""
        return TrunkRunner(self._open(TRUNK))

    @cached_property
    def adapted(self) -> LoraTrunkRunner:
        """Token trees to the hidden states of several LoRA heads."""
        return LoraTrunkRunner(self._open(ADAPTED), self.folder / ADAPTED)

    @cached_property
    def head(self) -> InferenceSession:
        """Hidden states to log-probabilities."""
        return self._open(HEAD)

    @cached_property
    def gradient(self) -> InferenceSession:
        """Hidden states to a loss and its gradient."""
        return self._open(GRADIENT)

    def _open(self, name: str) -> InferenceSession:
        with self._lock:
            if name not in self._graphs:
                self._graphs[name] = open_graph(self.folder, self.manifest, name, self.n_threads)
            return self._graphs[name]


def open_graph(
    folder: Path,
    manifest: Manifest,
    name: str,
    n_threads: int,
    outputs: Collection[str] | None = None,
    prepacked: bool = True,
) -> InferenceSession:
    """Open one graph of a model folder; it stays open as long as the session is kept.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        As it was read when the folder was opened.
    name : str
        Of the graph's file.
    n_threads : int
    outputs : collection of str, optional
        Those that are wanted; what only others depend on is not computed. All by default.
    prepacked : bool, default=True
        Whether ONNX Runtime lays weights out anew for its products, beside those in the file.

    Raises
    ------
    ModelFolderError
        If the graph or the weights are not those of the manifest, or ONNX Runtime cannot run
        it.
    """
    import onnxruntime

    path = folder / name
    with unchanged(folder, manifest, name, WEIGHTS):
        model = read_graph(path)
        options = session_options(n_threads)
        if not prepacked:
            options.add_session_config_entry("session.disable_prepacking", "1")
        source: str | bytes = str(path)
        if outputs is not None:
            keep_needed(model.graph, outputs)
            options.add_session_config_entry(WEIGHTS_FOLDER, str(folder))
            source = model.SerializeToString()
        try:
            with _linked_weights(folder, options):
                session = onnxruntime.InferenceSession(
                    source, options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # ONNX Runtime's own exceptions share no useful base class
            raise ModelFolderError(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {path}: {first_line(error)}"
            ) from error
    found = {node.name for node in session.get_inputs() if not node.name.startswith(OTHER_INPUTS)}
    if found != INPUTS[name]:
        raise ModelFolderError(
            f"{path} takes {', '.join(sorted(found))[:LONGEST] or 'nothing'}, expected "
            f"{', '.join(sorted(INPUTS[name]))}; the model folder is damaged, write it again"
        )
    return session


def read_graph(path: Path) -> ModelProto:
    """Return the graph in a file, without its weights.

    Raises
    ------
    ModelFolderError
        If it is no graph, or keeps tensors anywhere but in the weights file.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf
        raise ModelFolderError(f"{path} is no ONNX graph: {first_line(error)}") from error
    graph = model.graph
    constants = [a.t for node in graph.node for a in node.attribute if a.HasField("t")]
    for tensor in [*graph.initializer, *constants]:
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value != WEIGHTS:
                raise ModelFolderError(
                    f"{path} reads {printable(repr(entry.value), 80)}; the graphs of a model "
                    f"folder keep their weights in {WEIGHTS}"
                )
    return model


@contextmanager
def _linked_weights(folder: Path, options: SessionOptions) -> Iterator[None]:
    """Read weights behind a symbolic link, which ONNX Runtime itself follows in few cases."""
    weights = folder / WEIGHTS
    if not weights.is_symlink() or not hasattr(options, IN_MEMORY):
        yield
        return
    with (
        weights.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        getattr(options, IN_MEMORY)([WEIGHTS], [content], [len(content)])
        yield


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
_lock = threading.Lock()


def _leave_to_parent() -> None:
    """Set a forked parent's sessions aside: their threads are not here, so they must not end."""
    global _lock
    _lock = threading.Lock()
    _inherited.append(_open_sessions.copy())
    _open_sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def open_sessions(folder: Path, manifest: Manifest, n_threads: int) -> Sessions:
    """Return the sessions of a model, opened once per process, from whichever folder holds it.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        As it was read when the folder was opened.
    n_threads : int

    Raises
    ------
    ModelFolderError
        If the folder holds another model by now.
    """
    key = (manifest.fingerprint, n_threads)
    with _lock:
        sessions = _open_sessions.get(key)
        if sessions is None or sessions.folder != folder:
            with unchanged(folder, manifest, *manifest.model_files):
                pass
        if sessions is None:
            while len(_open_sessions) >= MAX_OPEN:
                _open_sessions.popitem(last=False)
            sessions = _open_sessions[key] = Sessions(folder, manifest, n_threads)
        # The folder that is there: what is not open yet is opened from it.
        sessions.folder, sessions.manifest = folder, manifest
        _open_sessions.move_to_end(key)
        return sessions


def available_threads() -> int:
    """Return the number of physical cores that this process may use."""
    from joblib import cpu_count

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where cores cannot be told from threads, it says so
        return int(cpu_count(only_physical_cores=True))
