"""The bundled model does the real job, and the demo shows it."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from likra_lite.cli.main import main

from likra_lite import Item, LanguageModel, LikraClassifier
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Point, Results, grid, summarize_rows
from likra_lite.report.demo_text import chart, demo_text, estimate
from likra_lite.report.findings import findings
from likra_lite.report.from_results import report_of_claims
from likra_lite.report.measured import Measured
from likra_lite.report.page import page
from likra_lite.report.sentences import typeset
from likra_lite.scoring.columns import layout
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.table import LogLikelihoods

ROOT = Path(__file__).resolve().parent.parent
SIZES, N_TEST = (8, 16, 128), 2400
ROLES = ("right", "near", "far", "far")
ITEMS = [
    Item(f"Q{n}?", ("a", "b", "c", "d"), n % 4,
         metadata={"roles": tuple(np.roll(ROLES, n % 4).tolist())})
    for n in range(N_TEST)
]  # fmt: skip
Y = np.array([item.answer for item in ITEMS])
RIGHT = np.flatnonzero([role == "right" for item in ITEMS for role in item.metadata["roles"]])
PLACE = np.arange(N_TEST) / N_TEST  # the first of them are answered right


def column(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return log-likelihoods of all choices, alike for the wrong ones of an item."""
    found = np.repeat(wrong, 4).astype(float)
    found[RIGHT] = right
    return found


