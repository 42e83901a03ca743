"""Tokenizers rebuilt from GGUF metadata give the ids of those that the metadata came from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    byte_level_vocabulary,
    sentencepiece_vocabulary,
    write_gguf,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_text import mixed_lines
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from likra_lite.errors import ExportError
from likra_lite.export.gguf.gguf_file import GgufFile
from likra_lite.export.gguf.rebuilt_tokenizer import RebuiltTokenizer, rebuild_tokenizer

LINES = mixed_lines(10_000)
SPACE = "\u2581"
WORD_START = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
WORD_END = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN_WORDS = O200K_WORDS.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")


def split(*patterns: str) -> list[Any]:
    """Return the usual pieces of a tokenizer.json with a regular expression."""
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


# As in the tokenizer.json of the models that the names come from.
ORIGINALS: dict[str, list[Any]] = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "llama-bpe": split(WORD_START + r"\p{N}{1,3}" + WORD_END),
    "dbrx": split(WORD_START + r"\p{N}{1,3}" + WORD_END),
    "qwen2": split(WORD_START + r"\p{N}" + WORD_END),
    "deepseek-coder": [
        *split("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")[:-1],
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "gpt-4o": split(O200K_WORDS),
    "tekken": split(TEKKEN_WORDS),
}


def train_byte_level(pre: str) -> Tokenizer:
    """Return a small tokenizer that cuts words as the model that `pre` is named after."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre in ("llama-bpe", "tekken")))
    tokenizer.normalizer = normalizers.NFC() if pre == "qwen2" else None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(ORIGINALS[pre])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|endoftext|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(mixed_lines(4000, seed=1), trainer)
    tokenizer.add_tokens(
        [AddedToken("<tool>", normalized=False), AddedToken("]/", normalized=False)]
    )
    return tokenizer


def train_sentencepiece(kind: str, **options: Any) -> Any:
    """Return a small SentencePiece model that does not normalise, as those of decoders."""
    sentencepiece = pytest.importorskip("sentencepiece")
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(mixed_lines(4000, seed=1, rare=False)),
        model_writer=content,
        model_type=kind,
        vocab_size=1500,
        normalization_rule_name="identity",
        **{
            "byte_fallback": True,
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
            "character_coverage": 0.99,
            "minloglevel": 2,
            **options,
        },
    )
    return sentencepiece.SentencePieceProcessor(model_proto=content.getvalue())


def rebuild(
    folder: Path, vocabulary: Mapping[str, Any], architecture: str = "llama"
) -> RebuiltTokenizer:
    """Write a file and rebuild its tokenizer."""
    path = write_gguf(folder / "vocabulary.gguf", architecture, vocabulary)
    return rebuild_tokenizer(GgufFile.open(path).metadata, architecture)


def ids(rebuilt: RebuiltTokenizer, lines: list[str]) -> list[list[int]]:
    """Return the ids of texts, without what is put before them."""
    tokenizer = Tokenizer.from_str(rebuilt.content)
    return [each.ids for each in tokenizer.encode_batch(lines, add_special_tokens=False)]


@pytest.mark.parametrize("pre", ORIGINALS)
def test_byte_level(pre: str, tmp_path: Path) -> None:
    original = train_byte_level(pre)
    rebuilt = rebuild(tmp_path, byte_level_vocabulary(original, pre, bos_token_id=0))
    expected = [each.ids for each in original.encode_batch(LINES)]
    assert ids(rebuilt, LINES) == expected
    used = set().union(*expected)
    assert {0, 1, original.token_to_id("]/")} < used
    assert len(used) > 1000
    if pre != "qwen2":  # whose text is normalised
        tokenizer = Tokenizer.from_str(rebuilt.content)
        assert tokenizer.decode_batch(expected, skip_special_tokens=False) == LINES


@pytest.mark.parametrize("space_before", [True, False])
@pytest.mark.parametrize("extra", [False, True])
def test_sentencepiece_bpe(space_before: bool, extra: bool, tmp_path: Path) -> None:
    options = {"add_dummy_prefix": space_before, "remove_extra_whitespaces": extra}
    original = train_sentencepiece("bpe", **options)
    vocabulary = sentencepiece_vocabulary(
        original, add_space_prefix=space_before, remove_extra_whitespaces=extra
    )
    check_sentencepiece(original, rebuild(tmp_path, vocabulary), whole=not extra)


def test_sentencepiece_without_byte_fallback(tmp_path: Path) -> None:
    original = train_sentencepiece("bpe", byte_fallback=False)
    rebuilt = rebuild(tmp_path, sentencepiece_vocabulary(original))
    check_sentencepiece(original, rebuilt, whole=False)


