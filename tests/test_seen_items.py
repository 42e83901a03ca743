"""Items that the heads were fitted on are told of when they are tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from command_line import messages, run

from likra_lite import Item, LikraClassifier
from likra_lite.heads.saved import read_training_hashes
from likra_lite.questions.item import content_hashes


def test_hashes_go_by_what_is_asked():
    item = Item("q", ["a", "b"], 0)
    (one,) = content_hashes([item])
    same = replace(item, answer=1, id="x", metadata={"a": 1}, source="y")
    assert content_hashes([same]).tolist() == [one]
    others = [
        replace(item, question="p"),
        replace(item, choices=["b", "a"]),
        replace(item, choices=["a", "b", "c"]),
        replace(item, context="q"),
        replace(item, contexts=["", ""]),
        Item("q", ["a", '"b']),
    ]
    assert len({one, *content_hashes(others).tolist()}) == len(others) + 1
    assert content_hashes([]).shape == (0,)


def write(path, items):
    import json

    lines = [
        json.dumps({"question": i.question, "choices": i.choices, "answer": i.answer})
        for i in items
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("adapter", ["none", "output"])
def test_evaluate_and_compare_tell(adapter, items, tmp_path, capsys):
    classifier = LikraClassifier(adapter=adapter, cv=2).fit(items[:16])
    classifier.save(tmp_path / "fitted")
    np.testing.assert_array_equal(
        read_training_hashes(tmp_path / "fitted"), np.sort(content_hashes(items[:16]))
    )
    seen = write(tmp_path / "seen.jsonl", items[10:20])
    unseen = write(tmp_path / "unseen.jsonl", items[16:20])
    for command in (
        ["evaluate", seen, "--model", tmp_path / "fitted"],
        ["compare", tmp_path / "fitted", "--items", seen, "--modes", "base,pmi"],
    ):
        status, out, err = run(*command, capsys=capsys)
        assert status == 0
        assert out
        assert "warning: 6 of 10 held-out items are training items too" in err
        command[command.index(seen)] = unseen
        status, _, err = run(*command, capsys=capsys)
        assert (status, messages(err)) == (0, "")
    again = LikraClassifier.load(tmp_path / "fitted")
    again.save(tmp_path / "again")
    np.testing.assert_array_equal(again.training_hashes_, np.sort(classifier.training_hashes_))
    np.testing.assert_array_equal(
        read_training_hashes(tmp_path / "again"), read_training_hashes(tmp_path / "fitted")
    )


def test_folders_without_hashes(tmp_path, capsys, items):
    assert len(read_training_hashes(LikraClassifier()._open_model().folder)) == 0
