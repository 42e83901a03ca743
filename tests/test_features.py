"""Features, part by part: against arrays that are put together token by token."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likra_lite.engine import features as module
from likra_lite.engine.features import Features

WIDTH = 3
cases = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=5)


def make(continuations: list[list[int]], first: int = 0, n_rows: int = 7) -> Features:
    """Return continuations whose tokens are predicted from these of seven rows."""
    rows = np.array([row for each in continuations for row in each], np.int64)
    hidden = np.arange(n_rows * WIDTH, dtype=np.float32).reshape(-1, WIDTH) + 1000 * first
    lengths = np.array([len(each) for each in continuations], np.int64)
    return Features(hidden, rows, 10 * first + rows, lengths)


def tokens_of(features: Features) -> list[list[tuple[list[float], int]]]:
    """Return, continuation by continuation, the state and the target of every token."""
    found, place = [], 0
    for length in features.lengths.tolist():
        part = range(place, place + length)
        states = [features.hidden[features.rows[token]].tolist() for token in part]
        found.append(
            list(zip(states, features.targets[place : place + length].tolist(), strict=True))
        )
        place += length
    assert place == len(features.rows) == len(features.targets)
    return found


@given(cases, st.data())
def test_some_of_the_continuations(continuations, data):
    whole = make(continuations)
    assert whole.offsets.tolist() == [
        sum(map(len, continuations[:end])) for end in range(len(continuations) + 1)
    ]
    chosen = data.draw(st.lists(st.integers(0, len(continuations) - 1), max_size=6))
    part = whole.take(np.array(chosen, np.int64))
    assert tokens_of(part) == [tokens_of(whole)[index] for index in chosen]
    used = {row for index in chosen for row in continuations[index]}
    assert part.hidden.shape == (len(used), WIDTH), "each state once, and no other"


@given(cases, st.integers(1, 9))
def test_chunks_hold_every_token_once(continuations, size):
    whole = make(continuations)
    seen, states = [], []
    for part, tokens, rows in whole.chunks(size):
        hidden = whole.hidden[part]
        assert 0 < len(hidden) <= size
        states.append(hidden)
        seen += tokens.tolist()
        np.testing.assert_array_equal(hidden[rows], whole.hidden[whole.rows[tokens]])
    assert sorted(seen) == list(range(len(whole.targets)))
    np.testing.assert_array_equal(np.concatenate(states), whole.hidden)
    assert [len(each) for each in states[:-1]] == [size] * (len(states) - 1)


def test_joined_parts_are_the_parts(tmp_path):
    parts = [make([[0, 2], [6]], 0), make([[5]], 1, 6), make([[1, 1, 3]], 2)]
    joined = Features.concatenate(part for part in parts)
    assert tokens_of(joined) == [each for part in parts for each in tokens_of(part)]
    assert not isinstance(joined.hidden, np.memmap)
    only = Features.concatenate(parts[:1])
    assert only.hidden is parts[0].hidden, "a single part is no copy"


@pytest.mark.parametrize(("room", "in_file"), [(20, False), (19, True), (8, True), (0, True)])
def test_beyond_the_memory_states_are_in_a_file(room, in_file, monkeypatch):
    """Of 20 rows: all fit, the last part does not, the second does not, none does."""
    monkeypatch.setattr(module, "MEMORY_BYTES", room * WIDTH * 4)
    parts = [make([[0, 2], [6]], 0), make([[5]], 1, 6), make([[1, 1, 3]], 2)]
    joined = Features.concatenate(parts)
    assert isinstance(joined.hidden, np.memmap) == in_file
    assert joined.hidden.dtype == np.float32
    assert joined.hidden.shape == (20, WIDTH)
    assert tokens_of(joined) == [each for part in parts for each in tokens_of(part)]


def test_many_states_are_taken_a_few_at_a_time(monkeypatch):
    taken = []

    class Counted(np.ndarray):
        def __getitem__(self, key):
            taken.append(len(key))
            return np.asarray(self)[key]

    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 3)
    whole = make([[0, 2, 4], [6, 1], [5]])
    counted = Features(whole.hidden.view(Counted), whole.rows, whole.targets, whole.lengths)
    part = counted.take(np.array([2, 0, 1]))
    assert taken == [3, 3], "six of seven"
    assert tokens_of(part) == [tokens_of(whole)[index] for index in (2, 0, 1)]
    assert len(whole.take(np.zeros(0, np.int64)).hidden) == 0


def test_how_much_is_held_in_memory(monkeypatch):
    """256 MiB, of arrays that take no room here; and 16384 rows are taken at a time."""
    rows = module._Rows()
    monkeypatch.setattr(module._Rows, "_spill", lambda self: spilled.append(self.count))
    spilled: list[int] = []
    rows.append(np.broadcast_to(np.float32(0), (2**23, 8)))
    assert spilled == []
    rows.append(np.zeros((1, 8), np.float32))
    assert spilled == [2**23 + 1]


def test_how_many_rows_are_taken_at_a_time(monkeypatch):
    count, sizes = 16384 + 1, []
    indices = np.arange(count)
    whole = Features(np.zeros((count, 1), np.float32), indices, indices, np.array([count]))
    append = module._Rows.append
    monkeypatch.setattr(
        module._Rows, "append", lambda self, rows: (sizes.append(len(rows)), append(self, rows))
    )
    assert len(whole.take(np.array([0])).hidden) == count
    assert sizes == [16384, 1]
