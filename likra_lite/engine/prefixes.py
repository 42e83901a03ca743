"""Finding trees that start alike, so that their common beginning is read once.

Few-shot examples, a passage that several questions are about, a template's first words:
wherever contexts share their first tokens, those need one pass for all. A few trees that
fit into one row lie there side by side (a grove). For more, what they share is read first
and its keys and values are kept, as the past of the rows that follow (a branch).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .trees import TokenTree, shared_tokens

__all__ = ["Branch", "plan"]

WORTH = 256  # tokens that a pass of its own must save
ROW_WORTH = 0.25  # tokens that a longer row must save, as a share of its length
FEW = 8  # tokens; what no row is made longer for


@dataclass
class Branch:
    """Context tokens that are read once, and what is read with them as its past.

    Attributes
    ----------
    tree : int
        A tree that begins with these tokens.
    start, stop : int
        It is the tokens at these depths that are read; those before `start` are the past.
    groves : list of list of int
        Trees that go on from here. Those of a grove lie in one row, ordered so that
        neighbours share most.
    branches : list of Branch
        Longer beginnings, each shared by some of the trees.
    """

    tree: int
    start: int
    stop: int
    groves: list[list[int]] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)


def plan(trees: Sequence[TokenTree], row_length: int, longest: int) -> Branch:
    """Find the beginnings that trees share.

    Parameters
    ----------
    trees : sequence of TokenTree
    row_length : int
        Largest number of tokens of a grove with several trees.
    longest : int
        Number of tokens of a single tree above which its context is read first.

    Returns
    -------
    Branch
        The root, which reads nothing itself.
    """
    # Neighbours in alphabetical order share most.
    order = sorted(range(len(trees)), key=lambda i: trees[i].context.astype(">u4").tobytes())
    neighbours = itertools.pairwise(order)
    shared = np.array([shared_tokens(trees[a], trees[b]) for a, b in neighbours], dtype=np.int64)
    lengths = np.array([len(trees[i]) for i in order], dtype=np.int64)
    contexts = np.array([trees[i].context_length for i in order], dtype=np.int64)
    root = Branch(order[0], 0, 0)
    waiting = [(root, 0, len(order))]
    while waiting:
        branch, low, high = waiting.pop()
        depth, number = branch.stop, high - low
        further = shared[low : high - 1] - depth
        if further.sum() < WORTH and further.max(initial=0) < FEW:
            for place in range(low, high):
                before = int(contexts[place]) - 1
                if lengths[place] - depth <= longest or before == depth:
                    branch.groves.append([order[place]])
                else:
                    branch.branches.append(
                        Branch(order[place], depth, before, groves=[[order[place]]])
                    )
            continue
        # The last token of a context predicts, so that it must lie in a row.
        common = int(min(further.min(), contexts[low:high].min() - 1 - depth))
        saved = (number - 1) * common
        length = int(lengths[low:high].sum() - number * depth - further.sum())
        if length <= row_length and saved >= ROW_WORTH * length:
            branch.groves.append(order[low:high])
        elif saved >= WORTH:
            child = Branch(order[low], depth, depth + common)
            branch.branches.append(child)
            waiting.append((child, low, high))
        else:
            cuts = low + 1 + np.flatnonzero(further == further.min())
            bounds = [low, *cuts.tolist(), high]
            waiting.extend((branch, *ends) for ends in itertools.pairwise(bounds))
    return root
