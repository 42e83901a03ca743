"""The bundled model does the real job, and the demo shows it."""

from __future__ import annotations

import html
import json
import re
import sys

import numpy as np
import pytest
from command_line import run
from likra_lite.cli.main import main

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Claims, Difference, Observation, Trajectory
from likra_lite.report.claims_text import chart, report, table
from likra_lite.report.from_claims import report_of_claims
from likra_lite.report.page import page
from likra_lite.report.sentences import typeset
from likra_lite.report.summary import findings, summarize, total_difference

SIZES = (8, 16, 128)


def observation(size: int, mode: str, share: float, draw: int = 0, **fields) -> Observation:
    alpha = 0.9 if mode in ("likra", "base-likra") else None
    given = {"normalization": "none", "negatives": "own", "hidden": False} | fields
    return Observation(size, draw, mode, alpha, accuracy=share, standard_error=0.01, **given)


def made_up(gain: float) -> Claims:
    """Return results in which base-likra learns, sft does not, and only with the question."""
    slopes = {"sft": 0.02, "pos-base": -0.1, "base-likra": gain, "likra": gain - 0.1}
    return Claims(
        n_test=1000,
        chance=0.25,
        free=[
            observation(0, "base", 0.5),
            observation(0, "base", 0.55, normalization="chars"),
            observation(0, "pmi", 0.6),
        ],
        curve=[
            observation(size, mode, 0.5 + slope * size / 128 + 0.01 * draw, draw)
            for draw in (0, 1)
            for size in SIZES
            for mode, slope in slopes.items()
        ],
        control_free=[observation(0, "base", 0.26, hidden=True)],
        control=[
            observation(size, mode, 0.26, draw, hidden=True)
            for draw in (0, 1)
            for size in SIZES
            for mode in slopes
        ],
        differences=[
            Difference(size, draw, mode, reference, slopes[mode] * size / 128, 0.01)
            for draw in (0, 1)
            for size in SIZES
            for mode in ("base-likra", "likra")
            for reference in ("base", "pmi", "sft")
        ],
        kinds=[
            observation(128, mode, share, negatives=kind)
            for mode in ("base-likra", "likra")
            for kind, share in (("other", 0.6), ("own", 0.9))
        ],
        kinds_alpha="auto",
        trajectories=[
            Trajectory(size, 0, head, group, -float(size) if group == "right" else -1.0)
            for size, heads in ((0, ("base",)), *((s, ("positive", "negative")) for s in SIZES))
            for head in heads
            for group in ("right", "near", "far")
        ],
    )


@pytest.fixture
def claims() -> Claims:
    return made_up(0.4)


def test_the_bundled_model_is_small_and_whole():
    folder = bundled_model()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6
    model = LanguageModel(folder)
    assert model.manifest.precision == "float32"
    assert model.manifest.parity["max_difference_nats"] < 1e-4


def test_the_default_model_learns_from_wrong_answers():
    items, y = load_demo()
    test, test_y = load_demo("test")
    classifier = LikraClassifier(mode="base-likra", cv=2).fit(items[:128], y[:128])
    held = classifier.log_likelihoods(test)
    accuracy = classifier.score(held, test_y)
    base = classifier.set_params(mode="base").score(held, test_y)
    # Chance is .25; two standard errors of 1,000 items are .03.
    assert 0.35 < base < 0.85
    assert accuracy > base + 0.08


def test_summaries_are_means_over_draws(claims):
    estimate = summarize(claims.curve)["sft"][8]
    values = [row.accuracy for row in claims.curve if (row.mode, row.n_items) == ("sft", 8)]
    assert estimate.accuracy == pytest.approx(np.mean(values))
    assert estimate.deviation == pytest.approx(np.std(values, ddof=1))
    assert str(estimate) == f"{np.mean(values):.3f} +- 0.010 (0.007)"
    assert summarize(claims.free)["pmi"][0].deviation is None
    assert total_difference(claims.differences, "likra", "sft", 128) == pytest.approx((0.3, 0.01))


def test_findings_say_what_the_numbers_say(claims):
    base_likra, likra, control, kinds, third = findings(claims)
    assert base_likra.startswith("base-likra with 128 wrong: +40.0 +- 1.0 points against base; ")
    assert "against pmi, the best without examples; +40.0" in base_likra
    assert "likra with 128 right and as many wrong: +30.0" in likra
    assert "a guess 0.250. About 100% of base-likra's gain needs the question." in control
    assert "own 0.900, other 0.600 (standard errors up to 0.010)" in kinds
    assert "with 128 in training the positive head moves right answers by -128.00" in third
    assert "wrong ones by +0.00" in third


@pytest.mark.parametrize("gain", [-0.2, 0.015])
def test_findings_make_no_gain_of_a_loss_or_of_noise(gain):
    first, _, control, *_ = findings(made_up(gain))
    assert f"{100 * gain:+.1f} +- 1.0 points against base;" in first
    assert "needs the question" not in control


def test_table_and_chart():
    assert table(["a", "bb"], [["xyz", "1"], ["w", "22"]]) == "a    bb\nxyz   1\nw    22"
    rows = [observation(0, "base", 0.5)]
    rows += [observation(size, "sft", share) for size, share in ((8, 0.4), (16, 0.9))]
    lines = chart(summarize(rows), {"base": ".", "sft": "S"}).splitlines()
    assert lines[0].startswith("  0.90 |")
    assert lines[0].endswith("S")
    assert lines[-4].strip().startswith("0.40 |")
    assert "S" in lines[-4]
    assert lines[-2].split() == ["8", "16"]
    assert lines[-1] == ". base   S sft"
    assert sum(". . ." in line for line in lines) == 1


