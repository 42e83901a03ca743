"""A language model in a folder, run by ONNX Runtime: token trees to log-probabilities."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelFolderError, first_line
from .packing import TokenTree, batches, pack
from .ragged import span_indices
from .storage import HEAD, TOKENIZER, TRUNK, WEIGHTS, Manifest, read_manifest
from .tokens import TextEncoder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Features", "LanguageModel", "OutputProjection"]

FloatArray = NDArray[np.float32]

TOKEN_BUDGET = 512  # tokens in one forward pass, padding included
# Rows of one head call: logits that fit in the cache, but enough rows to be worth a pass over
# a large vocabulary.
LOGIT_BYTES = 4 * 2**20
MIN_HEAD_ROWS = 64


@dataclass(frozen=True)
class Features:
    """What the trunk says of some token trees: all that a head needs.

    Attributes
    ----------
    hidden : ndarray of shape (R, H)
        Final hidden states, float32.
    rows : ndarray of shape (M,)
        For every continuation token, the row of `hidden` that predicts it.
    targets : ndarray of shape (M,)
        Those tokens.
    lengths : ndarray of shape (n_continuations,)
        Tokens in each continuation; continuations stand in the order of the trees.
    """

    hidden: FloatArray
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each continuation's tokens begin, of shape (n_continuations + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def take(self, continuations: NDArray[np.int64]) -> Features:
        """Return the features of some continuations only, in the order given."""
        lengths = self.lengths[continuations]
        tokens = span_indices(self.offsets[continuations], lengths)
        used, rows = np.unique(self.rows[tokens], return_inverse=True)
        return Features(self.hidden[used], rows, self.targets[tokens], lengths)


@dataclass(frozen=True)
class OutputProjection:
    """The vocabulary projection in NumPy, for fitting heads.

    Attributes
    ----------
    weight : ndarray of shape (V, H)
        The output embedding.
    bias : ndarray of shape (V,) or None
    logit_scale : float
    softcap : float or None
    """

    weight: FloatArray
    bias: FloatArray | None
    logit_scale: float
    softcap: float | None


Sessions = tuple["InferenceSession", "InferenceSession"]

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


def _sessions(folder: Path, fingerprint: str, n_threads: int) -> Sessions:
    """Return the sessions of a model, opened once per process."""
    key = (fingerprint, n_threads)
    if key not in _open_sessions:
        if read_manifest(folder).fingerprint != fingerprint:
            raise ModelFolderError(f"{folder} has been replaced by another model; open it again")
        while len(_open_sessions) >= MAX_OPEN:
            _open_sessions.popitem(last=False)
        _open_sessions[key] = _open_folder(folder, n_threads)
    _open_sessions.move_to_end(key)
    return _open_sessions[key]


def _open_folder(folder: Path, n_threads: int) -> Sessions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures come back as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Every batch has another shape: remembering a memory plan for each only costs memory.
    options.enable_mem_pattern = False
    try:
        trunk, head = (
            onnxruntime.InferenceSession(
                str(folder / name), options, providers=["CPUExecutionProvider"]
            )
            for name in (TRUNK, HEAD)
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no useful base class
        raise ModelFolderError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open {folder}: {first_line(error)}"
        ) from error
    return trunk, head


def available_threads() -> int:
    """Return the number of physical cores that this process may use."""
    from joblib import cpu_count

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where cores cannot be told from threads, it says so
        return int(cpu_count(only_physical_cores=True))


class LanguageModel:
    """A model folder, opened for scoring.

    Sessions are opened on first use, once per process, and are not part of the object:
    it is small and pickles as its path.

    Parameters
    ----------
    folder : path
        Written by :func:`likra_lite.export.export_model`.
    n_threads : int, optional
        Threads of one forward pass; the physical cores that the process may use by default.

    Attributes
    ----------
    folder : Path
    manifest : Manifest

    Raises
    ------
    ModelFolderError
        If the folder is missing, damaged, or newer than this version reads.
    """

    def __init__(self, folder: str | os.PathLike[str], n_threads: int | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.n_threads = n_threads
        self.manifest: Manifest = read_manifest(folder)

    def __repr__(self) -> str:
        return f"LanguageModel({str(self.folder)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "n_threads": self.n_threads,
            "fingerprint": self.manifest.fingerprint,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["n_threads"])  # type: ignore[misc]
        if self.manifest.fingerprint != state["fingerprint"]:
            raise ModelFolderError(
                f"{self.folder} holds another model than the one that was pickled; "
                "use save and load to keep a model with its heads"
            )

    @cached_property
    def encoder(self) -> TextEncoder:
        """The tokenizer with the boundary, beginning-of-text and truncation rules."""
        tokens = self.manifest.tokens
        return TextEncoder(
            path=self.folder / TOKENIZER,
            prefix=tuple(tokens["prefix"]),
            empty=tokens["empty"],
            max_length=self.manifest.max_length,
        )

    @cached_property
    def projection(self) -> OutputProjection:
        """The vocabulary projection, read from the weights file."""
        from safetensors import safe_open

        head = self.manifest.head
        with safe_open(self.folder / WEIGHTS, framework="numpy") as weights:
            weight = weights.get_tensor(head["weight"])
            bias = None if head["bias"] is None else weights.get_tensor(head["bias"])
        return OutputProjection(weight, bias, head["logit_scale"], head["softcap"])

    @property
    def hidden_size(self) -> int:
        """Width H of the final hidden state."""
        return self.manifest.hidden_size

    def _open(self) -> Sessions:
        threads = self.n_threads or available_threads()
        return _sessions(self.folder, self.manifest.fingerprint, threads)

    def features(
        self,
        trees: Sequence[TokenTree],
        token_budget: int = TOKEN_BUDGET,
        advance: Callable[[int], object] | None = None,
    ) -> Features:
        """Run the trunk over token trees.

        Parameters
        ----------
        trees : sequence of TokenTree
        token_budget : int
            Tokens in one forward pass, padding included.
        advance : callable, optional
            Called with the number of trees done after each forward pass.

        Returns
        -------
        Features
            In the order of `trees`, whatever the batches were.
        """
        trunk, _ = self._open()
        no_past = {
            node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32)
            for node in trunk.get_inputs()
            if node.name.startswith("past.")
        }
        hidden, rows = [], []
        order: list[int] = []
        done = 0
        for indices in batches([len(tree) for tree in trees], token_budget):
            batch = pack(trees, indices)
            feeds = {
                "input_ids": batch.input_ids,
                "position_ids": batch.position_ids,
                "attention_bias": batch.attention_bias,
                "rows": batch.rows,
            }
            (states,) = trunk.run(["hidden"], feeds | no_past)
            hidden.append(states)
            rows.append(batch.target_rows + done)
            done += len(states)
            order.extend(indices)
            if advance is not None:
                advance(len(indices))
        # Back from the order of the batches to the order of the trees.
        counts = np.array([len(tree.targets) for tree in trees], dtype=np.int64)
        starts = np.empty_like(counts)
        packed = counts[order]
        starts[order] = np.cumsum(packed) - packed
        return Features(
            hidden=np.concatenate(hidden),
            rows=np.concatenate(rows)[span_indices(starts, counts)],
            targets=np.concatenate([tree.targets for tree in trees]),
            lengths=np.concatenate([tree.lengths for tree in trees]),
        )

    def token_log_probs(self, features: Features, deltas: FloatArray) -> NDArray[np.float64]:
        """Return the log-probability of every continuation token under several heads.

        Parameters
        ----------
        features : Features
        deltas : ndarray of shape (K, H, H)
            Output adapters: head k reads ``h + h @ deltas[k]``. Zero is the base model.

        Returns
        -------
        ndarray of shape (K, M)
            In nats.
        """
        _, head = self._open()
        deltas = np.ascontiguousarray(deltas, dtype=np.float32)
        row_bytes = 4 * len(deltas) * self.manifest.vocab_size
        step = max(MIN_HEAD_ROWS, LOGIT_BYTES // row_bytes)
        result = np.empty((len(deltas), len(features.targets)))
        order = np.argsort(features.rows, kind="stable")
        rows = features.rows[order]
        for start in range(0, len(features.hidden), step):
            first, last = np.searchsorted(rows, [start, start + step])
            chosen = order[first:last]
            (result[:, chosen],) = head.run(
                None,
                {
                    "hidden": features.hidden[start : start + step],
                    "delta": deltas,
                    "rows": rows[first:last] - start,
                    "targets": features.targets[chosen],
                },
            )
        return result

    def log_likelihoods(self, features: Features, deltas: FloatArray) -> NDArray[np.float64]:
        """Return each continuation's log-likelihood, the sum over its tokens.

        Parameters
        ----------
        features : Features
        deltas : ndarray of shape (K, H, H)

        Returns
        -------
        ndarray of shape (K, n_continuations)
            In nats.
        """
        tokens = self.token_log_probs(features, deltas)
        return np.add.reduceat(tokens, features.offsets[:-1], axis=1)
