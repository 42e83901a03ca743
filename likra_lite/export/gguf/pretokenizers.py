r"""How byte-level tokenizers cut a text into words, by the names that GGUF files use.

A GGUF file says only the name (``tokenizer.ggml.pre``); what it stands for is what the original
tokenizer does. Each expression cuts the pieces that those before it left; what no expression
matches stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ExportError

__all__ = ["DIGIT", "GPT2", "PRETOKENIZERS", "Pretokenizer", "pretokenizer"]

DIGIT = r"\p{N}"
CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
ANY_CASE = rf"(?i:{CONTRACTIONS})"
GPT2 = rf"{CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
LINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BEFORE_WORD = r"[^\r\n\p{L}\p{N}]?"
PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"


def _tiktoken(digits: str) -> str:
    return f"{ANY_CASE}|{LETTERS}|{digits}|{SYMBOLS}|{LINES_AND_SPACES}"


def _by_case(digits: str, ending: str) -> str:
    """Words that end where a capital follows a small letter."""
    words = (f"{BEFORE_WORD}{UPPER}*{LOWER}+{ending}", f"{BEFORE_WORD}{UPPER}+{LOWER}*{ending}")
    return "|".join((*words, digits, PATHS, LINES_AND_SPACES))


@dataclass(frozen=True)
class Pretokenizer:
    r"""One way to cut text into words.

    Parameters
    ----------
    patterns : tuple of str
        Regular expressions in Oniguruma's syntax, applied one after the other.
    whole_words : bool
        Whether a word that is a token is taken as it is, without merges.
    nfc : bool
        Whether the text is first brought to Unicode's normal form C.
    begins : bool
        Whether the beginning-of-text token is put before a text if the file does not say.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    nfc: bool = False
    begins: bool = False


_LLAMA3 = Pretokenizer((_tiktoken(r"\p{N}{1,3}"),), whole_words=True, begins=True)
_CL100K = Pretokenizer((_tiktoken(r"\p{N}{1,3}"),))
_QWEN2 = Pretokenizer((_tiktoken(DIGIT),), nfc=True)
_DIGITS = Pretokenizer((DIGIT, GPT2))

PRETOKENIZERS: dict[str, Pretokenizer] = {
    # What llama.cpp does with files that name no better; the original is unknown then.
    "default": Pretokenizer((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    "gpt-2": Pretokenizer((GPT2,)),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "codeshell": _DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "smaug-bpe": _CL100K,
    "dbrx": _CL100K,  # Phi-4 too
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "deepseek-coder": Pretokenizer(
        (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGIT)
    ),
    "seed-coder": Pretokenizer(
        (rf"{ANY_CASE}|{LETTERS}|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{LINES_AND_SPACES}",)
    ),
    "tekken": Pretokenizer((_by_case(DIGIT, ""),), whole_words=True, begins=True),
    "gpt-4o": Pretokenizer((_by_case(r"\p{N}{1,3}", f"{ANY_CASE}?"),)),
}


def pretokenizer(name: str | None) -> Pretokenizer:
    """Return the way to cut that a name stands for.

    Raises
    ------
    ExportError
        If it is unknown, or missing as in files from before May 2024.
    """
    if name is None:
        raise ExportError(
            "the file does not say how its tokenizer cuts words (tokenizer.ggml.pre), as files "
            "made before May 2024 do not; use a newer one of the same model"
        )
    if name not in PRETOKENIZERS:
        raise ExportError(
            f"the pre-tokenizer {name!r} is not known; known are {', '.join(PRETOKENIZERS)}"
        )
    return PRETOKENIZERS[name]