def test_own_tokens_of_sentencepiece_are_cut_out_first(tmp_path: Path) -> None:
    own = ["\n\n", SPACE * 2, SPACE * 3, "return", "=>"]
    options = {"add_dummy_prefix": False, "user_defined_symbols": own}
    original = train_sentencepiece("bpe", **options)
    vocabulary = sentencepiece_vocabulary(original, own, add_space_prefix=False)
    # Converters write them with plain spaces.
    kinds = zip(vocabulary["tokens"], vocabulary["token_type"], strict=True)
    vocabulary["tokens"] = [
        token.replace(SPACE, " ") if kind == USER_DEFINED else token for token, kind in kinds
    ]
    check_sentencepiece(original, rebuild(tmp_path, vocabulary, "gemma"), whole=True)


def check_sentencepiece(original: Any, rebuilt: RebuiltTokenizer, whole: bool) -> None:
    lines = [line for line in LINES if not any(mark in line for mark in ("<s>", "</s>", "<unk>"))]
    assert len(lines) > 9000
    expected = [original.encode(line) for line in lines]
    got = ids(rebuilt, lines)
    assert got == expected
    assert len(set().union(*expected)) > 1000
    if whole:
        tokenizer = Tokenizer.from_str(rebuilt.content)
        decoded = tokenizer.decode_batch(got, skip_special_tokens=False)
        assert decoded == [line.replace(SPACE, " ") for line in lines]


def test_sentencepiece_unigram(tmp_path: Path) -> None:
    """The most probable tokens; two orders of the same tokens are as good as each other."""
    original = train_sentencepiece("unigram")
    lines = [line for line in LINES if not any(mark in line for mark in ("<s>", "</s>", "<unk>"))]
    expected = [original.encode(line) for line in lines]
    got = ids(rebuild(tmp_path, sentencepiece_vocabulary(original)), lines)
    other = [pair for pair in zip(got, expected, strict=True) if pair[0] != pair[1]]
    assert len(other) < 50
    assert all(sorted(ours) == sorted(theirs) for ours, theirs in other)


def merged_by_score(text: str, scores: Mapping[str, float]) -> list[str]:
    """Merge neighbours to the token of the highest score, the leftmost first, to the end."""
    symbols = list(text)
    while True:
        joined = [left + right for left, right in pairwise(symbols)]
        known = [i for i, token in enumerate(joined) if token in scores]
        if not known:
            return symbols
        best = max(known, key=lambda i: (scores[joined[i]], -i))
        symbols[best : best + 2] = [joined[best]]


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.text("ab\u2581", min_size=2, max_size=6), min_size=1, max_size=25, unique=True
    ),
    texts=st.lists(st.text("ab ", max_size=30), min_size=1, max_size=10),
    order=st.randoms(use_true_random=False),
)
def test_merges_go_by_score(pieces: list[str], texts: list[str], order: Any) -> None:
    tokens = ["<unk>", "a", "b", SPACE, *pieces]
    scores = list(range(0, -len(tokens), -1))
    order.shuffle(scores)
    known = dict(zip(tokens[1:], scores[1:], strict=True))
    # What cannot be reached by merging is no token of a trained model.
    known = {
        token: score for token, score in known.items() if len(token) == 1 or reached(token, known)
    }
    kept = ["<unk>", *known]
    rebuilt = rebuild_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": kept,
            "tokenizer.ggml.scores": np.array([0, *known.values()], np.float32),
            "tokenizer.ggml.token_type": np.array([UNKNOWN] + [NORMAL] * len(known)),
            "tokenizer.ggml.add_space_prefix": False,
            "tokenizer.ggml.bos_token_id": 0,
        },
        "llama",
    )
    for text, got in zip(texts, ids(rebuilt, texts), strict=True):
        expected = merged_by_score(text.replace(" ", SPACE), known)
        assert [kept[i] for i in got] == expected


def reached(token: str, known: Mapping[str, float]) -> bool:
    """Tell whether some pair of tokens joins to `token`."""
    return any(token[:cut] in known and token[cut:] in known for cut in range(1, len(token)))


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives(text: str, rebuilt_pair: tuple[Tokenizer, Tokenizer]) -> None:
    byte_level, sentencepiece = rebuilt_pair
    assert decoded(byte_level, text) == text
    assert decoded(sentencepiece, text) == text.replace(SPACE, " ")


@pytest.fixture(scope="module")
def rebuilt_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """Both kinds, rebuilt."""
    folder = tmp_path_factory.mktemp("pair")
    byte_level = byte_level_vocabulary(train_byte_level("llama-bpe"), "llama-bpe", bos_token_id=0)
    by_score = sentencepiece_vocabulary(train_sentencepiece("bpe"))
    both = [rebuild(folder, vocabulary).content for vocabulary in (byte_level, by_score)]
    return Tokenizer.from_str(both[0]), Tokenizer.from_str(both[1])


