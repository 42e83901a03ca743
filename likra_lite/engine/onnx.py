"""A language model in a folder, run by ONNX Runtime: token trees to log-probabilities."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError, ModelFolderError
from ..validation import as_path, check_integer
from .features import Features, OutputProjection
from .folder import read_manifest, unchanged
from .forward import TOKEN_BUDGET
from .head import Head, Lora, OutputMatrix
from .manifest import ADAPTED, TOKENIZER, WEIGHTS, Manifest
from .sessions import Sessions, available_threads, open_sessions
from .tokens import TextEncoder
from .trees import TokenTree

__all__ = ["LanguageModel"]

FloatArray = NDArray[np.float32]

# Rows of one head call: logits that fit in the cache, but enough rows to be worth a pass over
# a large vocabulary.
LOGIT_BYTES = 4 * 2**20
MIN_HEAD_ROWS = 64

ROUNDING = 1e-3  # nats by which the log of a probability may be above 0


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
        check_integer("n_threads", n_threads, 1, optional=True)
        given = as_path("folder", folder)
        self.folder = given.resolve()
        self.n_threads = n_threads
        self.manifest: Manifest = read_manifest(given)

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
        encoder = TextEncoder(
            path=self.folder / TOKENIZER,
            prefix=tuple(tokens["prefix"]),
            empty=tokens["empty"],
            max_length=self.manifest.max_length,
            vocab_size=self.manifest.vocab_size,
        )
        with unchanged(self.folder, self.manifest, TOKENIZER):
            _ = encoder.tokenizer  # read while it is the one that belongs to the model
        return encoder

    @property
    def projection(self) -> OutputProjection:
        """The vocabulary projection, for fitting heads."""
        scale = self.manifest.head["logit_scale"]
        return OutputProjection(self._output_embedding, scale, self._open().gradient)

    @cached_property
    def _output_embedding(self) -> FloatArray:
        """Read the weight of the vocabulary projection, of shape (V, H)."""
        from safetensors import safe_open

        with (
            unchanged(self.folder, self.manifest, WEIGHTS),
            safe_open(self.folder / WEIGHTS, framework="numpy") as weights,
        ):
            return weights.get_tensor(self.manifest.head["weight"])

    @property
    def hidden_size(self) -> int:
        """Width H of the final hidden state."""
        return self.manifest.hidden_size

    def _open(self) -> Sessions:
        threads = self.n_threads or available_threads()
        return open_sessions(self.folder, self.manifest, threads)

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
        return self._open().trunk.run(trees, token_budget, advance)[0]

    def token_log_probs(
        self, features: Features, heads: Sequence[Head | None]
    ) -> NDArray[np.float64]:
        """Return the log-probability of every continuation token under several heads.

        Parameters
        ----------
        features : Features
        heads : sequence of OutputMatrix or None
            None is the base model. A :class:`Lora` changes the features themselves, see
            :meth:`read_and_score`.

        Returns
        -------
        ndarray of shape (K, M)
            In nats.

        Raises
        ------
        LikraError
            If a head is no output matrix.
        """
        graph = self._open().head
        zero = np.zeros((self.hidden_size,) * 2, np.float32)
        matrices = []
        for head in heads:
            if isinstance(head, Lora):
                raise LikraError("LoRA heads score token trees, not features of the base model")
            matrices.append(zero if head is None else head.matrix)
        deltas = np.stack(matrices).astype(np.float32, copy=False)
        row_bytes = 4 * len(deltas) * self.manifest.vocab_size
        step = max(MIN_HEAD_ROWS, LOGIT_BYTES // row_bytes)
        result = np.empty((len(deltas), len(features.targets)))
        for part, tokens, rows in features.chunks(step):
            (result[:, tokens],) = graph.run(
                None,
                {
                    "hidden": features.hidden[part],
                    "delta": deltas,
                    "rows": rows,
                    "targets": features.targets[tokens],
                },
            )
        return self._checked(result)

    def _checked(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log-probabilities that are ones; rounding may leave one just above 0."""
        if not ((log_probs > -np.inf) & (log_probs <= ROUNDING)).all():
            worst = log_probs[~((log_probs > -np.inf) & (log_probs <= ROUNDING))][0]
            raise LikraError(
                f"the model {self.folder} gave {worst} for the log of a probability: its weights "
                "or a head hold numbers that are none, or far too large; export or fit again"
            )
        return np.minimum(log_probs, 0.0)

    def read_and_score(
        self,
        trees: Sequence[TokenTree],
        heads: Sequence[Head | None],
        advance: Callable[[int], object] | None = None,
        beside_lora: bool = False,
    ) -> tuple[Features, NDArray[np.float64]]:
        """Run token trees and return the log-probability of every token under several heads.

        Parameters
        ----------
        trees : sequence of TokenTree
        heads : sequence of Head or None
            None is the base model.
        advance : callable, optional
            Called with the number of trees done after each forward pass.
        beside_lora : bool
            Read with the graph that LoRA heads need even if none is among `heads`: others are
            scored beside these, and so the weights are in memory once.

        Returns
        -------
        features : Features
            Of the first head; rows, targets and lengths are those of all.
        log_probs : ndarray of shape (K, M)
            In nats.

        Raises
        ------
        ModelFolderError
            If there are LoRA heads and the folder has no graph that takes them.
        """
        inside = [head if isinstance(head, Lora) else None for head in heads]
        behind = [head if isinstance(head, OutputMatrix) else None for head in heads]
        adapted = beside_lora or any(head is not None for head in inside)
        if adapted and not self.takes_lora:
            raise ModelFolderError(
                f"{self.folder} has no {ADAPTED}, which LoRA heads need; export the model again"
            )
        if not adapted:
            features = self.features(trees, advance=advance)
            return features, self.token_log_probs(features, behind)
        distinct = list(dict.fromkeys(inside))
        read = self._open().adapted.with_heads(distinct).run(trees, advance=advance)
        rows = [
            self.token_log_probs(read[distinct.index(lora)], [matrix])
            for lora, matrix in zip(inside, behind, strict=True)
        ]
        return read[0], np.concatenate(rows)

    @property
    def takes_lora(self) -> bool:
        """Whether the folder has a graph that takes LoRA heads."""
        return ADAPTED in self.manifest.files

    def log_likelihoods(
        self, features: Features, heads: Sequence[Head | None]
    ) -> NDArray[np.float64]:
        """Return each continuation's log-likelihood, the sum over its tokens.

        Parameters
        ----------
        features : Features
        heads : sequence of OutputMatrix or None
            None is the base model.

        Returns
        -------
        ndarray of shape (K, n_continuations)
            In nats.
        """
        tokens = self.token_log_probs(features, heads)
        return np.add.reduceat(tokens, features.offsets[:-1], axis=1)
