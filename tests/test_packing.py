"""Token trees: every continuation must be readable from the arrays alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likra_lite.engine.ragged import span_indices
from likra_lite.engine.trees import (
    MASKED,
    PASS_COST,
    TokenTree,
    batches,
    common_length,
    pack,
    pieces,
    row_lengths,
    shared_tokens,
)

tokens = st.lists(st.integers(0, 5), min_size=1, max_size=6)
trees = st.builds(TokenTree, tokens, st.lists(tokens, min_size=1, max_size=5))


def read_back(batch, row: int, rows: list[int], targets: list[int], past: int = 0) -> list[int]:
    """Follow the mask from each target's row to the tokens that it sees, and append the target.

    Tokens of the past, which all of them see, are left out.
    """
    length = batch.input_ids.shape[1]
    sequence: list[int] = []
    for place, target in zip(rows, targets, strict=True):
        assert place // length == row
        node = place % length
        assert (batch.attention_bias[row, 0, node, :past] == 0.0).all()
        seen = np.flatnonzero(batch.attention_bias[row, 0, node, past:] == 0.0)
        positions = batch.position_ids[row, seen]
        depths = list(range(past, past + len(seen)))
        assert sorted(positions) == depths, "a path visits every depth once"
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
    read = [lengths[index] for group in groups for index in group]
    assert read == sorted(read), "shortest first"


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


def test_a_pass_costs_as_much_as_32_tokens():
    assert batches([1, 32], 100) == [[0, 1]], "31 tokens of padding are less"
    assert batches([1, 34], 100) == [[0], [1]], "33 are more"


def cut_at(ordered: list[int], cuts: tuple[bool, ...]) -> list[list[int]]:
    groups = [[ordered[0]]]
    for index, cut in zip(ordered[1:], cuts, strict=True):
        if cut:
            groups.append([])
        groups[-1].append(index)
    return groups


@given(
    start=st.lists(st.integers(0, 5), min_size=2, max_size=5),
    rest=st.lists(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 1), max_size=4), st.lists(tokens, min_size=1, max_size=3)
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=3,
    ),
    past=st.integers(0, 5),
)
def test_rows_of_several_trees_behind_a_past(start, rest, past):
    past = min(past, len(start) - 1)
    cases = [[(start + more, continuations) for more, continuations in row] for row in rest]
    packed = [TokenTree(*case) for row in cases for case in row]
    ends = np.cumsum([len(row) for row in cases])
    rows = [list(range(end - len(row), end)) for row, end in zip(cases, ends, strict=True)]
    batch = pack(packed, rows, past)
    lengths = row_lengths(packed, rows, past)
    assert lengths == [len(distinct_tokens(row, past)) for row in cases]
    assert row_lengths(packed, rows) == row_lengths(packed, rows, 0)
    assert batch.input_ids.shape == (len(rows), max(lengths))
    assert batch.attention_bias.shape == (len(rows), 1, max(lengths), past + max(lengths))
    begin = 0
    for place, row in enumerate(cases):
        for context, continuations in row:
            for continuation in continuations:
                span = slice(begin, begin + len(continuation))
                nodes = batch.rows[batch.target_rows[span]].tolist()
                found = read_back(batch, place, nodes, continuation, past)
                assert found == [*context, *continuation][past:]
                begin += len(continuation)
    assert begin == len(batch.targets)
    assert len(set(batch.rows.tolist())) == len(batch.rows)


def distinct_tokens(row: list[tuple[list[int], list[list[int]]]], past: int) -> list[object]:
    """Return what must be read: beginnings that the context before does not have, and branches."""
    found: list[object] = []
    before: list[int] = []
    for number, (context, continuations) in enumerate(row):
        for end in range(past + 1, len(context) + 1):
            if context[:end] != before[:end]:
                found.append((number, end))
        found += {(number, *c[:end]) for c in continuations for end in range(1, len(c))}
        before = context
    return found


def predictions(tree: TokenTree) -> list[tuple[tuple[int, ...], int]]:
    """Return every target in order, with the tokens that it is predicted from."""
    found = []
    for node, target in zip(tree.nodes.tolist(), tree.targets.tolist(), strict=True):
        path = []
        while node >= 0:
            path.append(int(tree.tokens[node]))
            node = int(tree.parents[node])
        found.append((tuple(path[::-1]), target))
    return found


@given(tree=trees, size=st.integers(1, 9))
def test_pieces_predict_the_same_from_the_same(tree, size):
    parts = pieces(tree, size)
    assert [p for part in parts for p in predictions(part)] == predictions(tree)
    read = [len(part) - part.context_length for part in parts]
    assert max(read) <= size
    if len(tree) - tree.context_length <= size:
        assert parts == [tree]


def test_pieces_hold_as_much_as_they_can():
    large = [1, 2, 3, 4, 5, 6, 7]
    tree = TokenTree(
        [1, 2], [[3, 4], [5, 6, 7], [8, 9], [1], large, [2, 2], [6, 6, 6, 6], [7], [8, 8]]
    )
    found = [
        (part.context.tolist(), part.lengths.tolist(), part.targets.tolist())
        for part in pieces(tree, 3)
    ]
    assert found == [
        ([1, 2], [2, 3], [3, 4, 5, 6, 7]),
        ([1, 2], [2, 1], [8, 9, 1]),
        ([1, 2], [4], [1, 2, 3, 4]),
        ([1, 2, 1, 2, 3, 4], [3], [5, 6, 7]),
        ([1, 2], [2], [2, 2]),
        ([1, 2], [4, 1], [6, 6, 6, 6, 7]),
        ([1, 2], [2], [8, 8]),
    ]


@given(one=st.lists(st.integers(0, 2)), other=st.lists(st.integers(0, 2)))
def test_common_beginnings(one, other):
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    expected = len(list(pairs))
    assert common_length(np.array(one, np.int64), np.array(other, np.int64)) == expected
    first, second = TokenTree([9, *one], [[1]]), TokenTree([9, *other], [[1, 2]])
    assert shared_tokens(first, second) == 1 + expected


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=6))
def test_spans(spans):
    starts, lengths = np.array(spans, np.int64).reshape(-1, 2).T
    expected = [index for start, length in spans for index in range(start, start + length)]
    assert span_indices(starts, lengths).tolist() == expected
