"""Curve, compare and inspect, as a person would use them."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run
from likra_lite.cli.main import main
from likra_lite.cli.opening import open_experiment

from likra_lite import LikraClassifier, read_items
from likra_lite.datasets import load_demo
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.manifest import LORA_GRADIENT
from likra_lite.experiments import Results
from likra_lite.experiments.predictions import Setting, correct_by_mode
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.scoring.comparisons import compare_modes
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.explain import explain_item
from likra_lite.scoring.margin import margin_of, margin_text
from likra_lite.scoring.modes import MODES

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = ROOT / "examples" / "questions.jsonl"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    lines = QUESTIONS.read_text().splitlines()
    (folder / "train.jsonl").write_text("\n".join(lines[:24]))
    (folder / "test.jsonl").write_text("\n".join(lines[24:]))
    (folder / "sub").mkdir()
    (folder / "sub" / "test.jsonl").write_text("\n".join(lines[30:40]))
    return folder


@pytest.fixture(scope="module")
def measured(files, model_folder) -> Path:
    """A folder of results, with the question asked and hidden."""
    with warnings.catch_warnings():
        main(
            ["curve", str(files / "train.jsonl"), "--test", str(files / "test.jsonl"), "--test",
             str(files / "sub" / "test.jsonl"), "--model", str(model_folder), "--sizes", "6,12",
             "--adapter", "output", "--seeds", "2", "--negatives", "own,hardest", "--control",
             "hidden", "--jobs", "1",
             "--out", str(files / "results"), "--csv", str(files / "rows.csv"),
             "--trajectories", str(files / "trajectories.csv")]
        )  # fmt: skip
    return files / "results"


def test_curve_prints_what_it_writes(measured, files, model_folder, capsys):
    frame = pd.read_csv(files / "rows.csv", keep_default_na=False, na_values=[""])
    # Everything is finished: nothing is fitted, so that --limit and --model must still agree.
    status, out, err = run(
        "curve", str(files / "train.jsonl"), "--test", str(files / "test.jsonl"), "--test",
        str(files / "sub" / "test.jsonl"), "--model", str(model_folder), "--sizes", "6,12",
        "--seeds", "2", "--negatives", "own,hardest", "--adapter", "output", "--out", str(measured),
        capsys=capsys,
    )  # fmt: skip
    assert status == 0
    assert all("items; format JSON lines" in line for line in err.splitlines())  # nothing else
    assert set(frame["test"]) == {"files0/test", "sub/test"} or len(set(frame["test"])) == 2
    section = out[: out.index("sub/test")]
    assert "accuracy on 24 items; 2 seeds: mean (standard deviation between seeds)" in section
    assert [line for line in out.splitlines() if len(line) > 80] == []
    base = frame[(frame["mode"] == "base") & (frame["control"] == "none") & (frame["n_test"] == 24)]
    assert f"without examples: base {base['accuracy'].iloc[0]:.3f}, pmi" in section
    for mode, kind in (("sft", None), ("likra", "own"), ("base-likra", "hardest")):
        rows = frame[
            (frame["mode"] == mode) & (frame["n_items"] == 12) & (frame["control"] == "none")
            & (frame["n_test"] == 24)
            & (frame["negatives"].isna() if kind is None else frame["negatives"] == kind)
        ]  # fmt: skip
        assert len(rows) == 2
        cell = f"{rows['accuracy'].mean():.3f} ({rows['accuracy'].std():.3f})"
        table = section[section.index(mode if kind else "examples ") :]
        line = next(line for line in table.splitlines() if line.startswith("12 "))
        assert cell in line
    moved = pd.read_csv(files / "trajectories.csv")
    assert set(moved["group"]) == {"right", "near-miss", "other", "unrelated"}


def test_curve_without_a_folder_and_with_auto(files, model_folder, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(
        "curve", str(files / "train.jsonl"), "--test", str(files / "test.jsonl"), "--model",
        str(model_folder), "--adapter", "output", "--sizes", "6,12", "--alpha", "0.5,auto",
        "--modes", "likra,sft", "--normalization", "none,chars", "--contamination", "0,0.5",
        "--jobs", "1",
        "--csv", "rows.csv", capsys=capsys,
    )  # fmt: skip
    assert status == 0
    for name in ("alpha 0.5 per answer 0% right", "alpha auto per character 50% right"):
        assert name in out
    assert "alpha, chosen on unused training items, mean over seeds" in out
    assert "seeds:" not in out, "one seed has no spread"
    frame = pd.read_csv("rows.csv", keep_default_na=False, na_values=[""])
    assert len(frame) == 2 * (2 + 2 * 2 * 2)
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.csv"], "nothing else is left"


def test_without_test_items_a_fifth_is_held_out(files, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = (files / "train.jsonl").read_text().splitlines()
    twin = {**json.loads(lines[0]), "id": "twin"}
    Path("items.jsonl").write_text("\n".join([*lines, json.dumps(twin)]))
    told = []
    for out in ("one", "two"):
        status, text, err = run(
            "curve", "items.jsonl", "--sizes", "4", "--modes", "base", "--jobs", "1", "--out", out,
            capsys=capsys,
        )  # fmt: skip
        assert status == 0, err
        told.append(text)
        assert re.search(r"a fifth of the items, [456] of 25, is held out to test on", err)
    assert told[0] == told[1], "always the same fifth"
    assert "items, a fifth held out\naccuracy on " in told[0]
    experiment = open_experiment("items.jsonl", [], None, 1, False)
    (held_out,) = experiment.tests.values()
    parts = [{item.question for item in part} for part in (experiment.items, held_out)]
    assert len(experiment.items) + len(held_out) == 25
    assert not parts[0] & parts[1], "twins are held out together, or not at all"
    assert list(open_experiment("demo", [], None, 1, False).tests) == ["demo"]
    Path("few.jsonl").write_text("\n".join(lines[:9]))
    status, _, err = run("curve", "few.jsonl", capsys=capsys)
    assert status == 1
    assert "few.jsonl has 9 items, too few to hold a fifth out; give --test FILE" in err


def test_heads_that_serve_the_model_best(files, model_folder, tmp_path, capsys):
    """LoRA where the folder can be trained, output matrices with the bundled model."""

    def recipe(model):
        return open_experiment(
            str(files / "train.jsonl"), [], model, 1, False, recipe="auto"
        ).recipe

    assert recipe(str(model_folder)) == LoraRecipe()
    assert "LoRA heads are trained, as by fit" in capsys.readouterr().err
    assert recipe(None) is None
    assert "LoRA" not in capsys.readouterr().err
    untrainable = tmp_path / "untrainable"
    shutil.copytree(model_folder, untrainable)
    (untrainable / LORA_GRADIENT).unlink()
    write_manifest(untrainable, read_manifest(model_folder))
    assert recipe(str(untrainable)) is None
    assert "output matrices are fitted, no LoRA heads: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "8,x"], "'8,x' is not a list of numbers, such as 8,64"),
        (["--sizes", "0"], "got n_items=0; expected an integer of at least 1"),
        (["--sizes", "25"], "got a size of 25 examples but train has 24 items"),
        (["--modes", "sft,best"], "'sft,best' is not a list of modes: base, pmi, sft"),
        (["--negatives", "mine"], "'mine' is not a list of kinds: own, all"),
        (["--alpha", "high"], "'high' is not a list of numbers, such as 0.5,0.9, or 'auto'"),
        (["--alpha", "-1"], "got alpha=-1.0; expected a number of at least 0"),
        (["--sizes", "8,24", "--alpha", "auto"], "but a size of 24 uses all of"),
        (["--contamination", "2"], "got contamination=2.0; expected a share between 0 and 1"),
        (["--n-negatives", "0"], "got n_negatives=0; expected an integer of at least 1"),
        (["--penalty", "0"], "got penalty=0.0; expected a number above 0"),
        (["--csv", "no/where.csv"], "cannot write no/where.csv: its folder does not exist"),
        (["--csv", "a.csv", "--trajectories", "./a.csv"], "--csv are the same file"),
        (["--test", "test.jsonl"], "got test.jsonl twice; give every file of items once"),
        (["--out", "sub"], "sub exists and holds no results; choose another --out"),
        (["--prompt", "no question"], "got prompt 'no question'"),
    ],
)
def test_curve_refuses(arguments, message, files, model_folder, capsys, monkeypatch):
    monkeypatch.chdir(files)
    status, out, err = run(
        "curve", "train.jsonl", "--test", "test.jsonl", "--model", str(model_folder), "--sizes",
        "8", *arguments, capsys=capsys,
    )  # fmt: skip
    assert status in (1, 2)
    assert out == ""
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_curve_refuses_another_experiments_folder(measured, files, model_folder, capsys):
    status, _, err = run(
        "curve", str(files / "train.jsonl"), "--test", str(files / "test.jsonl"), "--model",
        str(model_folder), "--adapter", "output", "--sizes", "6", "--out", str(measured),
        capsys=capsys,
    )  # fmt: skip
    assert status == 1
    assert re.search(r"holds another experiment, with other test items \(.*\); choose", err)


def test_compare_results(measured, capsys):
    status, out, err = run("compare", str(measured), "--negatives", "own,hardest", capsys=capsys)
    assert (status, err) == (0, "")
    results = Results(measured)
    setting = Setting(results.tests[0], 12, negatives=("own", "hardest"))
    correct = correct_by_mode(results, setting)
    assert list(correct) == ["base", "pmi", "sft", "likra own", "likra hardest",
                             "base-likra own", "base-likra hardest", "pos-base"]  # fmt: skip
    for seed in range(2):
        (point,) = (p for p in setting.points(results, "hardest") if p.seed == seed)
        expected = Decision("likra", 0.9).predict(results.table(results.tests[0], point))
        right = expected == results.y(results.tests[0])
        np.testing.assert_array_equal(correct["likra hardest"][seed], right)
    for each in compare_modes(correct, ["base", "sft"]):
        line = next(
            line for line in out.splitlines() if line.startswith(f"{each.mode} - {each.reference} ")
        )
        assert f"{each.difference:+.3f} +- {each.standard_error:.3f}" in line
        assert f"{each.low:+.3f} to {each.high:+.3f}" in line
    assert "no gain was found, so none can remain with the question hidden" in out
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_compare_with_other_settings(measured, capsys):
    status, out, _ = run(
        "compare", str(measured), "--size", "6", "--control", "hidden", "--test", "sub/test",
        "--modes", "sft,base-likra", "--reference", "sft", "--alpha", "auto", capsys=capsys,
    )  # fmt: skip
    assert status == 0
    assert out.startswith("sub/test, 6 examples of train, control hidden, alpha auto\n")
    assert "base-likra - sft" in out
    assert "question hidden" not in out


def test_compare_tells_what_of_a_gain_remains(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, subset, count in (("train.jsonl", "train", 32), ("test.jsonl", "test", 120)):
        items = load_demo(subset).items[:count]
        lines = [
            json.dumps({"question": i.question, "choices": i.choices, "answer": i.answer})
            for i in items
        ]
        Path(name).write_text("\n".join(lines))
    arguments = ["--sizes", "32", "--control", "hidden", "--jobs", "1", "--out", "r"]
    status, *_ = run("curve", "train.jsonl", "--test", "test.jsonl", *arguments, capsys=capsys)
    assert status == 0
    status, out, _ = run("compare", "r", "--reference", "base", capsys=capsys)
    assert status == 0
    gains = {}
    for control in ("none", "hidden"):
        found = correct_by_mode(Results("r"), Setting("test", 32, control), ["base", "base-likra"])
        gains[control] = found["base-likra"].mean() - found["base"].mean()
    assert gains["none"] > 0.15
    assert abs(gains["hidden"]) < 0.1
    text = " ".join(out.split("in fitting and testing\n")[1].split())
    assert "base-likra: " in text
    measured = f"({100 * gains['hidden']:+.1f}", f"of {100 * gains['none']:+.1f} "
    assert all(part in text for part in measured)
    assert "when the question is hidden" in text


def test_compare_a_model_folder(model_folder, files, tmp_path, capsys):
    items = read_items(QUESTIONS)
    fitted = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=0.7).fit(
        items[:24]
    )
    fitted.save(tmp_path / "heads")
    test = str(files / "test.jsonl")
    status, out, _ = run("compare", str(tmp_path / "heads"), "--items", test, capsys=capsys)
    assert status == 0
    assert f"likra       {fitted.score(items[24:]):.3f} +- " in out
    status, out, _ = run("compare", str(model_folder), "--items", test, capsys=capsys)
    assert "pmi - base" in out
    assert "likra" not in out.split("\n", 2)[2], "no heads, no modes that need them"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "7"], "has no fits on 7 items with 1 own negatives, control none; it has the "
         "sizes 6, 12 and the kinds hardest, own"),
        (["--control", "shuffled"], "control shuffled; it has the sizes none"),
        (["--test", "other"], "got test set 'other'"),
        (["--items", "x.jsonl"], "has results of its own test items; leave --items out"),
        (["--alpha", "x"], "'x' is neither a number nor 'auto'"),
        (["--modes", "x"], "'x' is not a list of modes"),
    ],
)  # fmt: skip
def test_compare_refuses(arguments, message, measured, capsys):
    status, out, err = run("compare", str(measured), *arguments, capsys=capsys)
    assert status in (1, 2)
    assert out == ""
    assert message in " ".join(err.split())


def test_compare_needs_items_for_a_model(model_folder, files, capsys):
    status, _, err = run("compare", str(model_folder), capsys=capsys)
    assert status == 1
    assert "holds no results of curve; for a model folder, give --items FILE" in err
    arguments = ("--items", str(files / "test.jsonl"), "--alpha", "auto")
    status, _, err = run("compare", str(model_folder), *arguments, capsys=capsys)
    assert status == 1
    assert "alpha is never chosen on the items of the comparison; give a number" in err


@pytest.fixture(scope="module")
def classifier():
    items, y = load_demo()
    return LikraClassifier(adapter="output", mode="likra", alpha=0.9, cv=2).fit(items[:12], y[:12])


@pytest.mark.parametrize("normalization", ["none", "chars", "tokens"])
@pytest.mark.parametrize("mode", MODES)
def test_tokens_make_up_scores_and_margin(mode, normalization, classifier):
    decision = Decision(mode, 0.9, normalization)
    item = load_demo("test").items[2]
    explanation = explain_item(classifier.scorer_, decision, item)
    margin = margin_of(explanation)
    scores = [choice.score for choice in explanation.choices]
    table = classifier.scorer_.table([item])
    np.testing.assert_allclose(scores, decision.scores(table), atol=1e-4)
    assert margin.chosen == int(np.argmax(scores))
    others = [n for n in range(len(scores)) if n != margin.chosen]
    second = max(others, key=scores.__getitem__)
    assert margin.rival == (second if margin.chosen == item.answer else item.answer)
    assert margin.value == pytest.approx(scores[margin.chosen] - scores[margin.rival])
    for parts, score in zip(margin.contributions, scores, strict=True):
        assert parts.tokens.sum() + parts.length == pytest.approx(score, abs=1e-4)
    total = sum(share.sum() for share in margin.shares.values())
    assert total == pytest.approx(1.0, abs=1e-3)
    text = margin_text(explanation)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert f"[{margin.chosen}] is {margin.value:.3f} ahead of" in text


def test_near_a_tie_parts_are_told_in_points_of_the_score(classifier):
    explanation = explain_item(classifier.scorer_, Decision("base"), load_demo("test").items[2])
    first, second = (explanation.choices[index] for index in (0, 1))
    leading = first.score - second.score
    for gap, name in ((0.001, "ahead"), (5.0, "share")):
        moved = first.log_probs["base"].copy()
        moved[-1] += gap - leading
        choices = [replace(first, score=second.score + gap, log_probs={"base": moved}), second]
        item = replace(explanation.item, answer=0)
        near = replace(explanation, item=item, choices=choices, prediction=0)
        margin, text = margin_of(near), margin_text(near)
        assert re.search(rf"token +base +score +{name}\n", text)
        assert ("nearly a tie" in text) == (name == "ahead")
        assert margin.shares[0][-1] == pytest.approx(moved[-1] / gap)
        parts = np.concatenate([margin.shares[0], margin.shares[1]])
        most = parts[np.abs(parts).argmax()]
        told = f"{most * gap:+.3f}" if name == "ahead" else f"{most:+.0%}"
        assert text.count(told) >= 2, "in the table, and among those that decide"


def test_tokens_that_both_share_decide_nothing(classifier):
    item = {"question": "What did Max do?", "choices": ["Max ate the stew.", "Max ate the soup."]}
    explanation = classifier.explain(item)
    margin = margin_of(explanation)
    first, second = (choice.tokens for choice in explanation.choices)
    shared = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert shared >= 3
    for share in margin.shares.values():
        assert not share[:shared].any()
        assert share[shared:].any()
    twins = classifier.explain({"question": "Q?", "choices": ["the same", "the same"]})
    assert margin_of(twins).shares == {}
    assert "a tie" in margin_text(twins)


def test_inspect(classifier, tmp_path, capsys):
    classifier.save(tmp_path / "heads")
    lines = [json.dumps({"question": f"What did Max do {n}?", "choices": ["Max ate.", "Max slept."],
                         "answer": 0, "id": f"q{n}"}) for n in range(3)]  # fmt: skip
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    where = [str(tmp_path / "items.jsonl"), "--model", str(tmp_path / "heads")]
    status, by_id, _ = run("inspect", *where, "--id", "q1", capsys=capsys)
    assert status == 0
    assert by_id.startswith("What did Max do 1?\nmode likra, alpha 0.9, normalization none\n")
    for word in ("base", "positive", "negative", "share", "chosen", "right", "decides most"):
        assert word in by_id
    _, by_index, _ = run("inspect", *where, "--index", "1", capsys=capsys)
    assert by_index == by_id
    _, other, _ = run("inspect", *where, "--id", "q1", "--mode", "base-likra", "--alpha", "0.5",
                      capsys=capsys)  # fmt: skip
    assert "mode base-likra, alpha 0.5" in other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --id or --index, one of the two"),
        (["--id", "x", "--index", "1"], "give --id or --index, one of the two"),
        (["--id", "x"], "has no item with the id 'x'; its ids begin with everyday-0, everyday-1"),
        (["--index", "48"], "got --index 48 but"),
        (["--index", "0", "--mode", "sft"], "have no 'positive' head, only base, neutral"),
        (["--index", "0", "--alpha", "nan"], "got alpha=nan; expected a number of at least 0"),
    ],
)
def test_inspect_refuses(arguments, message, model_folder, capsys):
    status, out, err = run(
        "inspect", str(QUESTIONS), "--model", str(model_folder), *arguments, capsys=capsys
    )
    assert status in (1, 2)
    assert out == ""
    assert message in " ".join(err.split())
