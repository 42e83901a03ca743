"""Token trees to the arrays of one forward pass, in NumPy alone.

A tree is a context and its continuations. It lies in one row: the context once,
then the tokens of the continuations, where continuations that start alike share
those tokens too. Each token's position is its depth, and the mask lets it see its
ancestors only, so one forward pass scores every continuation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MASKED", "PackedBatch", "TokenTree", "batches", "pack"]

# Added to the attention logits of forbidden keys: finite, so that no row becomes NaN.
MASKED = -1e9

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

    def ancestors(self) -> NDArray[np.bool_]:
        """Return which nodes each node may see, itself included, of shape (n_nodes, n_nodes)."""
        size, context = len(self), self.context_length
        visible = np.zeros((size, size), dtype=bool)
        visible[:context, :context] = np.tri(context, dtype=bool)
        for node in range(context, size):
            visible[node] = visible[self.parents[node]]
            visible[node, node] = True
        return visible


@dataclass(frozen=True)
class PackedBatch:
    """The arrays of one forward pass, B rows of T tokens.

    Attributes
    ----------
    trees : ndarray of shape (B,)
        Index of the tree in each row.
    input_ids, position_ids : ndarray of shape (B, T)
    attention_bias : ndarray of shape (B, 1, T, T)
        0 for ancestors and the token itself, :data:`MASKED` elsewhere.
    rows : ndarray of shape (N,)
        The nodes that predict something, as indices into the flattened (B*T), each once.
    target_rows, targets : ndarray of shape (M,)
        Index into `rows` and token id for every continuation token, in the order of
        `trees` and, within a tree, of its continuations.
    """

    trees: IntArray
    input_ids: IntArray
    position_ids: IntArray
    attention_bias: NDArray[np.float32]
    rows: IntArray
    target_rows: IntArray
    targets: IntArray


def pack(trees: Sequence[TokenTree], indices: Sequence[int]) -> PackedBatch:
    """Lay the chosen trees into the rows of one batch, padded to the longest.

    Parameters
    ----------
    trees : sequence of TokenTree
    indices : sequence of int
        Which trees, one per row.

    Returns
    -------
    PackedBatch
    """
    length = max(len(trees[index]) for index in indices)
    shape = (len(indices), length)
    input_ids = np.zeros(shape, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    bias = np.full((len(indices), 1, length, length), MASKED, dtype=np.float32)
    diagonal = np.arange(length)
    bias[:, 0, diagonal, diagonal] = 0.0  # padding sees itself, so that its softmax is defined
    flat = []
    for row, index in enumerate(indices):
        tree = trees[index]
        size = len(tree)
        input_ids[row, :size] = tree.tokens
        position_ids[row, :size] = tree.depths
        bias[row, 0, :size, :size][tree.ancestors()] = 0.0
        flat.append(tree.nodes + row * length)
    rows, target_rows = np.unique(np.concatenate(flat), return_inverse=True)
    return PackedBatch(
        trees=np.asarray(indices, dtype=np.int64),
        input_ids=input_ids,
        position_ids=position_ids,
        attention_bias=bias,
        rows=rows,
        target_rows=target_rows.astype(np.int64),
        targets=np.concatenate([trees[index].targets for index in indices]),
    )


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Group rows of like length so that rows x longest row stays within a budget.

    Parameters
    ----------
    lengths : sequence of int
        Tokens in each row.
    token_budget : int
        Largest number of tokens in a batch, padding included. A longer row is a batch
        of its own.

    Yields
    ------
    list of int
        Indices into `lengths`, shortest rows first, each index exactly once.
    """
    batch: list[int] = []
    for index in np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[index] > token_budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
