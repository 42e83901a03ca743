"""A folder of results: what it holds is what single fits give, however the run went."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from likra_lite.cli.main import main

from likra_lite import Item, LikraError
from likra_lite.errors import OverlapWarning
from likra_lite.experiments import (
    Experiment,
    Point,
    Results,
    draw_probes,
    grid,
    is_results_folder,
    observations,
    run,
    shuffle_questions,
    summarize_rows,
    trajectories,
    write_csv,
)
from likra_lite.experiments.predictions import Setting, correct_by_mode
from likra_lite.heads.settings import FITTED_HEADS, FitSettings
from likra_lite.heads.training_set import fit_heads, training_set
from likra_lite.prompts import as_prompt
from likra_lite.questions.inputs import answer_indices
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.modes import MODES
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.selection import ALPHAS, DecisionRule, choose
from likra_lite.scoring.weighing import fit_decision

ROOT = Path(__file__).resolve().parent.parent
UNRELATED = ("a kettle", "seven", "in the harbour")
NEAR = 2e-3  # nats: files hold float32, and another order of sums moves the solver a little


@pytest.fixture(scope="module")
def scorer(model) -> ChoiceScorer:
    return ChoiceScorer(model, as_prompt("question"))


@pytest.fixture(scope="module")
def experiment(scorer, items) -> Experiment:
    tests = {"late": items[24:], "few": items[30:36]}
    return Experiment(scorer, items[:24], tests, "questions", unrelated=UNRELATED)


POINTS = [
    *grid([6, 12], [0, 1], ["own", "other"]),
    *grid([12], [0, 1], controls=["hidden", "shuffled"]),
    *grid([12], [0], n_negatives=[3], contamination=[0.0, 0.5]),
]


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory) -> Results:
    results = experiment.create(tmp_path_factory.mktemp("results") / "here", "a command")
    run(experiment, POINTS, results, n_jobs=1)
    return results


def direct(experiment, point, prompt=None, items=None) -> ChoiceScorer:
    """Fit at a point as the classifier does: on those items alone where draws allow it."""
    items = experiment.items if items is None else items
    scorer = experiment.scorer
    if point.control == "hidden":
        scorer = ChoiceScorer(scorer.model, scorer.prompt.hide_question())
    order = np.random.default_rng(point.seed).permutation(len(items))
    keep = np.isin(np.arange(len(items)), order[: point.n_items])
    if point.negatives == "other":
        items = [item for item, kept in zip(items, keep, strict=True) if kept]
        keep = None
    settings = FitSettings(
        DecisionRule("likra"),
        negatives=point.negatives,
        n_negatives=point.n_negatives,
        contamination=point.contamination,
        seed=point.seed,
    )
    training = training_set(scorer, items, answer_indices(items), settings)
    return fit_heads(scorer, training, FITTED_HEADS, experiment.penalty, keep)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_tables_are_those_of_single_fits(point, results, experiment):
    items, tests = experiment.items, experiment.tests
    if point.control == "shuffled":
        items = shuffle_questions(items)
        tests = {name: shuffle_questions(test) for name, test in tests.items()}
    fitted = direct(experiment, point, items=items)
    for name, test in tests.items():
        expected, table = fitted.table(test), results.table(name, point)
        assert set(table.heads) == set(expected.heads)
        for head, values in expected.heads.items():
            np.testing.assert_allclose(table.heads[head], values, atol=NEAR, err_msg=head)
        np.testing.assert_array_equal(results.y(name), answer_indices(test))


def test_rows_against_plain_loops(results):
    rows = observations(results, alphas=(0.5, 1.0), normalizations=("none", "chars"))
    seen = set()
    for row in rows:
        seen.add((row["test"], row["control"], row["n_items"], row["seed"], row["mode"]))
        if row["n_items"]:
            point = Point(
                row["control"], row["n_items"], row["seed"], row["negatives"] or "own",
                row["n_negatives"] or 1, row["contamination"] or 0.0,
            )  # fmt: skip
            table = results.table(row["test"], point)
        else:
            table = results.table(row["test"], row["control"])
        plus, minus, weighted = MODES[row["mode"]]
        y, right, plus_right, minus_wrong = results.y(row["test"]), 0, [], []
        for item, (start, end) in enumerate(zip(table.offsets, table.offsets[1:], strict=False)):
            best, scores = None, []
            for choice in range(start, end):
                score = table.heads[plus][choice]
                if minus:
                    weight = row["alpha"] if weighted else 1.0
                    score -= weight * table.heads[minus][choice]
                    if choice - start != y[item]:
                        minus_wrong.append(table.heads[minus][choice])
                if row["normalization"] == "chars":
                    score /= table.n_chars[choice]
                scores.append(score)
            best = scores.index(max(scores))
            right += int(best == y[item])
            plus_right.append(table.heads[plus][start + y[item]])
        assert row["accuracy"] == right / len(y)
        assert row["standard_error"] == pytest.approx(
            np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / len(y))
        )
        assert row["n_test"] == len(y)
        assert row["plus_right"] == pytest.approx(np.mean(plus_right), abs=1e-4)
        if minus:
            assert row["minus_wrong"] == pytest.approx(np.mean(minus_wrong), abs=1e-4)
        else:
            assert row["minus_wrong"] is None
        assert (row["alpha"] is None) == (not weighted)
        assert (row["negatives"] is None) == ("negative" not in MODES[row["mode"]].heads)
    for test in ("late", "few"):
        for control in ("none", "hidden", "shuffled"):
            assert (test, control, 0, None, "base") in seen
            assert ((test, control, 0, None, "pmi") in seen) == (control != "hidden")
            assert {(test, control, 12, seed, "sft") for seed in (0, 1)} <= seen
    settings = [tuple(str(row[k]) for k in list(row)[:12] if k != "experiment") for row in rows]
    assert len(set(settings)) == len(rows), "a row for every observation, and only one"


def test_pandas_reads_what_is_written(results, tmp_path):
    rows = observations(results)
    write_csv(tmp_path / "rows.csv", rows)
    frame = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame(rows), check_dtype=False, check_column_type=False
    )
    with pytest.raises(LikraError, match="there are no results to write"):
        write_csv(tmp_path / "none.csv", [])


def test_summaries_are_means_over_seeds(results):
    points = [point for point in results.points() if point.control == "none"]
    rows = observations(results, alphas=(0.5, "auto"), points=points)
    frame = pd.DataFrame(rows)
    found = summarize_rows(rows)
    assert len(found) < len(rows)
    for row in found:
        chosen = frame
        for name in ("test", "control", "n_items", "mode", "negatives", "n_negatives",
                     "contamination", "alpha_auto"):  # fmt: skip
            value = row[name]
            chosen = chosen[chosen[name].isna() if value is None else chosen[name] == value]
        assert row["n_seeds"] == len(chosen)
        assert row["accuracy"] == pytest.approx(chosen["accuracy"].mean())
        spread = chosen["accuracy"].std()
        assert row["deviation"] == (pytest.approx(spread) if len(chosen) > 1 else None)
        assert row["standard_error"] == pytest.approx(
            np.sqrt((chosen["standard_error"] ** 2).mean())
        )
        if row["alpha"] is not None:
            assert row["alpha"] == pytest.approx(chosen["alpha"].mean())


def test_alpha_is_chosen_on_training_items_that_were_not_used(results, experiment):
    point = Point("none", 12, 1)
    order = np.random.default_rng(1).permutation(24)
    unused = [experiment.items[i] for i in sorted(order[12:])]
    table = direct(experiment, point).table(unused, ["base", "positive", "negative"])
    kept, y = results.unused_table(point)
    np.testing.assert_array_equal(y, answer_indices(unused))
    for head, values in table.heads.items():
        np.testing.assert_allclose(kept.heads[head], values, atol=NEAR)
    expected = choose(table, y, "likra", ALPHAS, ["none"])
    assert results.decision(point, "likra", "auto") == Decision("likra", expected.alpha)
    assert results.decision(point, "sft", "auto") == Decision("sft")
    weights = fit_decision(kept, y)
    assert results.fitted_decision(point) == weights
    setting = Setting(results.tests[0], point.n_items)
    right = weights.predict(results.table(results.tests[0], point)) == results.y(results.tests[0])
    found = correct_by_mode(results, setting, ["auto"])["auto"]
    assert any(np.array_equal(right, row) for row in found)


def test_alpha_cannot_be_chosen_where_everything_was_used(experiment, tmp_path):
    results = experiment.create(tmp_path / "r")
    run(experiment, [Point("none", 24, 0)], results, n_jobs=1)
    with pytest.raises(LikraError, match="all 24 training items were fitted on; none is left"):
        observations(results, ["likra"], ["auto"])


def test_trajectories_against_direct_scores(results, experiment):
    test = experiment.tests["late"]
    right = [item.choices[item.answer] for item in test]
    wrong = [[c for n, c in enumerate(i.choices) if n != i.answer] for i in test]
    groups = {
        "right": [[answer] for answer in right],
        "near-miss": wrong,
        "other": [[answer] for answer in draw_probes(test, right)],
        "unrelated": [[answer] for answer in draw_probes(test, UNRELATED)],
    }
    for item, (other,), (unrelated,) in zip(
        test, groups["other"], groups["unrelated"], strict=True
    ):
        assert other in right
        assert other not in item.choices
        assert unrelated in UNRELATED
    fitted = direct(experiment, Point("none", 12, 1))
    rows = [r for r in trajectories(results) if r["test"] == "late" and r["control"] == "none"]
    for head in ("base", "positive", "negative"):
        for group, answers in groups.items():
            pairs = [(fitted.prompt.context(i), [" " + a for a in given])
                     for i, given in zip(test, answers, strict=True)]  # fmt: skip
            values = fitted.pair_scorer.scores(pairs, fitted.select([head])).log_likelihoods[0]
            (row,) = (
                r for r in rows
                if (r["head"], r["group"]) == (head, group)
                and (head == "base" or (r["n_items"], r["seed"]) == (12, 1))
                and r["negatives"] in (None, "own")
            )  # fmt: skip
            assert row["log_likelihood"] == pytest.approx(values.mean(), abs=NEAR)
            assert row["n_answers"] == len(values)


def test_questions_are_exchanged(items):
    shuffled = shuffle_questions(items)
    assert sorted(i.question for i in shuffled) == sorted(i.question for i in items)
    for before, after in zip(items, shuffled, strict=True):
        assert after.question != before.question
        assert (after.choices, after.answer, after.id) == (before.choices, before.answer, before.id)
    assert shuffled == shuffle_questions(items)
    assert shuffled != shuffle_questions(items, seed=1)
    # Twins ask the same, and still none keeps its question.
    twins = [Item(f"Q{n // 2}?", ("a", "b"), 0, context=f"C{n // 2}") for n in range(8)]
    moved = shuffle_questions(twins)
    assert all(a.question != b.question for a, b in zip(twins, moved, strict=True))
    assert all(item.question[1:-1] == item.context[1:] for item in moved), "contexts go along"


def test_probes_are_drawn_for_a_part_of_many_items():
    many = [Item(f"Q{n}?", (f"a{n}", "b"), 0) for n in range(400)]
    drawn = draw_probes(many, ["a1", "a2", "b"])
    assert sum(answer is not None for answer in drawn) == 256
    assert "b" not in drawn
    assert draw_probes(many[:3], ["b"]) == [None] * 3


def test_fits_on_hidden_questions_do_not_depend_on_them(
    results, experiment, scorer, items, tmp_path
):
    asked = [Item("Something else?", i.choices, i.answer, context="And more.") for i in items]
    tests = {"late": asked[24:], "few": asked[30:36]}
    other = Experiment(scorer, asked[:24], tests, "else", unrelated=UNRELATED)
    point = Point("hidden", 12, 0)
    found = other.create(tmp_path / "r")
    run(other, [point], found, n_jobs=1)
    one, two = found.table("late", point), results.table("late", point)
    for head in one.heads:
        np.testing.assert_allclose(one.heads[head], two.heads[head], atol=NEAR)
    shown = results.table("late", Point("none", 12, 0))
    assert np.abs(shown.heads["positive"] - two.heads["positive"]).max() > 0.1


def test_contamination_and_number_of_negatives(experiment, tmp_path):
    points = grid([12], [0], ["own"], contamination=[1.0]) + grid([12], [0], ["all"])
    points += grid([12], [0], ["own"], n_negatives=[5])
    results = experiment.create(tmp_path / "r")
    run(experiment, points, results, n_jobs=1)
    contaminated = results.table("late", points[0])
    np.testing.assert_allclose(  # every wrong answer is the right one
        contaminated.heads["negative"], contaminated.heads["positive"], atol=NEAR
    )
    every, five = (results.table("late", point) for point in points[1:])
    np.testing.assert_allclose(every.heads["negative"], five.heads["negative"], atol=NEAR)
    half = experiment.bench("none").draw(Point("none", 12, 0, contamination=0.5))
    right = answer_indices(experiment.items)[half.item] == half.choice
    assert 0.2 < right.mean() < 0.8


def test_letters_are_never_those_of_another_item(scorer, items, tmp_path):
    """An answer of another question has no letter here, so none is followed or learned."""
    lettered = replace(scorer, prompt=as_prompt("letters"))
    experiment = Experiment(lettered, items[:12], {"test": items[12:20]}, unrelated=["a stone"])
    results = experiment.create(tmp_path)
    run(experiment, grid([6], [0]), results, n_jobs=1)
    assert {row["group"] for row in trajectories(results)} == {"right", "near-miss"}
    with pytest.raises(LikraError, match="have no letter"):
        run(experiment, grid([6], [0], negatives=["other"]), results, n_jobs=1)


def test_any_number_of_processes_gives_the_same(results, experiment, tmp_path):
    points = grid([6, 12], [0, 1], ["own", "other"])
    for name, how in (("two", {"n_jobs": 2}), ("threads", {"backend": "threading", "n_jobs": 2})):
        again = experiment.create(tmp_path / name)
        with joblib.parallel_config(**how):
            run(experiment, points, again)
        for point in points:
            one, two = results.table("late", point), again.table("late", point)
            for head in one.heads:
                np.testing.assert_allclose(one.heads[head], two.heads[head], atol=NEAR)


def test_a_finished_point_is_not_fitted_again(experiment, tmp_path, monkeypatch):
    points = grid([6, 12], [0])
    results = experiment.create(tmp_path / "r")
    told = []
    run(experiment, points[:1], results, n_jobs=1, done=told.append)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*.safetensors")}
    (tmp_path / "r" / "points" / ".half.safetensors.123").write_bytes(b"half")
    (tmp_path / "r" / "points" / ".half.safetensors").write_bytes(b"half")
    run(experiment, points, results, n_jobs=1, done=told.append)
    assert told == [0, 1, 1, 1]
    for path, modified in before.items():
        assert path.stat().st_mtime_ns == modified
    assert results.points() == points
    monkeypatch.setattr(Experiment, "bench", None)  # nothing is even read
    run(experiment, points, results, n_jobs=1)


def test_a_folder_with_something_else_is_refused(experiment, scorer, items, model, tmp_path):
    folder = tmp_path / "r"
    experiment.create(folder)
    assert is_results_folder(folder)
    tests = {"late": items[24:], "few": items[30:36]}

    def refused(message, *arguments, **settings):
        with pytest.raises(LikraError, match=message) as info:
            Experiment(*arguments, **settings).create(folder)
        assert "\n" not in str(info.value)

    with_unrelated = {"unrelated": UNRELATED}
    refused(r"with other training items \(questions \w{8}, now", scorer, items[:23], tests,
            **with_unrelated)  # fmt: skip
    refused(r"with other test items \(late \w{8}, few \w{8}, now late \w{8}\)", scorer, items[:24],
            {"late": items[24:]}, **with_unrelated)  # fmt: skip
    refused(r"with other penalty \(100000.0, now 5.0\)", scorer, items[:24], tests,
            penalty=5.0, **with_unrelated)  # fmt: skip
    refused("with other unrelated answers", scorer, items[:24], tests)
    completion = ChoiceScorer(model, as_prompt("completion"))
    refused("with other prompt", completion, items[:24], tests, **with_unrelated)
    # What an older version did not write is not compared, and not made up.
    written = json.loads((folder / "experiment.json").read_text())
    older = written | {"tests": [{k: t[k] for k in t if k != "overlap"} for t in written["tests"]]}
    (folder / "experiment.json").write_text(json.dumps(older))
    assert experiment.create(folder).overlap("late") is None
    # Names are labels: a copy of the files is the same experiment.
    Experiment(
        scorer, items[:24], dict(zip("xy", tests.values(), strict=True)), **with_unrelated
    ).create(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(LikraError, match="exists and holds no results; choose another --out"):
        experiment.create(other)
    with pytest.raises(LikraError, match="holds no results; make some with: likra-lite curve"):
        Results(other)
    content = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_text(json.dumps(content | {"format_version": 9}))
    with pytest.raises(LikraError, match="has format version 9 but this likra-lite reads 1"):
        Results(folder)
    (folder / "experiment.json").write_text("{")
    with pytest.raises(LikraError, match="cannot be read"):
        Results(folder)


def test_what_experiments_refuse(experiment, scorer, items, results, tmp_path):
    with pytest.warns(OverlapWarning, match="1 of 2 held-out items are training items too"):
        sharing = Experiment(scorer, items[:3], {"t": items[2:4], "u": items[4:6]})
    again = sharing.create(tmp_path / "sharing")
    assert (again.overlap("t"), again.overlap("u")) == (1, 0)
    with pytest.raises(LikraError, match="t: an experiment needs at least two items, got 1"):
        Experiment(scorer, items[:3], {"t": items[5:6]})
    with pytest.raises(LikraError, match="got no test items"):
        Experiment(scorer, items[:3], {})
    with pytest.raises(LikraError, match="a size of 25 examples but questions has 24 items"):
        run(experiment, [Point("none", 25, 0)], results)
    with pytest.raises(LikraError, match="got control='upside down'"):
        Point("upside down", 1, 0)
    with pytest.raises(LikraError, match="got contamination=2"):
        Point("none", 1, 0, contamination=2)
    with pytest.raises(LikraError, match="nothing to fit"):
        grid([], [0])
    with pytest.raises(LikraError, match=r"got test set 'early'; .* has 'late', 'few'"):
        results.y("early")
    with pytest.raises(LikraError, match="has no results of Point"):
        results.table("late", Point("none", 7, 0))
    damaged = results.folder / "points" / f"{Point('none', 3, 3).key}.safetensors"
    damaged.write_bytes(b"half")
    try:
        with pytest.raises(LikraError, match=r"cannot be read .*; delete it and measure again"):
            results.points()
    finally:
        damaged.unlink()


PROGRAM = "from likra_lite.cli.main import main; main()"


@pytest.fixture(scope="module")
def command(model_folder, tmp_path_factory):
    """Return how to begin a run with 12 fits, in a process of its own or, faster, in this one.

    ``whole.csv`` is what it writes if nobody disturbs it.
    """
    place = tmp_path_factory.mktemp("command")
    lines = (ROOT / "examples" / "questions.jsonl").read_text().splitlines()
    (place / "train.jsonl").write_text("\n".join(lines[:24]))
    (place / "test.jsonl").write_text("\n".join(lines[24:]))
    arguments = [
        "curve", "train.jsonl", "--test", "test.jsonl", "--model", str(model_folder),
        "--adapter", "output",
        "--sizes", "4,8,16", "--seeds", "2", "--negatives", "own,other", "--jobs", "1",
    ]  # fmt: skip

    def start(out: str, table: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments, "--out", out, "--csv", table], cwd=place,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def call(out: str, table: str) -> None:
        with contextlib.chdir(place), warnings.catch_warnings():
            main([*arguments, "--out", out, "--csv", table])

    call("whole", "whole.csv")
    return start, call, place


def wait_for_points(folder: Path, count: int, process) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("points/[0-9a-f]*"))) < count:
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_and_run_again_gives_the_same_table(command):
    start, call, place = command
    process = start("killed", "killed.csv")
    wait_for_points(place / "killed", 3, process)
    process.kill()
    process.communicate(timeout=60)
    kept = len(list((place / "killed" / "points").glob("[0-9a-f]*.safetensors")))
    assert 3 <= kept < 12
    assert not (place / "killed.csv").exists()
    call("killed", "killed.csv")
    assert (place / "killed.csv").read_bytes() == (place / "whole.csv").read_bytes()


def test_two_processes_on_one_folder(command):
    start, _, place = command
    for process in [start("shared", f"{n}.csv") for n in range(2)]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "accuracy on 24 items; 2 seeds" in out
    whole = (place / "whole.csv").read_bytes()
    assert [(place / f"{n}.csv").read_bytes() for n in range(2)] == [whole, whole]
    left = [path.name for path in (place / "shared").rglob(".*")]
    assert left == []
    with (place / "whole.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 2 + 3 * 2 * (2 + 2 * 2)


def test_an_interrupt_keeps_what_is_finished(command):
    start, _, place = command
    process = start("stopped", "stopped.csv")
    wait_for_points(place / "stopped", 2, process)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "of 12 fits are in stopped; the same command goes on" in err
    assert "Traceback" not in err
    assert len(Results(place / "stopped").points()) >= 2


def test_fitted_weights_have_rows_where_training_items_are_left(results, experiment):
    whole = Point("none", n_items=24, seed=0)
    run(experiment, [whole], results, n_jobs=1)
    for point in POINTS[:4]:
        (row,) = observations(results, ["auto"], points=[point])[:1]
        decision = results.fitted_decision(point)
        assert row["accuracy"] == np.mean(results.correct("late", point, decision))
        assert (row["mode"], row["alpha"], row["normalization"]) == ("auto", None, None)
        assert row["negatives"] == point.negatives
    assert observations(results, ["auto"], points=[whole]) == []
