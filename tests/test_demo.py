"""The bundled model does the real job, and the demo shows it."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from likra_lite.cli.main import main

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.errors import MissingExtraError
from likra_lite.experiments import Claims, Observation, Trajectory
from likra_lite.report.figure import STYLES
from likra_lite.report.page import page
from likra_lite.report.summary import findings, summarize
from likra_lite.report.text import chart, report, table

SIZES = (8, 16, 128)


def run(*arguments: str, capsys) -> tuple[int, str, str]:
    import warnings

    status = 0
    with warnings.catch_warnings():
        try:
            main(["demo", *arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def claims() -> Claims:
    """Made-up results: base-likra learns, sft does not, and only with the question."""

    def rows(hidden: bool, draw: int) -> list[Observation]:
        return [
            Observation(
                size, draw, mode, None if mode == "sft" else 1.0, "own", hidden,
                0.25 if hidden else 0.5 + gain * size / 128 + 0.01 * draw, 0.01,
            )
            for size in SIZES
            for mode, gain in (("sft", 0.02), ("base-likra", 0.4), ("likra", 0.3))
        ]  # fmt: skip

    free = [Observation(0, 0, mode, None, "own", False, 0.5, 0.01) for mode in ("base", "pmi")]
    hidden = [Observation(0, 0, "base", None, "own", True, 0.25, 0.01)]
    kinds = [
        Observation(128, 0, mode, 1.0, kind, False, share, 0.01)
        for mode in ("base-likra", "likra")
        for kind, share in (("other", 0.6), ("own", 0.9))
    ]
    trajectories = [
        Trajectory(size, 0, head, group, -float(size))
        for size, heads in ((0, ("base",)), *((s, ("positive", "negative")) for s in SIZES))
        for head in heads
        for group in ("right", "wrong")
    ]
    curve = free + rows(False, 0) + rows(False, 1)
    return Claims(1000, curve, hidden + rows(True, 0) + rows(True, 1), kinds, trajectories)


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
    assert summarize(claims.curve)["base"][0].deviation is None


def test_findings_say_what_the_numbers_say(claims):
    gain, control, kinds = findings(claims)
    assert "With 128 wrong answers base-likra is 40.5 points above base" in gain
    assert "38.0 points above SFT" in gain
    assert "0.0 points above base: 100% of the gain needs the question" in control
    assert "own 0.900, other 0.600" in kinds


def test_findings_do_not_hide_a_loss(claims):
    worse = [
        row if row.mode in ("base", "pmi") else Observation(**{**vars(row), "accuracy": 0.3})
        for row in claims.curve
    ]
    lines = findings(Claims(1000, worse, claims.control, claims.kinds, claims.trajectories))
    assert "20.0 points below base" in lines[0]
    assert not any("of the gain" in line for line in lines)


def test_table_and_chart():
    assert table(["a", "bb"], [["xyz", "1"], ["w", "22"]]) == "a    bb\nxyz   1\nw    22"
    rows = [Observation(0, 0, "base", None, "own", False, 0.5, 0.01)] + [
        Observation(size, 0, "sft", None, "own", False, share, 0.01)
        for size, share in ((8, 0.4), (16, 0.9))
    ]
    lines = chart(summarize(rows), {"base": ".", "sft": "S"}).splitlines()
    assert lines[0].startswith("  0.90 |")
    assert lines[0].endswith("S")
    assert lines[-4].strip().startswith("0.40 |")
    assert "S" in lines[-4]
    assert lines[-2].split() == ["8", "16"]
    assert lines[-1] == ". base   S sft"
    assert sum(". . ." in line for line in lines) == 1


def test_page_is_self_contained(claims):
    text = page(claims, "A <title>", "likra-lite demo --alpha 1")
    assert "<h1>A &lt;title&gt;</h1>" in text
    assert text.count("<svg") == 1
    assert not re.search(r"(src|href)=\"(?!#)", text.replace("xlink:href", "href"))
    assert "<script" not in text
    assert "currentColor" in text
    assert report(claims, draw=False).splitlines()[0].split(" +-")[0] in text
    for mode in STYLES:
        assert mode in text
    assert page(claims, "A", "b") == page(claims, "A", "b"), "the same numbers, the same page"


def test_demo_command(capsys, tmp_path):
    png, html = tmp_path / "d.png", tmp_path / "d.html"
    status, out, _ = run(
        "--sizes", "8,128", "--draws", "2", "--png", str(png), "--html", str(html), capsys=capsys
    )  # fmt: skip
    assert status == 0
    assert "Accuracy on 1000 test items" in out
    assert re.search(r"^128 +0\.\d{3} \+- 0\.\d{3} \(0\.\d{3}\)", out, flags=re.M)
    for word in ("base ", "pmi ", "question hidden", "tempting", "Mean log-likelihood"):
        assert word in out
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "likra-lite" in html.read_text()


def test_demo_with_a_model_and_items_of_ones_own(model_folder, capsys, tmp_path):
    questions = "examples/questions.jsonl"
    status, out, _ = run(
        "--items", questions, "--test", questions, "--model", str(model_folder), capsys=capsys
    )
    assert status == 0
    assert "Accuracy on 48 test items" in out
    assert "wrong" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "8,x"], "'8,x' is not a list of numbers"),
        (["--sizes", "1"], "got 1 examples; at least 2 are needed"),
        (["--sizes", "4096"], "got 4096 examples in --sizes but there are 1024"),
        (["--items", "no.jsonl"], "no.jsonl: cannot be read"),
    ],
)
def test_demo_refuses(arguments, message, capsys):
    status, out, err = run(*arguments, capsys=capsys)
    assert status in (1, 2)
    assert out == ""
    assert message in err


def test_a_picture_without_matplotlib_is_refused_at_once(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run("--png", "x.png", capsys=capsys)
    assert (status, out) == (1, "")
    assert 'pip install "likra-lite[report]"' in err
    with pytest.raises(MissingExtraError):
        page(Claims(0, [], [], [], []), "a", "b")