def test_claims_become_a_report(claims):
    contents = report_of_claims(claims, "A <title>", "likra-lite demo --alpha 1", "some & items")
    text = page(contents)
    assert "<h1>A &lt;title&gt;</h1>" in text
    assert ">Some &amp; items</p>" in text
    assert "<code>likra-lite demo --alpha 1</code>" in text
    for line in findings(claims):
        assert html.escape(typeset(line)) in text
        assert line in report(claims)
    lines = {line.name: line for line in contents.curve.lines}
    estimates = summarize(claims.curve)
    for mode, line in lines.items():
        assert [(p.x, p.y, p.deviation) for p in line.points] == [
            (size, e.accuracy, e.deviation) for size, e in estimates[mode].items()
        ]
    assert [level.name for level in contents.curve.levels] == [
        "base", "base per character", "pmi", "chance",
    ]  # fmt: skip
    shown, hidden = contents.controls[0].lines
    assert (shown.name, hidden.name) == ("question shown", "answer only")
    assert hidden.points[0].y == pytest.approx(0.26)
    assert [row.name for row in contents.kinds[0].rows] == ["other", "own"]
    first = contents.trajectories[0].lines[0]
    assert (first.name, first.points[-1].y) == ("right", -128.0)


def test_demo_command(capsys, tmp_path):
    png, web = tmp_path / "d.png", tmp_path / "d.html"
    status, out, _ = run(
        "demo", "--sizes", "8,128", "--draws", "2", "--png", str(png), "--report", str(web),
        capsys=capsys,
    )  # fmt: skip
    assert status == 0
    assert "Accuracy on 1000 test items" in out
    assert re.search(r"^128 +0\.\d{3} \+- 0\.\d{3} \(0\.\d{3}\)", out, flags=re.M)
    for word in ("base ", "pmi ", "question hidden", "tempting", "Mean log-likelihood"):
        assert word in out
    assert png.read_bytes().startswith(b"\x89PNG")
    command = f"likra-lite demo --sizes 8,128 --draws 2 --png {png} --report {web}"
    assert f"<code>{command}</code>" in web.read_text()
    assert "1000 test items (demo), the bundled model" in web.read_text()
    for heading in ("Paired comparisons", "Can the probabilities be trusted?", "The questions"):
        assert f"<h2>{heading}</h2>" in web.read_text()


def test_demo_with_a_model_and_items_of_ones_own(model_folder, capsys, tmp_path):
    lines = [json.dumps({"question": f"Is {n} even?", "choices": ["yes", "no"], "answer": n % 2})
             for n in range(40)]  # fmt: skip
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text("\n".join(lines[:24]))
    test.write_text("\n".join(lines[20:]))
    status, out, err = run(
        "demo",
        "--items",
        str(train),
        "--test",
        str(test),
        "--model",
        str(model_folder),
        capsys=capsys,
    )
    assert status == 0
    assert "Accuracy on 20 test items" in out
    assert "a guess 0.500" in out
    assert re.search(r"^head +examples +(right +wrong|wrong +right)$", out, flags=re.M)
    assert "\nother " not in out, "yes and no are nobody else's answers"
    assert "4 of 20 held-out items are training items too" in err
    assert "bundled model" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "8,x"], "'8,x' is not a list of numbers"),
        (["--sizes", "0"], "got 0 examples; at least 1 is needed"),
        (["--sizes", "4096"], "got 4096 examples in --sizes but there are 1024"),
        (["--items", "no.jsonl", "--test", "no.jsonl"], "no.jsonl: cannot be read"),
        (["--items", "mine.jsonl"], "--items and --test go together; give two files, or neither"),
        (
            ["--items", "a.jsonl", "--test", "b.jsonl", "--report", "./a.jsonl"],
            "--report and --items are the same file",
        ),
        (["--png", "."], ". is a folder; choose a file"),
        (["--png", "no/where.png"], "cannot write no/where.png: its folder does not exist"),
        (["--png", "a.png", "--report", "./a.png"], "--report and --png are the same file"),
        (["--alpha", "nan"], "got alpha=nan; expected a number of at least 0\n"),
    ],
)
def test_demo_refuses(arguments, message, capsys):
    status, out, err = run("demo", *arguments, capsys=capsys)
    assert status in (1, 2)
    assert out == ""
    assert message in err


def test_a_picture_without_matplotlib_is_refused_at_once(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run("demo", "--png", "x.png", capsys=capsys)
    assert (status, out) == (1, "")
    assert 'pip install "likra-lite[report]"' in err


def test_the_bundled_model_says_that_it_knows_only_its_world(tmp_path, capsys):
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "Wet?", "choices": ["water", "sand"], "answer": 0}\n')
    main(["evaluate", str(questions)])
    assert "the bundled model knows only the made-up world" in capsys.readouterr().err
    main(["evaluate", "handwritten"])
    captured = capsys.readouterr()
    assert "accuracy on 36 items" in captured.out
    assert captured.err == ""