def base_table(share: float) -> LogLikelihoods:
    """Return a base model right on a share of the items, per character and as pmi on more."""
    good = share > PLACE
    chars = np.full(4 * N_TEST, 10)
    chars[RIGHT[(share <= PLACE) & (share + 0.05 > PLACE)]] = 20
    neutral = column(np.where((share <= PLACE) & (share + 0.1 > PLACE), -5.0, 0.0), 0 * PLACE)
    heads = {"base": column(-10 + 0 * PLACE, np.where(good, -11.0, -9.0)), "neutral": neutral}
    return LogLikelihoods(
        4 * np.arange(N_TEST + 1), heads, {"tokens": chars // 3, "chars": chars, "bytes": chars}
    )


def heads_with(sft: float, ratio: float, block: float) -> dict[str, np.ndarray]:
    """Return heads with which sft and likra are right on shares, and base-likra on a block more.

    Whatever the alpha: the negative head is far surer than the others, but for the positive
    head on the block.
    """
    last = 1 - block <= PLACE
    plus = column(np.where(last, -1000.0, np.where(sft > PLACE, -10.0, -12.0)), -11 + 0 * PLACE)
    learned = (ratio > PLACE) | last
    minus = column(np.where(learned, -100.0, -10.0), np.where(learned, -10.0, -100.0))
    return {"positive": plus, "negative": minus}


def write(results: Results, point: Point, heads: dict[str, np.ndarray]) -> None:
    arrays = {f"0.{name}": values for name, values in heads.items()}
    arrays |= {f"unused.{name}": values for name, values in heads.items()}
    results.write_point(point, arrays | {"unused": np.arange(N_TEST)})


def made_up(folder: Path, gain: float) -> Measured:
    """Return results in which base-likra learns, sft does not, and only with the question."""
    items = {"name": "some", "count": N_TEST, "sha256": ""}
    identity = {
        "model": {"name": "A <title>", "precision": "float32", "fingerprint": ""},
        "prompt": "{question}", "penalty": 1.0, "recipe": None, "unrelated": None,
        "items": items, "tests": [items],
    }  # fmt: skip
    begun = {"command": "likra-lite demo --alpha 1", "created": "", "versions": {}}
    results = Results.create(folder, identity, begun)
    for control, share in (("none", 0.5), ("hidden", 0.26)):
        table = base_table(share)
        results.write_shared(control, table, Y, [(table, Y, {})])
    for point in grid(SIZES, (0, 1)):
        x = point.n_items / 128
        sft = 0.5 + 0.02 * x + 0.01 * point.seed
        write(results, point, heads_with(sft, 0.5 + (gain - 0.1) * x, 0.1 * x))
    for point in grid(SIZES, (0, 1), controls=["hidden"]):
        write(results, point, heads_with(0.26, 0.26, 0.0))
    for point in grid([128], (0, 1), ["other"]):
        write(results, point, heads_with(0.52, 0.6, 0.0))
    return Measured.of_claims(results, ITEMS, 0.9)


@pytest.fixture
def measured(tmp_path) -> Measured:
    return made_up(tmp_path / "results", 0.4)


def test_the_bundled_model_is_small_and_whole():
    folder = bundled_model()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6
    model = LanguageModel(folder)
    assert model.manifest.precision == "float32"
    assert model.manifest.parity["max_difference_nats"] < 1e-4


def test_the_default_model_learns_from_wrong_answers():
    items, y = load_demo()
    test, test_y = load_demo("test")
    classifier = LikraClassifier(adapter="output", mode="base-likra", cv=2).fit(
        items[:128], y[:128]
    )
    held = classifier.log_likelihoods(test)
    accuracy = classifier.score(held, test_y)
    base = classifier.set_params(mode="base").score(held, test_y)
    # Chance is .25; two standard errors of 1,000 items are .03.
    assert 0.35 < base < 0.85
    assert accuracy > base + 0.08


def test_summaries_are_means_over_draws(measured):
    rows = measured.standard_rows()
    values = [row["accuracy"] for row in rows if (row["mode"], row["n_items"]) == ("sft", 8)]
    assert values == pytest.approx([0.5 + 0.02 / 16, 0.51 + 0.02 / 16], abs=1 / N_TEST)
    (found,) = (r for r in summarize_rows(rows) if (r["mode"], r["n_items"]) == ("sft", 8))
    assert found["accuracy"] == pytest.approx(np.mean(values))
    assert found["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert estimate(found) == f"{np.mean(values):.3f} +- 0.010 (0.007)"
    assert estimate(measured.free_row(Decision("pmi"))) == "0.600 +- 0.010"


def test_findings_say_what_the_numbers_say(measured):
    base_likra, likra, control, kinds, third = findings(measured)
    assert base_likra.startswith("base-likra with 128 wrong: +40.0 +- 1.0 points against base; ")
    assert "+30.0 +- 0.9 points against pmi, the best without examples; +37.5" in base_likra
    assert "likra with 128 right and as many wrong: +30.0" in likra
    assert "a guess 0.250. About 100% of base-likra's gain needs the question." in control
    assert "own 0.900, other 0.600 (standard errors up to 0.010)" in kinds
    # The positive head at 128: -1000 on a tenth of the items, else -10 or -12; the base -10.
    right = -0.1 * 990 - 2 * (0.9 - 0.525)
    assert f"with 128 in training the positive head moves right answers by {right:.2f}" in third
    assert "wrong ones by -1.00" in third, "-11 on all items against -11 on half of them, else -9"


@pytest.mark.parametrize("gain", [-0.2, 0.015])
def test_findings_make_no_gain_of_a_loss_or_of_noise(gain, tmp_path):
    first, _, control, *_ = findings(made_up(tmp_path / "results", gain))
    base = PLACE < 0.5
    ours = (0.5 + gain - 0.1 > PLACE) | (PLACE >= 0.9)
    error = np.std(ours.astype(float) - base) / np.sqrt(N_TEST)
    assert f"{100 * gain:+.1f} +- {100 * error:.1f} points against base;" in first
    assert "needs the question" not in control


def test_table_and_chart():
    assert layout(["xyz", "w"], {"bb": ["1", "22"]}, "a") == "a    bb\nxyz   1\nw    22"
    curves = {"base": {0: 0.5}, "sft": {8: 0.4, 16: 0.9}}
    lines = chart(curves, {"base": ".", "sft": "S"}).splitlines()
    assert lines[0].startswith("  0.90 |")
    assert lines[0].endswith("S")
    assert lines[-4].strip().startswith("0.40 |")
    assert "S" in lines[-4]
    assert lines[-2].split() == ["8", "16"]
    assert lines[-1] == ". base   S sft"
    assert sum(". . ." in line for line in lines) == 1


def test_claims_become_a_report(measured):
    contents = report_of_claims(measured, "some & items")
    text = page(contents)
    assert "A &lt;title&gt;" in text
    assert ">Some &amp; items</p>" in text
    assert "<code>likra-lite demo --alpha 1</code>" in text
    for line in findings(measured):
        assert html.escape(typeset(line)) in text
        assert line in demo_text(measured)
    lines = {line.name: line for line in contents.curve.lines}
    rows = summarize_rows(measured.standard_rows())
    for mode, line in lines.items():
        points = [value for p in line.points for value in (p.x, p.y, p.deviation)]
        assert points == pytest.approx(
            [
                value
                for size in SIZES
                for row in rows
                if (row["mode"], row["n_items"]) == (mode, size)
                for value in (size, row["accuracy"], row["deviation"])
            ]
        )
    assert [level.name for level in contents.curve.levels] == [
        "base", "base per character", "pmi", "chance",
    ]  # fmt: skip
    shown, hidden = contents.controls[0].lines
    assert (shown.name, hidden.name) == ("question shown", "answer only")
    assert hidden.points[0].y == pytest.approx(0.26)
    assert [row.name for row in contents.kinds[0].rows] == ["other", "own"]
    first = contents.trajectories[0].lines[0]
    assert (first.name, first.points[-1].y) == ("right", pytest.approx(-109.75))


def test_demo_command(capsys, tmp_path):
    png, web = tmp_path / "d.png", tmp_path / "d.html"
    status, out, _ = run(
        "demo", "--sizes", "8,128", "--draws", "2", "--png", str(png), "--report", str(web),
        capsys=capsys,
    )  # fmt: skip
    assert status == 0
    assert "Accuracy on 1000 test items" in out
    assert re.search(r"^128 +0\.\d{3} \+- 0\.\d{3} \(0\.\d{3}\)", out, flags=re.M)
    page = (ROOT / "docs" / "demo.md").read_text()
    shown = out[: out.index("The same with the question hidden")]
    for size in (8, 128):
        (row,) = re.findall(rf"^\| {size} \| (.*) \|$", page, flags=re.M)
        lines = "".join(re.findall(rf"^{size} .*\n", shown, flags=re.M))  # of two blocks
        found = re.findall(r"(\d\.\d{3}) \+- \d\.\d{3} \((\d\.\d{3})\)", lines)
        for cell, (mean, deviation) in zip(row.split(" | "), found, strict=True):
            # The page has the first of the two draws, which lie as far from their mean.
            away = abs(float(cell) - float(mean)) - float(deviation) / np.sqrt(2)
            assert abs(away) < 0.004, f"docs/demo.md: {cell}; on other processors 2 or 3 questions"
    for name, cell in re.findall(r"\b(base|per character|pmi) 0(\.\d{3})", out)[:3]:
        assert cell in page, name
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
    assert re.search(r"^head +examples +right +near-miss$", out, flags=re.M)
    assert "\nother " not in out, "yes and no are nobody else's answers"
    assert "4 of 20 held-out items are training items too" in err
    assert "bundled model" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "8,x"], "'8,x' is not a list of numbers"),
        (["--sizes", "0"], "got n_items=0; expected an integer of at least 1"),
        (["--sizes", "4096"], "got a size of 4096 examples but demo has 1024 items"),
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
