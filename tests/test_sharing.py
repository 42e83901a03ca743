"""What is read once: every continuation is still read with its whole context."""

from __future__ import annotations

from collections import Counter, OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likra_lite import Item, LanguageModel
from likra_lite.engine import prefixes
from likra_lite.engine.prefixes import Branch, plan
from likra_lite.engine.trees import TokenTree, pack, row_lengths, shared_tokens
from likra_lite.prompts import Prompt
from likra_lite.scoring.scorer import ChoiceScorer

token = st.integers(0, 2)
context = st.lists(token, min_size=1, max_size=12)
continuations = st.lists(st.lists(token, min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.fixture
def eager(monkeypatch) -> None:
    """Let even a few tokens be worth sharing."""
    monkeypatch.setattr(prefixes, "WORTH", 3)
    monkeypatch.setattr(prefixes, "FEW", 1)


def branches(root: Branch) -> list[Branch]:
    """Return a branch and all that go on from it."""
    found = [root]
    for branch in found:
        found.extend(branch.branches)
    return found


def paths(trees: list[TokenTree], branch: Branch) -> list[list[int]]:
    """Read every continuation, with what it sees, from the packed rows of a branch."""
    past = trees[branch.tree].tokens[: branch.stop].tolist()
    batch = pack(trees, branch.groves, len(past))
    length = batch.input_ids.shape[1]
    lengths = [n for row in branch.groves for i in row for n in trees[i].lengths]
    found = []
    for end, size in zip(np.cumsum(lengths), lengths, strict=True):
        row, node = divmod(int(batch.rows[batch.target_rows[end - 1]]), length)
        visible = np.flatnonzero(batch.attention_bias[row, 0, node] == 0.0)
        assert visible[: len(past)].tolist() == list(range(len(past)))
        seen = visible[len(past) :] - len(past)
        seen = seen[np.argsort(batch.position_ids[row, seen])]
        depths = batch.position_ids[row, seen].tolist()
        assert depths == list(range(len(past), len(past) + len(seen)))
        sequence = [*past, *batch.input_ids[row, seen].tolist()]
        found.append(
            sequence[: len(sequence) - size + 1] + batch.targets[end - size : end].tolist()
        )
    return found


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(context, continuations), min_size=1, max_size=12),
    row_length=st.integers(1, 60),
    longest=st.integers(1, 30),
)
def test_every_continuation_is_read_with_its_whole_context(pairs, row_length, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "WORTH", 3)
        patch.setattr(prefixes, "FEW", 1)
        trees = [TokenTree(*pair) for pair in pairs]
        root = plan(trees, row_length, longest)
    found = []
    for branch in branches(root):
        assert all(longer.start == branch.stop < longer.stop for longer in branch.branches)
        if branch.groves:
            found.extend(paths(trees, branch))
    expected = [head + tail for head, tails in pairs for tail in tails]
    assert Counter(map(tuple, found)) == Counter(map(tuple, expected))


@given(first=context, second=context)
def test_shared_tokens(first, second):
    trees = [TokenTree(head, [[0]]) for head in (first, second)]
    same = [a == b for a, b in zip(first, second, strict=False)]
    expected = same.index(False) if False in same else len(same)
    assert shared_tokens(*trees) == expected


def test_a_passage_is_read_once(eager):
    passage = list(range(100))
    trees = [TokenTree([*passage, 200 + n], [[1, 2], [3, 4]]) for n in range(3)]
    root = plan(trees, row_length=256, longest=1024)
    assert root.branches == []
    assert root.groves == [[0, 1, 2]]
    assert row_lengths(trees, root.groves) == [100 + 3 * (1 + 2)]


def test_what_many_share_becomes_their_past():
    shots = list(range(1000))
    trees = [TokenTree([*shots, 2000 + n, 7], [[1], [2]]) for n in range(40)]
    root = plan(trees, row_length=256, longest=1024)
    assert root.groves == []
    (branch,) = root.branches
    assert (branch.start, branch.stop) == (0, 1000)
    assert sum(row_lengths(trees, branch.groves, 1000)) == 80


def test_a_passage_behind_few_shot_examples():
    shots, passages = list(range(500)), [list(range(k, k + 400)) for k in (1000, 2000)]
    trees = [TokenTree([*shots, *passages[n % 2], 9, n], [[1]]) for n in range(20)]
    root = plan(trees, row_length=256, longest=1024)
    (branch,) = root.branches
    assert (branch.start, branch.stop) == (0, 500)
    assert sorted((b.start, b.stop) for b in branch.branches) == [(500, 901), (500, 901)]


def test_deep_nesting_is_no_recursion():
    trees = [TokenTree([1] * n, [[2]]) for n in range(1, 1500)]
    found = [i for b in branches(plan(trees, 256, 3000)) for row in b.groves for i in row]
    assert sorted(found) == list(range(1499))


SHOTS = "".join(f"Question: What is {n} of a pond?\nAnswer: water {n}\n\n" for n in range(12))


@pytest.mark.parametrize("template", ["\n\nQuestion: {question}\nAnswer:", SHOTS + "Q: {question}"])
@pytest.mark.parametrize("passage", [None, "Bees make honey, wax and noise in a hive. " * 6])
def test_scores_equal_scoring_everything_alone(model_folder, items, template, passage):
    model = LanguageModel(model_folder)
    scorer = ChoiceScorer(model, Prompt(template))
    several = [
        Item(item.question, item.choices, context=None if place % 4 else passage)
        for place, item in enumerate(items)
    ] * 3
    together = scorer.table(several, ["base"]).heads["base"]
    alone = [scorer.table([item], ["base"]).heads["base"] for item in several]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-4)


def test_a_long_beginning_is_read_once_for_all_calls(model_folder, items, monkeypatch):
    monkeypatch.setattr("likra_lite.engine.sessions._open_sessions", OrderedDict())
    model = LanguageModel(model_folder)
    scorer = ChoiceScorer(model, Prompt(SHOTS + "Question: {question}\nAnswer:"))
    runner = model._open().trunk
    read = []
    run = runner._pass

    def count(outputs, past, **inputs):
        read.append(inputs["input_ids"].size)
        return run(outputs, past, **inputs)

    runner.forget()
    monkeypatch.setattr(runner, "_pass", count)
    first = scorer.table(items[:8], ["base"]).heads["base"]
    cold = sum(read)
    read.clear()
    second = scorer.table(items[:8], ["base"]).heads["base"]
    shots = len(model.encoder.trees([(SHOTS, ["x"])])[0][0])
    assert cold - sum(read) > 0.9 * shots
    np.testing.assert_array_equal(first, second)
