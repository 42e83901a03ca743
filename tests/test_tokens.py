"""The boundary, beginning-of-text and truncation rules."""

from __future__ import annotations

import pickle
import re

import pytest
from checkpoints import save_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from likra_lite.engine.tokens import TextEncoder
from likra_lite.errors import ModelFolderError, UnscorableItemError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder) -> TextEncoder:
    return TextEncoder(folder / "tokenizer.json", prefix=(), empty=0, max_length=64, vocab_size=999)


def paths(tree) -> list[list[int]]:
    """Return the token ids of every continuation."""
    ends = tree.lengths.cumsum()
    return [tree.targets[end - n : end].tolist() for end, n in zip(ends, tree.lengths, strict=True)]


def test_cut_at_the_length_of_the_context_alone(encoder):
    (tree,), truncated = encoder.trees(
        [("Question: What do bees make? Answer:", [" honey", " wax"])]
    )
    encode = encoder.tokenizer.encode
    context = encode("Question: What do bees make? Answer:").ids
    assert tree.tokens[: tree.context_length].tolist() == context
    assert (
        paths(tree)[0] == encode("Question: What do bees make? Answer: honey").ids[len(context) :]
    )
    assert truncated == []


def test_trailing_spaces_move_to_the_continuation(encoder):
    (moved,), _ = encoder.trees([("bees make ", ["honey"])])
    (plain,), _ = encoder.trees([("bees make", [" honey"])])
    assert moved.tokens.tolist() == plain.tokens.tolist()
    assert moved.targets.tolist() == plain.targets.tolist()


def test_empty_context_becomes_the_beginning_of_text(encoder, folder):
    (tree,), _ = encoder.trees([("", [" honey"])])
    assert tree.tokens[:1].tolist() == [0]
    with_prefix = TextEncoder(
        folder / "tokenizer.json", prefix=(7,), empty=0, max_length=64, vocab_size=999
    )
    (tree,), _ = with_prefix.trees([("", [" honey"])])
    assert tree.tokens[: tree.context_length].tolist() == [7]


def test_prefix_stands_before_the_context_and_survives_truncation(folder):
    encoder = TextEncoder(
        folder / "tokenizer.json", prefix=(7,), empty=0, max_length=12, vocab_size=999
    )
    long = "The teacher opened the window because the classroom was too hot. " * 3
    (tree,), truncated = encoder.trees([(long, [" ice", " sun and soil"])])
    bare = encoder.tokenizer.encode(long.rstrip()).ids
    context = tree.tokens[: tree.context_length].tolist()
    assert truncated == [0]
    assert context[0] == 7
    assert context[1:] == bare[len(bare) - len(context) + 1 :]
    longest = max(tree.lengths)
    assert tree.context_length + longest - 1 == 12, "the window is used to the last token"


def test_choice_longer_than_the_window(encoder):
    bad = ("a", [" b", " water" * 100])
    with pytest.raises(UnscorableItemError) as caught:
        encoder.trees([("a", [" b"]), bad, ("a", [" c"]), bad])
    assert list(caught.value.problems) == [1, 3]
    assert re.fullmatch(
        r"item 1: the choice 'water water .*\.\.\.' has \d+ tokens but the model reads 64; "
        r"shorten it or use a model with a longer window \(and 1 more such items\)",
        str(caught.value),
    )
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.problems, str(copy)) == (caught.value.problems, str(caught.value))


def test_a_token_that_the_model_does_not_know(encoder, folder):
    text = "Question: What do bees make? Answer:"
    largest = max(encoder.tokenizer.encode(text + " honey").ids)
    knows = TextEncoder(folder / "tokenizer.json", (), 0, 64, largest + 1)
    assert len(knows.trees([(text, [" honey"])])[0]) == 1
    lacks = TextEncoder(folder / "tokenizer.json", (), 0, 64, largest)
    with pytest.raises(
        UnscorableItemError, match=f"with the number {largest}, but the model knows"
    ):
        lacks.trees([(text, [" honey"])])


def test_damaged_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="is not a tokenizer"):
        TextEncoder(tmp_path / "tokenizer.json", (), 0, 64, 999).trees([("a", ["b"])])


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=25)


@settings(deadline=None)
@given(context=text, answers=st.lists(text.filter(bool), min_size=1, max_size=4))
def test_tokens_decode_to_the_text(encoder, context, answers):
    (tree,), truncated = encoder.trees([(context, [" " + answer for answer in answers])])
    if truncated:
        return
    decode = encoder.tokenizer.decode
    head = tree.tokens[: tree.context_length].tolist() if context.rstrip() else []
    for answer, path in zip(answers, paths(tree), strict=True):
        assert decode(head + path, skip_special_tokens=False) == context + " " + answer


@pytest.fixture(scope="module", params=[False, True], ids=["byte-level", "metaspace"])
def any_encoder(request, tmp_path_factory) -> TextEncoder:
    folder = tmp_path_factory.mktemp("any")
    save_tokenizer(folder, metaspace=request.param)
    return TextEncoder(
        folder / "tokenizer.json", prefix=(), empty=0, max_length=512, vocab_size=999
    )


words = st.lists(st.sampled_from(["water", "soil", "the", "ice", " ", "\n", ":", "melts", "é"]))


@settings(deadline=None)
@given(context=words.map(" ".join), answer=words.filter(bool).map("".join))
def test_boundary_rule_step_by_step(any_encoder, context, answer):
    """The rule of lm-evaluation-harness, written out."""
    (tree,), _ = any_encoder.trees([(context, [" " + answer])])
    spaces = len(context) - len(context.rstrip())
    moved = context[len(context) - spaces :] + " " + answer
    kept = context[: len(context) - spaces]
    encode = any_encoder.tokenizer.encode
    head, whole = encode(kept).ids, encode(kept + moved).ids
    assert tree.tokens[: tree.context_length].tolist() == (head or [0])
    if len(whole) > len(head):
        assert paths(tree) == [whole[len(head) :]]
    else:
        assert paths(tree) == [encode(" " + answer).ids]


@settings(deadline=None)
@given(answer=text.filter(bool))
def test_pieces_join_to_the_text(encoder, answer):
    ids = encoder.tokenizer.encode(answer).ids
    assert "".join(encoder.pieces(ids)) == answer
