"""The tokenizer of a GGUF file, rebuilt as a ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ExportError, first_line
from .pretokenizers import DIGIT, GPT2, Pretokenizer, pretokenizer
from .sentencepiece import sentencepiece
from .vocabulary import TokenKind, Vocabulary

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

__all__ = ["RebuiltTokenizer", "rebuild_tokenizer"]

BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
# Phi-3's tokens swallow the spaces after them, but for these. The file does not say so.
KEEP_SPACES = ("<unk>", "<s>", "<|endoftext|>")


@dataclass(frozen=True)
class RebuiltTokenizer:
    """A tokenizer and what it puts before a text.

    Parameters
    ----------
    content : str
        Of a ``tokenizer.json``.
    prefix : tuple of int
        Token ids put before a text.
    empty : int
        Token id that stands for no text.
    """

    content: str
    prefix: tuple[int, ...]
    empty: int


def rebuild_tokenizer(metadata: Mapping[str, Any], architecture: str) -> RebuiltTokenizer:
    """Rebuild the tokenizer that a GGUF file describes.

    Parameters
    ----------
    metadata : mapping of str to object
        The file's, with its vocabulary.
    architecture : str
        The file's ``general.architecture``.

    Raises
    ------
    ExportError
        If it is of a kind, or cuts words in a way, that is not known, or its parts do not fit
        together.
    """
    vocabulary = Vocabulary.of(metadata)
    kind = vocabulary.settings.get("model")
    if kind not in (BYTE_LEVEL, SENTENCEPIECE):
        raise ExportError(
            f"a tokenizer of kind {kind!r} cannot be rebuilt; {BYTE_LEVEL!r} (byte-level) and "
            f"{SENTENCEPIECE!r} (SentencePiece) can"
        )
    plain = kind == SENTENCEPIECE
    words = None if plain else pretokenizer(vocabulary.settings.get("pre"))
    try:
        tokenizer = sentencepiece(vocabulary) if words is None else _byte_level(vocabulary, words)
        _add_tokens(tokenizer, vocabulary, plain, plain and architecture == "phi3")
    except ExportError:
        raise
    except Exception as error:  # tokenizers raises plain Exception
        raise ExportError(f"the tokenizer cannot be rebuilt: {first_line(error)}") from error
    begins = vocabulary.settings.get("add_bos_token", plain if words is None else words.begins)
    start = vocabulary.special("bos", default=1 if plain else None)
    end = vocabulary.special("eos", default=2 if plain else None)
    if begins and start is None:
        raise ExportError("the file asks for a beginning-of-text token but names none")
    empty = end if start is None else start
    if empty is None:
        raise ExportError("the tokenizer has neither a bos nor an eos token")
    prefix = (start,) if begins and start is not None else ()
    _put_before(tokenizer, vocabulary, prefix)
    return RebuiltTokenizer(tokenizer.to_str(), prefix, empty)


def _byte_level(vocabulary: Vocabulary, words: Pretokenizer) -> Tokenizer:
    """Return a byte-level BPE tokenizer with everything but the added tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    lines = vocabulary.settings.get("merges")
    if not lines:
        raise ExportError("the file has no merges (tokenizer.ggml.merges)")
    # A token may begin with what parts the two of a merge, but not hold it further on.
    cuts = [(line, line.find(" ", 1)) for line in lines]
    merges = [(line[:cut], line[cut + 1 :]) for line, cut in cuts]
    model = models.BPE(vocabulary.index(), merges, ignore_merges=words.whole_words)
    tokenizer = Tokenizer(model)
    if words.nfc:
        tokenizer.normalizer = normalizers.NFC()
    cuts = _cuts(words.patterns)
    tokenizer.pre_tokenizer = cuts[0] if len(cuts) == 1 else pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _cuts(patterns: tuple[str, ...]) -> list[Any]:
    """Return pre-tokenizers that cut words, in the form that the originals have."""
    from tokenizers import Regex, pre_tokenizers

    own = patterns[-1] == GPT2  # the byte level cuts like that by itself
    return [
        pre_tokenizers.Digits(individual_digits=True)
        if pattern == DIGIT
        else pre_tokenizers.Split(Regex(pattern), "isolated")
        for pattern in (patterns[:-1] if own else patterns)
    ] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own)]


def _add_tokens(
    tokenizer: Tokenizer, vocabulary: Vocabulary, plain: bool, swallow_spaces: bool
) -> None:
    """Mark the tokens that are found in a text before anything else."""
    from tokenizers import AddedToken

    def added(token: str, special: bool) -> AddedToken:
        swallows = swallow_spaces and token not in KEEP_SPACES
        # SentencePiece's own tokens may hold spaces, by the sign that the normalizer puts.
        marked = plain and not special and not swallows
        return AddedToken(token, special=special, rstrip=swallows, normalized=marked)

    special = vocabulary.ids(TokenKind.CONTROL, TokenKind.UNKNOWN)
    tokenizer.add_special_tokens([added(vocabulary.tokens[i], True) for i in special])
    own = vocabulary.ids(TokenKind.USER_DEFINED)
    tokenizer.add_tokens([added(vocabulary.tokens[i], False) for i in own])


def _put_before(tokenizer: Tokenizer, vocabulary: Vocabulary, prefix: tuple[int, ...]) -> None:
    from tokenizers import processors

    if prefix:
        names = [vocabulary.tokens[i] for i in prefix]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*names, "$A"],
            pair=[*names, "$A", *names, "$B:1"],
            special_tokens=list(zip(names, prefix, strict=True)),
        )
