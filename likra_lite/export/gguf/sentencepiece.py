"""SentencePiece tokenizers from the tokens and scores of a GGUF file.

A file of this kind has no merges. Two neighbours merge if what they make is a token, and the
pair whose token has the highest score merges first. That is byte-pair encoding whose merges are
all pairs of tokens that join to a token, in the order of scores. A model whose scores are
log-probabilities, hence no whole numbers, is a unigram model (Kudo 2018) instead, which takes the
most probable tokens; llama.cpp merges there too, and gets other tokens than the model was
trained with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ExportError
from .vocabulary import TokenKind, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SPACE", "sentencepiece"]

SPACE = "\u2581"  # stands for a space within tokens
ADDED_LATER = -1000.0  # score of tokens that are not SentencePiece's own, by converters' convention
IMPOSSIBLE = -1e6  # log-probability of what is no text


def sentencepiece(vocabulary: Vocabulary) -> Tokenizer:
    """Return a tokenizer with everything but the added tokens.

    Raises
    ------
    ExportError
        If the scores do not tell how tokens merge.
    """
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(_model(vocabulary))
    marked = normalizers.Replace(" ", SPACE)
    if vocabulary.settings.get("remove_extra_whitespaces", False):
        # Lines do not count: ^ and $ would match at each. At the end, the sign is a space too.
        at_start, within = normalizers.Replace(Regex(r"\A +"), ""), Regex(" {2,}")
        at_end = normalizers.Replace(Regex(rf"{SPACE}+\z"), "")
        steps = [at_start, normalizers.Replace(within, " "), marked, at_end]
    else:
        steps = [marked]
    tokenizer.normalizer = normalizers.Sequence(steps)
    space_before = bool(vocabulary.settings.get("add_space_prefix", True))
    if space_before:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            _space_before(vocabulary.kinds, vocabulary.scores)
        )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        + [decoders.Strip(" ", 1, 0)] * space_before
    )
    return tokenizer


def _model(vocabulary: Vocabulary) -> Any:
    from tokenizers import models

    normal = vocabulary.ids(TokenKind.NORMAL)
    scores = None if vocabulary.scores is None else vocabulary.scores.astype(float)
    if scores is None or not normal or np.ptp(scores[normal]) == 0:
        raise ExportError(
            "the file has no scores of its tokens (tokenizer.ggml.scores), so how they merge is "
            "not known"
        )
    unknown = vocabulary.special("unknown", default=0)
    byte_fallback = len(vocabulary.ids(TokenKind.BYTE)) == 256
    if np.any(scores[normal] % 1):
        scores[vocabulary.kinds != TokenKind.NORMAL] = IMPOSSIBLE
        pieces = list(zip(vocabulary.tokens, scores.tolist(), strict=True))
        return models.Unigram(pieces, unk_id=unknown, byte_fallback=byte_fallback)
    return models.BPE(
        vocabulary.index(),
        _merges(vocabulary.tokens, normal, scores),
        unk_token=None if unknown is None else vocabulary.tokens[unknown],
        fuse_unk=True,
        byte_fallback=byte_fallback,
    )


def _merges(tokens: list[str], normal: list[int], scores: Any) -> list[tuple[str, str]]:
    """Return every pair of normal tokens that joins to one, highest score first."""
    known = {tokens[i] for i in normal}
    merges: list[tuple[str, str]] = []
    for i in sorted(normal, key=lambda i: -scores[i]):
        token = tokens[i]
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        merges.extend((left, right) for left, right in pairs if left in known and right in known)
    return merges


def _space_before(kinds: Any, scores: Any) -> list[Any]:
    """Return pre-tokenizers that put a space before a text, even if it begins with one.

    Metaspace puts none before its own sign. So a first one, whose sign does not occur since the
    normalizer has replaced it, puts a plain space there, which a second one turns into the sign.
    SentencePiece puts a space before the whole text; where its own tokens cut the text first,
    what follows them gets none. Tokens that were added later begin a new text.
    """
    from tokenizers import pre_tokenizers

    own = kinds == TokenKind.USER_DEFINED
    cut_first = np.any(scores[own] != ADDED_LATER)
    return [
        pre_tokenizers.Metaspace(
            " ", prepend_scheme="first" if cut_first else "always", split=False
        ),
        pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=False),
    ]
