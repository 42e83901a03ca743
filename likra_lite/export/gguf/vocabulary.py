"""The tokens of a GGUF file, with their kinds and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExportError

__all__ = ["TokenKind", "Vocabulary"]

PREFIX = "tokenizer.ggml."


class TokenKind(IntEnum):
    """What a token is for, by the numbers of ``tokenizer.ggml.token_type``."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids.

    Parameters
    ----------
    tokens : list of str
    kinds : ndarray of int, shape (n_tokens,)
        See :class:`TokenKind`.
    scores : ndarray of float, shape (n_tokens,), or None
        Merges with a higher score come first. SentencePiece only.
    settings : mapping of str to object
        The rest of the metadata under ``tokenizer.ggml.``, without that prefix.
    """

    tokens: list[str]
    kinds: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Vocabulary:
        """Find the vocabulary in a file's metadata.

        Raises
        ------
        ExportError
            If there is none, or its parts have different lengths.
        """
        settings = {
            name.removeprefix(PREFIX): value
            for name, value in metadata.items()
            if name.startswith(PREFIX)
        }
        tokens = settings.pop("tokens", None)
        if not tokens:
            raise ExportError("the file has no vocabulary (tokenizer.ggml.tokens)")
        kinds = settings.pop("token_type", None)
        if kinds is None:
            kinds = np.full(len(tokens), TokenKind.NORMAL, np.int32)
        scores = settings.pop("scores", None)
        for name, values in (("token_type", kinds), ("scores", scores)):
            if values is not None and len(values) != len(tokens):
                raise ExportError(
                    f"the vocabulary has {len(tokens)} tokens but {len(values)} values of {name}"
                )
        return cls(tokens, kinds, scores, settings)

    def ids(self, *kinds: TokenKind) -> list[int]:
        """Return the ids of the tokens of some kinds."""
        return np.flatnonzero(np.isin(self.kinds, kinds)).tolist()

    def index(self) -> dict[str, int]:
        """Return token to id, without what stands for no text at all."""
        used = self.kinds != TokenKind.UNUSED
        return {token: i for i, token in enumerate(self.tokens) if used[i] and token}

    def special(self, name: str, default: int | None = None) -> int | None:
        """Return the id of the ``bos``, ``eos`` or ``unknown`` token, if there is one."""
        token = self.settings.get(f"{name}_token_id", default)
        return None if token is None or not 0 <= token < len(self.tokens) else int(token)
