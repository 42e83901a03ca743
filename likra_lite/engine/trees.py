"""Token trees to the arrays of one forward pass, in NumPy alone.

A tree is a context and its continuations. It lies in one row: the context once,
then the tokens of the continuations, where continuations that start alike share
those tokens too. Each token's position is its depth, and the mask lets it see its
ancestors only, so one forward pass scores every continuation. Trees whose contexts start
alike may lie in one row too, with what they share once, and their first tokens may be
the past, which was read in an earlier pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MASKED",
    "PackedBatch",
    "TokenTree",
    "batches",
    "common_length",
    "pack",
    "pieces",
    "row_lengths",
    "shared_tokens",
]

# Added to the attention logits of forbidden keys: finite, so that no row becomes NaN.
MASKED = -1e9

PASS_COST = 32  # tokens that a forward pass costs beyond its own: all weights are read

IntArray = NDArray[np.int64]


class TokenTree:
    """One context and the continuations that branch off it.

    Parameters
    ----------
    context : sequence of int
        Token ids, at least one.
    continuations : sequence of sequence of int
        Token ids of each continuation, at least one each.

    Attributes
    ----------
    tokens : ndarray of shape (n_nodes,)
        The tokens that must be read: the context, then every continuation token that
        has a successor, each shared prefix once.
    parents : ndarray of shape (n_nodes,)
        Index of each token's predecessor, -1 for the first.
    depths : ndarray of shape (n_nodes,)
        Number of tokens before each token.
    nodes : ndarray of shape (n_targets,)
        For every continuation token in order, the node whose hidden state predicts it.
    targets : ndarray of shape (n_targets,)
        Those continuation tokens.
    lengths : ndarray of shape (n_continuations,)
        Tokens in each continuation.
    """

    __slots__ = ("context_length", "depths", "lengths", "nodes", "parents", "targets", "tokens")

    def __init__(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> None:
        if len(context) == 0 or any(len(tokens) == 0 for tokens in continuations):
            raise ValueError("a token tree needs a context and continuations of at least one token")
        last = len(context) - 1
        tokens = list(context)
        parents = list(range(-1, last))
        depths = list(range(last + 1))
        nodes: list[int] = []
        targets: list[int] = []
        children: dict[tuple[int, int], int] = {}
        for continuation in continuations:
            node = last
            for place, token in enumerate(continuation, start=1):
                nodes.append(node)
                targets.append(token)
                if place == len(continuation):
                    break
                child = children.setdefault((node, token), len(tokens))
                if child == len(tokens):
                    tokens.append(token)
                    parents.append(node)
                    depths.append(depths[node] + 1)
                node = child
        self.context_length = len(context)
        self.tokens = np.array(tokens, dtype=np.int64)
        self.parents = np.array(parents, dtype=np.int64)
        self.depths = np.array(depths, dtype=np.int64)
        self.nodes = np.array(nodes, dtype=np.int64)
        self.targets = np.array(targets, dtype=np.int64)
        self.lengths = np.array([len(tokens) for tokens in continuations], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of nodes, the length of the row that holds the tree."""
        return len(self.tokens)

    @property
    def context(self) -> IntArray:
        """The context's tokens, of shape (context_length,)."""
        return self.tokens[: self.context_length]

    def ancestors(self) -> NDArray[np.bool_]:
        """Return which nodes each node may see, itself included, of shape (n_nodes, n_nodes)."""
        size, context = len(self), self.context_length
        visible = np.zeros((size, size), dtype=bool)
        visible[:context, :context] = np.tri(context, dtype=bool)
        for node in range(context, size):
            visible[node] = visible[self.parents[node]]
            visible[node, node] = True
        return visible


def pieces(tree: TokenTree, size: int) -> list[TokenTree]:
    """Cut a large tree into trees that are read one by one, behind what they share.

    Parameters
    ----------
    tree : TokenTree
    size : int
        Largest number of tokens of a piece, beyond its context.

    Returns
    -------
    list of TokenTree
        The tree itself if it is small enough. Else their targets, one piece after the other,
        are those of the tree; a continuation that is longer than a piece goes on in the next,
        with its beginning in the context.
    """
    if len(tree) - tree.context_length <= size:
        return [tree]
    context = tree.context.tolist()
    found: list[TokenTree] = []
    waiting: list[list[int]] = []
    room = size
    for targets in np.split(tree.targets, np.cumsum(tree.lengths)[:-1]):
        tokens = targets.tolist()  # of which the last is predicted and not read
        if waiting and len(tokens) - 1 > room:
            found.append(TokenTree(context, waiting))
            waiting, room = [], size
        if len(tokens) - 1 > size:
            for start in range(0, len(tokens), size + 1):
                part = tokens[start : start + size + 1]
                found.append(TokenTree([*context, *tokens[:start]], [part]))
        else:
            waiting.append(tokens)
            room -= len(tokens) - 1
    if waiting:
        found.append(TokenTree(context, waiting))
    return found


