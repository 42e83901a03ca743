"""Token trees: every continuation must be readable from the arrays alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likra_lite.engine.trees import MASKED, PASS_COST, TokenTree, batches, pack

tokens = st.lists(st.integers(0, 5), min_size=1, max_size=6)
trees = st.builds(TokenTree, tokens, st.lists(tokens, min_size=1, max_size=5))


def read_back(batch, row: int, rows: list[int], targets: list[int]) -> list[int]:
    """Follow the mask from each target's row to the tokens that it sees, and append the target."""
    length = batch.input_ids.shape[1]
    sequence: list[int] = []
    for place, target in zip(rows, targets, strict=True):
        assert place // length == row
        node = place % length
        seen = np.flatnonzero(batch.attention_bias[row, 0, node] == 0.0)
        positions = batch.position_ids[row, seen]
        assert sorted(positions) == list(range(len(seen))), "a path visits every depth once"
        sequence = [*batch.input_ids[row, seen[np.argsort(positions)]].tolist(), target]
    return sequence


@given(
    pairs=st.lists(
        st.tuples(tokens, st.lists(tokens, min_size=1, max_size=4)), min_size=1, max_size=4
    )
)
def test_every_continuation_is_a_path(pairs):
    packed = [TokenTree(context, continuations) for context, continuations in pairs]
    batch = pack(packed, [[index] for index in range(len(packed))])
    start = 0
    for row, (context, continuations) in enumerate(pairs):
        for continuation in continuations:
            span = slice(start, start + len(continuation))
            rows = batch.rows[batch.target_rows[span]].tolist()
            assert batch.targets[span].tolist() == continuation
            assert read_back(batch, row, rows, continuation) == context + continuation
            start += len(continuation)
    assert start == len(batch.targets)


@given(trees=st.lists(trees, min_size=1, max_size=5))
def test_mask_is_zero_or_masked_and_padding_sees_itself_only(trees):
    batch = pack(trees, [[index] for index in range(len(trees))])
    assert set(np.unique(batch.attention_bias)) <= {0.0, np.float32(MASKED)}
    length = batch.input_ids.shape[1]
    for row, tree in enumerate(trees):
        for place in range(len(tree), length):
            assert np.flatnonzero(batch.attention_bias[row, 0, place] == 0.0).tolist() == [place]
            assert not (batch.attention_bias[row, 0, : len(tree), place] == 0.0).any()


@given(context=tokens, continuations=st.lists(tokens, min_size=1, max_size=5))
def test_tree_holds_each_distinct_prefix_once(context, continuations):
    tree = TokenTree(context, continuations)
    prefixes = {tuple(c[:end]) for c in continuations for end in range(1, len(c))}
    assert len(tree) == len(context) + len(prefixes)


def test_equal_continuations_share_everything():
    tree = TokenTree([1], [[2, 3], [2, 3]])
    assert tree.nodes[:2].tolist() == tree.nodes[2:].tolist()


@pytest.mark.parametrize(("context", "continuations"), [([], [[1]]), ([1], [[]])])
def test_empty_parts_are_refused(context, continuations):
    with pytest.raises(ValueError, match="at least one token"):
        TokenTree(context, continuations)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=40), budget=st.integers(1, 100))
def test_batches_cover_everything_within_the_budget(lengths, budget):
    groups = batches(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=9), budget=st.integers(1, 60))
def test_batches_compute_the_fewest_tokens(lengths, budget):
    def cost(groups: list[list[int]]) -> int:
        return sum(PASS_COST + len(group) * max(lengths[i] for i in group) for group in groups)

    ordered = sorted(range(len(lengths)), key=lambda i: lengths[i])
    best = min(
        cost(groups)
        for cuts in itertools.product([False, True], repeat=len(lengths) - 1)
        for groups in [cut_at(ordered, cuts)]
        if all(
            len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget
            for group in groups
        )
    )
    assert cost(batches(lengths, budget)) == best


def cut_at(ordered: list[int], cuts: tuple[bool, ...]) -> list[list[int]]:
    groups = [[ordered[0]]]
    for index, cut in zip(ordered[1:], cuts, strict=True):
        if cut:
            groups.append([])
        groups[-1].append(index)
    return groups
