"""Examples that LoRA heads are trained on, laid side by side in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..engine.trees import PackedBatch, TokenTree, batches, pack, row_lengths

__all__ = ["Batch", "Example", "digest_of", "pack_examples", "shared_out"]

ROW_TOKENS = 512  # examples are laid side by side in rows of this length


@dataclass(frozen=True)
class Example:
    """A context with one answer, or with several of which one is right.

    Attributes
    ----------
    tree : TokenTree
    right : int
        Which continuation is right.
    """

    tree: TokenTree
    right: int = 0


def digest_of(examples: Sequence[Example]) -> str:
    """Return a hash of examples in their order."""
    digest = hashlib.sha256()
    for example in examples:
        tree = example.tree
        for array in (tree.tokens, tree.parents, tree.nodes, tree.targets, tree.lengths):
            digest.update(array.tobytes())
        digest.update(example.right.to_bytes(4, "little"))
    return digest.hexdigest()


class Batch(NamedTuple):
    """One forward pass: some trees, packed.

    Attributes
    ----------
    packed : PackedBatch
    order : list of int
        Which tree each part of ``packed.targets`` belongs to, one after the other.
    """

    packed: PackedBatch
    order: list[int]


def pack_examples(
    trees: Sequence[TokenTree], max_tokens: int, row_tokens: int = ROW_TOKENS
) -> list[Batch]:
    """Lay trees side by side in rows, and rows in batches, with little padding.

    Parameters
    ----------
    trees : sequence of TokenTree
    max_tokens : int
        In a batch, padding included; a longer tree is a batch of its own.
    row_tokens : int
        In a row; a longer tree is a row of its own.

    Returns
    -------
    list of Batch
        Every tree is in one of them.
    """
    limit = min(row_tokens, max_tokens)
    order = sorted(range(len(trees)), key=lambda index: (-len(trees[index]), index))
    rows: list[list[int]] = []
    lengths: list[int] = []
    # As many rows as are needed at least, each tree in the shortest (Graham 1969): rows of like
    # length make batches with little padding.
    least = -(-sum(map(len, trees)) // limit)
    for index in order:
        size = len(trees[index])
        place = int(np.argmin(lengths)) if len(rows) >= least else len(rows)
        if place == len(rows) or lengths[place] + size > limit:
            place = len(rows)
            rows.append([])
            lengths.append(0)
        rows[place].append(index)
        lengths[place] += size
    result = []
    for chosen in batches(row_lengths(trees, rows), max_tokens):
        members = [rows[place] for place in chosen]
        result.append(Batch(pack(trees, members), [index for row in members for index in row]))
    return result


def shared_out(trees: Sequence[TokenTree], parts: int) -> list[list[TokenTree]]:
    """Share trees out to parts of about as many tokens: the longest first (Graham 1969).

    Parameters
    ----------
    trees : sequence of TokenTree
    parts : int

    Returns
    -------
    list of list of TokenTree
        As many as there are trees, if that is less.
    """
    result: list[list[TokenTree]] = [[] for _ in range(min(parts, len(trees)))]
    sizes = [0] * len(result)
    for tree in sorted(trees, key=len, reverse=True):
        least = sizes.index(min(sizes))
        result[least].append(tree)
        sizes[least] += len(tree)
    return result