def shared_tokens(first: TokenTree, second: TokenTree) -> int:
    """Return the number of tokens with which both contexts begin."""
    return common_length(first.context, second.context)


def common_length(first: IntArray, second: IntArray) -> int:
    """Return the number of tokens with which both sequences begin."""
    length = min(len(first), len(second))
    different = first[:length] != second[:length]
    return int(different.argmax()) if different.any() else length


def row_lengths(
    trees: Sequence[TokenTree], rows: Sequence[Sequence[int]], past: int = 0
) -> list[int]:
    """Return the number of tokens in each row; see :func:`pack`."""
    return [
        sum(len(trees[i]) - past for i in row)
        - sum(
            max(shared_tokens(trees[a], trees[b]), past) - past for a, b in itertools.pairwise(row)
        )
        for row in rows
    ]


@dataclass(frozen=True)
class PackedBatch:
    """The arrays of one forward pass, B rows of T tokens behind a past of P tokens.

    Attributes
    ----------
    input_ids, position_ids : ndarray of shape (B, T)
    attention_bias : ndarray of shape (B, 1, T, P+T)
        0 for ancestors and the token itself, :data:`MASKED` elsewhere.
    rows : ndarray of shape (N,)
        The nodes that predict something, as indices into the flattened (B*T), each once.
    target_rows, targets : ndarray of shape (M,)
        Index into `rows` and token id for every continuation token, in the order of
        the rows, of the trees in a row, and of a tree's continuations.
    """

    input_ids: IntArray
    position_ids: IntArray
    attention_bias: NDArray[np.float32]
    rows: IntArray
    target_rows: IntArray
    targets: IntArray


def pack(trees: Sequence[TokenTree], rows: Sequence[Sequence[int]], past: int = 0) -> PackedBatch:
    """Lay trees into the rows of one batch, padded to the longest.

    Parameters
    ----------
    trees : sequence of TokenTree
    rows : sequence of sequence of int
        Which trees lie in each row. What a tree's context shares with that of the tree
        before it is not repeated.
    past : int, default=0
        Number P of tokens with which all these contexts begin, and which are not laid
        out. Shorter than every context.

    Returns
    -------
    PackedBatch
    """
    length = max(row_lengths(trees, rows, past))
    shape = (len(rows), length)
    input_ids = np.zeros(shape, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    bias = np.full((len(rows), 1, length, past + length), MASKED, dtype=np.float32)
    bias[..., :past] = 0.0
    visible = bias[:, 0, :, past:]
    diagonal = np.arange(length)
    visible[:, diagonal, diagonal] = 0.0  # padding sees itself, so that its softmax is defined
    flat = []
    for row, indices in enumerate(rows):
        end, before = 0, None
        path = np.zeros(0, dtype=np.int64)  # where the context's tokens lie, from depth `past` on
        for index in indices:
            tree = trees[index]
            kept = 0 if before is None else max(shared_tokens(before, tree), past) - past
            start, first = end, past + kept
            end += len(tree) - first
            places = np.concatenate([path[:kept], np.arange(start, end)])
            path = places[: tree.context_length - past]
            input_ids[row, start:end] = tree.tokens[first:]
            position_ids[row, start:end] = tree.depths[first:]
            visible[row, start:end, path[:kept]] = 0.0
            visible[row, start:end, start:end][tree.ancestors()[first:, first:]] = 0.0
            flat.append(places[tree.nodes - past] + row * length)
            before = tree
    nodes, target_rows = np.unique(np.concatenate(flat), return_inverse=True)
    return PackedBatch(
        input_ids=input_ids,
        position_ids=position_ids,
        attention_bias=bias,
        rows=nodes,
        target_rows=target_rows.astype(np.int64),
        targets=np.concatenate([trees[index].targets for row in rows for index in row]),
    )


def batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group rows of like length so that rows x longest row stays within a budget.

    Of all ways to cut the sorted rows into batches, the one is taken that computes the fewest
    tokens, padding included, with :data:`PASS_COST` for every batch.

    Parameters
    ----------
    lengths : sequence of int
        Tokens in each row.
    token_budget : int
        Largest number of tokens in a batch, padding included. A longer row is a batch
        of its own.

    Returns
    -------
    list of list of int
        Indices into `lengths`, shortest rows first, each index exactly once.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    costs = np.zeros(len(order) + 1)  # of the first rows, at best
    starts = np.zeros(len(order) + 1, dtype=np.int64)  # of the batch that ends there
    for end, index in enumerate(order.tolist(), start=1):
        rows = min(end, max(1, token_budget // lengths[index]))
        counts = np.arange(rows, 0, -1)
        tried = costs[end - rows : end] + counts * lengths[index]
        best = int(tried.argmin())
        costs[end] = tried[best] + PASS_COST
        starts[end] = end - counts[best]
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[starts[end] : end].tolist())
        end = int(starts[end])
    return groups[::-1]
