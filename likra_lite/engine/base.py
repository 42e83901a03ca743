"""The protocol of engines: what the rest of the library asks of a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .features import Features, OutputProjection
from .head import Head
from .manifest import Manifest
from .tokens import TextEncoder
from .trees import TokenTree

__all__ = ["Engine"]


class Engine(Protocol):
    """Token trees to hidden states and log-probabilities.

    :class:`likra_lite.LanguageModel` is the engine on ONNX Runtime. Log-probabilities are in
    nats; a head that is None is the model as it is.
    """

    @property
    def folder(self) -> Path:
        """The model folder."""

    @property
    def n_threads(self) -> int | None:
        """Threads of one forward pass; all physical cores if None."""

    @property
    def manifest(self) -> Manifest:
        """Dimensions, special tokens, default prompt and checksums."""

    @property
    def encoder(self) -> TextEncoder:
        """Contexts and continuations to token trees."""

    @property
    def hidden_size(self) -> int:
        """Width H of the final hidden state."""

    @property
    def projection(self) -> OutputProjection:
        """The vocabulary projection, which output matrices are fitted through."""

    def features(
        self,
        trees: Sequence[TokenTree],
        token_budget: int = ...,
        advance: Callable[[int], object] | None = None,
    ) -> Features:
        """Return the final hidden states where continuations are predicted."""

    def token_log_probs(
        self, features: Features, heads: Sequence[Head | None]
    ) -> NDArray[np.float64]:
        """Return the log-probability of every token under output matrices, shape (K, M)."""

    def log_likelihoods(
        self, features: Features, heads: Sequence[Head | None]
    ) -> NDArray[np.float64]:
        """Return the sums over each continuation's tokens, shape (K, n_continuations)."""

    def read_and_score(
        self,
        trees: Sequence[TokenTree],
        heads: Sequence[Head | None],
        advance: Callable[[int], object] | None = None,
        beside_lora: bool = False,
    ) -> tuple[Features, NDArray[np.float64]]:
        """Return features under the first head, and what `token_log_probs` does, for any heads.

        With `beside_lora`, as it would where LoRA heads are among them, to the last bit.
        """
