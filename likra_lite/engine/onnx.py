"""A language model in a folder, run by ONNX Runtime: token trees to log-probabilities."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFolderError
from .features import Features, OutputProjection
from .folder import ADAPTED, TOKENIZER, WEIGHTS, Manifest, check_weights, read_manifest
from .forward import TOKEN_BUDGET
from .head import LoraAdapter
from .sessions import Sessions, available_threads, open_sessions
from .tokens import TextEncoder
from .trees import TokenTree

__all__ = ["Head", "LanguageModel"]

FloatArray = NDArray[np.float32]
Head = FloatArray | LoraAdapter

# Rows of one head call: logits that fit in the cache, but enough rows to be worth a pass over
# a large vocabulary.
LOGIT_BYTES = 4 * 2**20
MIN_HEAD_ROWS = 64


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

    @property
    def projection(self) -> OutputProjection:
        """The vocabulary projection, for fitting heads."""
        scale = self.manifest.head["logit_scale"]
        return OutputProjection(self._output_embedding, scale, self._open().gradient)

    @cached_property
    def _output_embedding(self) -> FloatArray:
        """Read the weight of the vocabulary projection, of shape (V, H)."""
        from safetensors import safe_open

        check_weights(self.folder, self.manifest)
        with safe_open(self.folder / WEIGHTS, framework="numpy") as weights:
            return weights.get_tensor(self.manifest.head["weight"])

    @property
    def hidden_size(self) -> int:
        """Width H of the final hidden state."""
        return self.manifest.hidden_size

    def _open(self) -> Sessions:
        threads = self.n_threads or available_threads()
        return open_sessions(self.folder, self.manifest.fingerprint, threads)

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
        return self._open().trunk.read(trees, token_budget, advance)[0]

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
        head = self._open().head
        deltas = np.ascontiguousarray(deltas, dtype=np.float32)
        row_bytes = 4 * len(deltas) * self.manifest.vocab_size
        step = max(MIN_HEAD_ROWS, LOGIT_BYTES // row_bytes)
        result = np.empty((len(deltas), len(features.targets)))
        for part, tokens, rows in features.chunks(step):
            (result[:, tokens],) = head.run(
                None,
                {
                    "hidden": features.hidden[part],
                    "delta": deltas,
                    "rows": rows,
                    "targets": features.targets[tokens],
                },
            )
        return result

    def token_log_probs_of_heads(
        self,
        trees: Sequence[TokenTree],
        heads: Sequence[Head],
        advance: Callable[[int], object] | None = None,
    ) -> tuple[Features, NDArray[np.float64]]:
        """Read token trees and return the log-probability of every token under several heads.

        Parameters
        ----------
        trees : sequence of TokenTree
        heads : sequence of ndarray of shape (H, H) or LoraAdapter
            Output adapters, zero for the base model, and LoRA heads.
        advance : callable, optional
            Called with the number of trees done after each forward pass.

        Returns
        -------
        features : Features
            Of the first head; rows, targets and lengths are those of all.
        log_probs : ndarray of shape (K, M)
            In nats.
        """
        if not self.has_adapters:
            features = self.features(trees, advance=advance)
            deltas = [head for head in heads if not isinstance(head, LoraAdapter)]
            if len(deltas) < len(heads):
                raise ModelFolderError(
                    f"{self.folder} has no {ADAPTED}, which LoRA heads need; fit them again"
                )
            return features, self.token_log_probs(features, np.stack(deltas))
        # Everything is read with one graph, so that the weights are in memory once.
        adapters = [head if isinstance(head, LoraAdapter) else None for head in heads]
        distinct = list(dict.fromkeys(adapters))
        read = self._open().adapted.reader(distinct).read(trees, advance=advance)
        rows = []
        for head, adapter in zip(heads, adapters, strict=True):
            zero = np.zeros((self.hidden_size,) * 2, np.float32)
            delta = zero if isinstance(head, LoraAdapter) else head
            rows.append(self.token_log_probs(read[distinct.index(adapter)], delta[None]))
        return read[0], np.concatenate(rows)

    @property
    def has_adapters(self) -> bool:
        """Whether the folder has a graph that takes LoRA heads."""
        return ADAPTED in self.manifest.files

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