def decoded(tokenizer: Tokenizer, text: str) -> str:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.decode(encoding.ids, skip_special_tokens=False)


def small_vocabulary(**changes: Any) -> dict[str, Any]:
    """Return a SentencePiece vocabulary written by hand."""
    return {
        "model": "llama",
        "tokens": ["<unk>", "<s>", "</s>", "<tag>", "a", "b", "ab", SPACE, "[PAD8]"],
        "scores": [0.0, 0.0, 0.0, -1000.0, -3.0, -4.0, -1.0, -2.0, -10000.0],
        "token_type": [UNKNOWN, CONTROL, CONTROL, USER_DEFINED, *[NORMAL] * 4, UNUSED],
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "prefix", "empty"),
    [
        ({}, (1,), 1),
        ({"add_bos_token": False}, (), 1),
        ({"bos_token_id": 2}, (2,), 2),
        ({"add_bos_token": False, "bos_token_id": 99, "eos_token_id": 5}, (), 5),
    ],
)
def test_beginning_of_text(
    changes: dict[str, Any], prefix: tuple[int, ...], empty: int, tmp_path: Path
) -> None:
    rebuilt = rebuild(tmp_path, small_vocabulary(**changes))
    assert (rebuilt.prefix, rebuilt.empty) == (prefix, empty)
    tokenizer = Tokenizer.from_str(rebuilt.content)
    assert tokenizer.encode("ab").ids == [*prefix, 7, 6]


@pytest.mark.parametrize(
    ("pre", "flag", "prefix"),
    [
        ("llama-bpe", None, (0,)),
        ("llama-bpe", False, ()),
        ("qwen2", None, ()),
        ("qwen2", True, (0,)),
    ],
)
def test_beginning_of_text_of_byte_level(
    pre: str, flag: bool | None, prefix: tuple[int, ...], tmp_path: Path
) -> None:
    said = {} if flag is None else {"add_bos_token": flag}
    vocabulary = byte_level_vocabulary(train_byte_level("gpt-2"), pre, bos_token_id=0, **said)
    assert rebuild(tmp_path, vocabulary).prefix == prefix


def test_what_is_no_text_is_not_found_in_text(tmp_path: Path) -> None:
    rebuilt = rebuild(tmp_path, small_vocabulary())
    assert ids(rebuilt, ["[PAD8]b"]) == [[7, 0, 5]]  # one unknown token for all of it
    assert ids(rebuilt, ["b<s>ab<tag>a"]) == [[7, 5, 1, 7, 6, 3, 7, 4]]


@pytest.mark.parametrize(
    ("architecture", "expected"), [("llama", [3, 7, 7, 4]), ("phi3", [3, 7, 4])]
)
def test_tokens_of_phi_swallow_spaces(
    architecture: str, expected: list[int], tmp_path: Path
) -> None:
    rebuilt = rebuild(tmp_path, small_vocabulary(), architecture)
    assert ids(rebuilt, ["<tag> a", "<s> a"]) == [expected, [1, 7, 7, 4]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "t5"}, "'t5'"),
        ({"model": "gpt2", "pre": "viking"}, "'viking'"),
        ({"model": "gpt2"}, "does not say how its tokenizer cuts words"),
        ({"model": "gpt2", "pre": "gpt-2"}, "merges"),
        ({"model": "gpt2", "pre": "gpt-2", "merges": ["a c"]}, "cannot be rebuilt"),
        ({"model": "gpt2", "pre": "llama-bpe", "merges": ["a b"]}, "names none"),
        ({"model": "gpt2", "pre": "gpt-2", "merges": ["a b"]}, "neither a bos nor an eos"),
        ({"scores": [-1000.0] * 9}, "scores"),
        ({"scores": [0.0] * 5}, "9 tokens but 5 values of scores"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        rebuild(tmp_path, small_vocabulary(**changes))


def test_file_without_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no vocabulary \(tokenizer.ggml.tokens\)"):
        rebuild(tmp_path, {"model": "gpt2"})


def test_bytes_have_tokens_of_their_own(tmp_path: Path) -> None:
    vocabulary = small_vocabulary()
    vocabulary["tokens"] += [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary["scores"] += [0.0] * 256
    vocabulary["token_type"] += [BYTE] * 256
    assert ids(rebuild(tmp_path, vocabulary), ["aé<"]) == [[7, 4, 9 + 0xC3, 9 + 0xA9, 9 + ord("<")]]
