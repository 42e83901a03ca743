"""LoRA heads in experiments: checkpoints are fits, and nothing is trained twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from command_line import run as run_command

from likra_lite import LikraError
from likra_lite.experiments import Experiment, Point, Results, grid, observations, run, trajectories
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.prompts import as_prompt
from likra_lite.questions.inputs import answer_indices
from likra_lite.scoring.scorer import ChoiceScorer

RECIPE = LoraRecipe(rank=2, learning_rate=1e-2, batch_size=4, schedule="constant")
POINTS = [*grid([8, 16], [0, 1]), *grid([8], [0], ["other", "all"])]
NEAR = 1e-4


@pytest.fixture(scope="module")
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


@pytest.fixture(scope="module")
def experiment(scorer, items) -> Experiment:
    tests = {"late": items[24:34]}
    return Experiment(scorer, items[:24], tests, unrelated=["a kettle"], recipe=RECIPE)


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory) -> Results:
    found = experiment.create(tmp_path_factory.mktemp("lora") / "r", "likra-lite curve x")
    run(experiment, POINTS, found)
    return found


def test_a_checkpoint_is_a_fit_on_so_many_examples(results, experiment, tmp_path):
    assert results.points() == sorted(POINTS)
    for point in (Point("none", 8, 1), Point("none", 8, 0)):
        alone = experiment.create(tmp_path / point.key)
        run(experiment, [point], alone)
        one, two = results.table("late", point), alone.table("late", point)
        for head in ("positive", "negative"):
            np.testing.assert_allclose(one.heads[head], two.heads[head], atol=NEAR)
            assert np.abs(one.heads[head] - one.heads["base"]).max() > 0.01
    trained = sorted(path.name for path in results.trainings.glob("positive-*/*"))
    assert trained == ["16", "16"], "one training for each seed"


def test_tables_are_those_of_the_heads(results, experiment):
    for point in POINTS:
        fitted = experiment.fit(point, results)
        expected = fitted.table(experiment.tests["late"])
        table = results.table("late", point)
        for head, values in expected.heads.items():
            np.testing.assert_allclose(table.heads[head], values, atol=NEAR, err_msg=head)
        held, y = results.unused_table(point)
        order = np.random.default_rng(point.seed).permutation(24)
        unused = [experiment.items[index] for index in sorted(order[point.n_items :])]
        np.testing.assert_array_equal(y, answer_indices(unused))
        np.testing.assert_allclose(
            held.heads["negative"], fitted.table(unused).heads["negative"], atol=NEAR
        )


def test_heads_learn_the_answers_that_they_are_trained_on(results, experiment):
    """The positive head finds its right answers likelier than the base model does."""
    point = Point("none", 16, 0)
    order = np.random.default_rng(0).permutation(24)[:16]
    table = experiment.fit(point, results).table([experiment.items[i] for i in order.tolist()])
    right = table.offsets[:-1] + answer_indices([experiment.items[i] for i in order.tolist()])
    gain = (table.heads["positive"] - table.heads["base"])[right]
    assert gain.mean() > 0.05


def test_answers_from_elsewhere_are_followed(results):
    groups = {row["group"] for row in trajectories(results)}
    assert groups == {"right", "near-miss", "other", "unrelated"}
    assert {row["mode"] for row in observations(results)} > {"likra", "base-likra", "sft"}


def test_nothing_is_trained_twice(results, experiment, monkeypatch):
    monkeypatch.setattr("likra_lite.experiments.lora_bench.GraphTrainer.train", None)
    run(experiment, POINTS, results)
    experiment.fit(Point("none", 8, 1), results)


def test_training_in_several_epochs_leaves_no_checkpoints_for_others(experiment, scorer, tmp_path):
    twice = Experiment(scorer, experiment.items, experiment.tests, recipe=replace(RECIPE, epochs=2))
    results = twice.create(tmp_path / "r")
    run(twice, grid([4, 8], [0]), results)
    trained = sorted(path.name for path in results.trainings.glob("positive-*/*"))
    assert trained == ["4", "8"]


def test_another_recipe_is_another_experiment(results, experiment, scorer):
    other = Experiment(
        scorer, experiment.items, experiment.tests, unrelated=["a kettle"],
        recipe=replace(RECIPE, rank=4),
    )  # fmt: skip
    with pytest.raises(LikraError, match="with other recipe of LoRA heads"):
        other.create(results.folder)
    plain = Experiment(scorer, experiment.items, experiment.tests, unrelated=["a kettle"])
    with pytest.raises(LikraError, match="with other recipe of LoRA heads"):
        plain.create(results.folder)


def test_the_commands(model_folder, items, tmp_path, capsys, monkeypatch):
    import json

    monkeypatch.chdir(tmp_path)
    for name, part in (("train.jsonl", items[:20]), ("test.jsonl", items[20:30])):
        lines = [
            json.dumps({"question": i.question, "choices": i.choices, "answer": i.answer})
            for i in part
        ]
        (tmp_path / name).write_text("\n".join(lines))
    arguments = [
        "curve", "train.jsonl", "--test", "test.jsonl", "--model", str(model_folder), "--sizes",
        "4,8", "--adapter", "lora", "--rank", "2", "--batch-size", "4", "--learning-rate", "1e-2",
        "--out", "r", "--report", "page.html",
    ]  # fmt: skip
    status, out, err = run_command(*arguments, capsys=capsys)
    assert status == 0, err
    assert "examples" in out
    assert (
        "LoRA of rank 2, learning rate 0.01, batches of 4" in (tmp_path / "page.html").read_text()
    )
    status, out, _ = run_command("compare", "r", capsys=capsys)
    assert status == 0
    assert "likra - base" in out
    status, _, err = run_command(
        *arguments[:8], "--adapter", "output", "--rank", "2", capsys=capsys
    )
    assert status == 2
    assert "--rank is a setting of LoRA; add --adapter lora" in err


def test_what_the_graphs_cannot_train_is_refused_at_once(scorer, items):
    rival = replace(RECIPE, objective="unlikelihood")
    with pytest.raises(LikraError, match="objective unlikelihood needs PyTorch"):
        Experiment(scorer, items[:8], {"t": items[8:10]}, recipe=rival)
