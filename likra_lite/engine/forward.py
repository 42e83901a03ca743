"""Running the trunk over token trees; tokens that several trees begin with are read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .features import Features
from .head import LORA, ROWS_OF_HEADS, Lora, stack_factors
from .prefixes import plan
from .ragged import span_indices
from .trees import MASKED, TokenTree, batches, common_length, pack, pieces, row_lengths

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["TOKEN_BUDGET", "LoraTrunkRunner", "TrunkRunner"]

TOKEN_BUDGET = 512  # tokens in one forward pass, padding included

# Behind a past longer than this, trees lie in a single row, so that it is not copied for each.
LONG_PAST = 64  # tokens

# A context is read before its tree, bit by bit, if both are longer than so many budgets: the mask
# is square in what is read at once.
LONGEST = 2

# Where the beginning of a long text is kept, after the last whole budget of it: texts that begin
# alike mostly share it up to there.
KEPT_STEP = 64  # tokens
KEPT_FROM = 128  # tokens

MAX_RUNNERS = 4  # sets of heads whose last beginning is kept

Rows = list[list[int]]


@dataclass(frozen=True)
class _Past:
    """Tokens that were read, with their keys and values.

    Attributes
    ----------
    tokens : ndarray of shape (P,)
    arrays : list of ndarray of shape (1, kv_heads, P, d)
        Key and value of every layer; of shape (K, kv_heads, P, d) from the first layer on that
        K heads have adapted.
    """

    tokens: NDArray[np.int64]
    arrays: list[NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, length: int) -> _Past:
        """Return the past of the first tokens only."""
        if length == len(self):
            return self
        return _Past(
            self.tokens[:length],
            [np.ascontiguousarray(array[:, :, :length]) for array in self.arrays],
        )


class TrunkRunner:
    """Runs a trunk, and keeps the past that its last trees had in common; threads may share it.

    Parameters
    ----------
    session : InferenceSession
        Of ``trunk.onnx``, or of ``adapted.onnx``.
    feeds : dict of str to ndarray, optional
        What every pass is given besides: the factors of LoRA heads.
    n_heads : int
        Number K of heads.
    """

    def __init__(
        self,
        session: InferenceSession,
        feeds: Mapping[str, NDArray[np.float32]] | None = None,
        n_heads: int = 1,
    ) -> None:
        self.session = session
        self.feeds = dict(feeds or {})
        self.n_heads = n_heads
        past = [node for node in session.get_inputs() if node.name.startswith("past.")]
        self.past_names = [node.name for node in past]
        self.present_names = [name.replace("past.", "present.", 1) for name in self.past_names]
        shapes = [
            (n_heads if rows == ROWS_OF_HEADS else 1, kv, 0, d)
            for rows, kv, _, d in (node.shape for node in past)
        ]
        self.nothing = _Past(
            np.zeros(0, np.int64), [np.zeros(shape, np.float32) for shape in shapes]
        )
        self.forget()

    def forget(self) -> None:
        """Drop the past that the last trees had in common."""
        self.kept = self.nothing

    def run(
        self,
        trees: Sequence[TokenTree],
        token_budget: int = TOKEN_BUDGET,
        advance: Callable[[int], object] | None = None,
    ) -> list[Features]:
        """Do the work of :meth:`likra_lite.LanguageModel.features` for every head."""
        whole = trees
        cut = [pieces(tree, token_budget) for tree in whole]
        trees = [piece for parts in cut for piece in parts]
        last = np.cumsum([len(parts) for parts in cut]) - 1  # the last piece of every tree
        hidden: list[NDArray[np.float32]] = []
        rows, order = [], []
        done = 0
        branches = [(plan(trees, token_budget // 2, LONGEST * token_budget), self.nothing)]
        while branches:
            branch, past = branches.pop()
            past = self._extend(past, trees[branch.tree].tokens[: branch.stop], token_budget)
            branches.extend((longer, past) for longer in branch.branches)
            for chosen in _passes(trees, branch.groves, len(past), token_budget):
                batch = pack(trees, chosen, len(past))
                (states,) = self._pass(
                    ["hidden"],
                    past,
                    input_ids=batch.input_ids,
                    position_ids=batch.position_ids,
                    attention_bias=batch.attention_bias,
                    rows=batch.rows,
                )
                hidden.append(states)
                rows.append(batch.target_rows + done)
                done += len(batch.rows)
                indices = [index for row in chosen for index in row]
                order.extend(indices)
                if advance is not None:
                    advance(int(np.isin(indices, last).sum()))
        # Back from the order of the passes to the order of the trees.
        counts = np.array([len(tree.targets) for tree in trees], dtype=np.int64)
        starts = np.empty_like(counts)
        packed = counts[order]
        starts[order] = np.cumsum(packed) - packed
        # The first head's rows, then the second's.
        split = [states.reshape(self.n_heads, -1, states.shape[1]) for states in hidden]
        features = Features(
            hidden=np.concatenate([states[0] for states in split]),
            rows=np.concatenate(rows)[span_indices(starts, counts)],
            targets=np.concatenate([tree.targets for tree in whole]),
            lengths=np.concatenate([tree.lengths for tree in whole]),
        )
        others = [
            replace(features, hidden=np.concatenate([states[head] for states in split]))
            for head in range(1, self.n_heads)
        ]
        return [features, *others]

    def _pass(self, outputs: list[str], past: _Past, **inputs: NDArray[Any]) -> list[Any]:
        size = len(inputs["input_ids"])
        arrays = past.arrays if size == 1 else [array.repeat(size, 0) for array in past.arrays]
        return self.session.run(
            outputs, {**inputs, **self.feeds, **dict(zip(self.past_names, arrays, strict=True))}
        )

    def _extend(self, past: _Past, tokens: NDArray[np.int64], token_budget: int) -> _Past:
        """Read on until all of `tokens` are past, in passes of at most `token_budget`."""
        if len(tokens) == 0:
            return past
        stops = _stops(len(tokens), token_budget)
        if len(past) == 0:
            kept = self.kept  # other threads may replace it meanwhile
            shared = common_length(kept.tokens, tokens)
            known = set(stops).intersection(_stops(len(kept), token_budget), range(shared + 1))
            past = kept.first(max(known, default=0))
            self.kept = past = self._read_past(past, tokens, stops)
            return past
        return self._read_past(
            past, tokens, range(len(past) + token_budget, len(tokens), token_budget)
        )

    def _read_past(self, past: _Past, tokens: NDArray[np.int64], stops: Iterable[int]) -> _Past:
        """Read on, with a pass up to each of `stops` that lies ahead, and to the end."""
        for total in (*stops, len(tokens)):
            if total <= len(past):
                continue
            new = tokens[len(past) : total]
            visible = np.tri(len(new), total, len(past), dtype=bool)
            arrays = self._pass(
                self.present_names,
                past,
                input_ids=new[None],
                position_ids=np.arange(len(past), total)[None],
                attention_bias=np.where(visible, 0.0, MASKED).astype(np.float32)[None, None],
                rows=np.zeros(1, np.int64),  # nothing is asked for, but int8 needs a row
            )
            past = _Past(tokens[:total], arrays)
        return past


class LoraTrunkRunner:
    """Runs a trunk whose low-rank adapters are inputs, for several heads at once.

    Parameters
    ----------
    session : InferenceSession
        Of ``adapted.onnx``.
    path : Path
        Of that graph, for messages.
    """

    def __init__(self, session: InferenceSession, path: Path) -> None:
        self.session, self.path = session, path
        nodes = {node.name: node.shape for node in session.get_inputs()}
        names = [name for name in nodes if name.startswith(LORA) and name.endswith(".a")]
        self.shapes = {
            name.removeprefix(LORA).removesuffix(".a"): (
                nodes[name][1],
                nodes[f"{name.removesuffix('.a')}.b"][2],
            )
            for name in names
        }
        self.runners: OrderedDict[tuple[bytes, ...], TrunkRunner] = OrderedDict()
        self._lock = threading.Lock()

    def with_heads(self, heads: Sequence[Lora | None]) -> TrunkRunner:
        """Return a runner of the trunk under these heads; None is the model as it is."""
        key = tuple(b"" if head is None else head.key for head in heads)
        with self._lock:
            if key not in self.runners:
                feeds = stack_factors(heads, self.shapes, self.path)
                while len(self.runners) >= MAX_RUNNERS:
                    self.runners.popitem(last=False)
                self.runners[key] = TrunkRunner(self.session, feeds, len(heads))
            self.runners.move_to_end(key)
            return self.runners[key]


def _stops(length: int, token_budget: int) -> list[int]:
    """Return where the passes over the first tokens of a text end.

    What is kept up to a stop of two texts is what each would have read there by itself, to the
    last bit: which texts were read before makes no difference to any result.
    """
    stops = list(range(token_budget, length + 1, token_budget))
    rest = length % token_budget
    if rest >= KEPT_FROM:
        stops.append(length - rest % KEPT_STEP)
    if length and length not in stops:
        stops.append(length)
    return stops


def _passes(
    trees: Sequence[TokenTree], groves: Rows, past: int, token_budget: int
) -> Iterator[Rows]:
    """Group trees into forward passes, each a list of rows."""
    lengths = row_lengths(trees, groves, past)
    if past <= LONG_PAST:
        for chosen in batches(lengths, token_budget):
            yield [groves[index] for index in chosen]
        return
    row: list[int] = []
    total = 0
    for grove, length in zip(groves, lengths, strict=True):
        if row and total + length > token_budget:
            yield [row]
            row, total = [], 0
        row.extend(grove)
        total += length
    if row:
        yield [row]
