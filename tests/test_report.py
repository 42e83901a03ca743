"""The report: its numbers, its drawings, its page in a browser."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from chromium import Browser
from command_line import run as run_command
from sklearn.isotonic import IsotonicRegression
from statsmodels.stats.multitest import multipletests
from threadpoolctl import threadpool_limits

from likra_lite import LanguageModel, LikraError
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Experiment, Results, grid, run
from likra_lite.prompts import Prompt
from likra_lite.report.charts import (
    Bar,
    BarChart,
    Bin,
    DotPlot,
    DotRow,
    Forest,
    Interval,
    Level,
    Line,
    LineChart,
    Point,
    ReliabilityChart,
    mean_points,
)
from likra_lite.report.contents import ChoiceRow, ItemRow, Report
from likra_lite.report.figure import line_style, picture
from likra_lite.report.from_results import report_of, with_experiment
from likra_lite.report.measured import Measured
from likra_lite.report.numbers import numbers
from likra_lite.report.page import drawings, page
from likra_lite.report.paper import PAPER
from likra_lite.report.scales import decimals, linear_ticks, number, scale_log2, spread
from likra_lite.report.sentences import headline, typeset
from likra_lite.report.styles import STYLES, styles_of
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.statistics import mcnemar_test

SIZES, SEEDS, N_TEST, ALPHA = (4, 16), (0, 1), 50, 0.9
SVG = "{http://www.w3.org/2000/svg}"
PAPERS = {"light": "#fdfdfc", "dark": "#14171a"}


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    language_model = LanguageModel(bundled_model(), n_threads=1)
    scorer = ChoiceScorer(language_model, Prompt(language_model.manifest.prompt))
    training, test = load_demo().items[:120], load_demo("test").items[:N_TEST]
    return Experiment(scorer, training, {"demo": test}, "demo", unrelated=["Up.", "Far away."])


@pytest.fixture(scope="module")
def results(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Results:
    found = experiment.create(tmp_path_factory.mktemp("report") / "results", "likra-lite curve x")
    points = grid(SIZES, SEEDS) + grid([16], SEEDS, controls=("hidden", "shuffled"))
    points += grid([4], SEEDS, negatives=("own", "hardest"))
    points += grid([4], SEEDS, contamination=(0.0, 0.5))
    with threadpool_limits(1):  # heads this small are fitted slower by several threads
        run(experiment, sorted(set(points)), found, n_jobs=1)
    return found


@pytest.fixture(scope="module")
def report(experiment: Experiment, results: Results) -> Report:
    with threadpool_limits(1):
        measured = Measured(results, "demo", ALPHA, "none")
        return with_experiment(report_of(measured), measured, experiment)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def opened(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def right(results: Results, point, mode: str, alpha: float = ALPHA) -> np.ndarray:
    """Return which test items are answered right, item by item."""
    table, y = results.table("demo", point), results.y("demo")
    scores = {
        "likra": lambda t: t.heads["positive"] - alpha * t.heads["negative"],
        "base-likra": lambda t: t.heads["base"] - alpha * t.heads["negative"],
        "sft": lambda t: t.heads["positive"],
        "base": lambda t: t.heads["base"],
    }[mode](table)
    pieces = np.split(scores, table.offsets[1:-1])
    return np.array(
        [int(np.argmax(piece)) == answer for piece, answer in zip(pieces, y, strict=True)]
    )


def test_curve_holds_means_and_deviations_over_seeds(report, results):
    lines = {line.name: line for line in report.curve.lines}
    assert list(lines) == ["likra", "base-likra", "sft", "pos-base"]
    for mode, size in itertools.product(("likra", "base-likra", "sft"), SIZES):
        shares = [right(results, p, mode).mean() for p in grid([size], SEEDS)]
        (point,) = (p for p in lines[mode].points if p.x == size)
        assert point.y == pytest.approx(np.mean(shares))
        assert point.deviation == pytest.approx(np.std(shares, ddof=1))
        errors = [s * (1 - s) / N_TEST for s in shares]
        assert point.error == pytest.approx(math.sqrt(np.mean(errors)))
    levels = {level.name: level.value for level in report.curve.levels}
    assert levels["chance"] == 0.25
    assert levels["base"] == pytest.approx(right(results, grid([4], [0])[0], "base").mean())
    assert set(levels) == {"base", "base per character", "pmi", "chance"}


def test_controls_and_sweeps_are_of_their_own_fits(report, results):
    (likra, _) = report.controls
    assert [line.name for line in likra.lines] == ["question shown", "answer only", "shuffled"]
    for line, control in zip(likra.lines, ("none", "hidden", "shuffled"), strict=True):
        shares = [right(results, p, "likra").mean() for p in grid([16], SEEDS, controls=(control,))]
        assert line.points[-1].y == pytest.approx(np.mean(shares))
    alpha, contamination = report.sweeps
    for place, weight in ((0, 0.0), (5, 0.5), (15, 1.5)):
        shares = [right(results, p, "likra", weight).mean() for p in grid([16], SEEDS)]
        assert alpha.lines[0].points[place].x == weight
        assert alpha.lines[0].points[place].y == pytest.approx(np.mean(shares))
    assert "Read off the test items" in alpha.caption
    assert "test items: it" not in contamination.caption
    assert [point.x for point in contamination.lines[0].points] == [0.0, 0.5]
    spoiled = [right(results, p, "likra").mean() for p in grid([4], SEEDS, contamination=[0.5])]
    assert contamination.lines[0].points[1].y == pytest.approx(np.mean(spoiled))
    kinds = {row.name: row for row in report.kinds[0].rows}
    assert set(kinds) == {"own", "hardest"}
    assert all("neither tested nor corrected" in plot.caption for plot in report.kinds)
    assert "differences between kinds were not tested" in report.sentences[4]
    hard = [right(results, p, "likra").mean() for p in grid([4], SEEDS, ["hardest"])]
    assert kinds["hardest"].values == pytest.approx(hard)
    assert kinds["hardest"].mean == pytest.approx(np.mean(hard))


def test_trajectories_are_means_over_answers_and_their_change(report, results):
    positive, _, change, _ = report.trajectories
    table, y = results.table("demo", "none"), results.y("demo")
    base = table.heads["base"][table.offsets[:-1] + y].mean()
    heads = [
        results.table("demo", p).heads["positive"][table.offsets[:-1] + y].mean()
        for p in grid([16], SEEDS)
    ]
    line = next(line for line in positive.lines if line.name == "right")
    assert line.points[0].x == 0
    assert line.points[0].y == pytest.approx(base, abs=1e-3)
    assert line.points[-1].y == pytest.approx(np.mean(heads), abs=1e-3)
    moved = next(line for line in change.lines if line.name == "right")
    assert moved.points[0].y == 0
    assert moved.points[-1].y == pytest.approx(np.mean(heads) - base, abs=1e-3)
    assert {line.name for line in positive.lines} >= {"right", "near-miss", "other question"}


def test_comparisons_are_paired_over_all_seeds(report, results):
    rows = {(row.group, row.name): row for row in report.comparisons.intervals}
    likra = np.mean([right(results, p, "likra") for p in grid([16], SEEDS)], axis=0)
    sft = np.mean([right(results, p, "sft") for p in grid([16], SEEDS)], axis=0)
    row = rows["against sft", "likra"]
    assert row.difference == pytest.approx(np.mean(likra - sft))
    assert row.low <= row.difference <= row.high
    assert ("against base", "sft") in rows
    assert "exact sign-flip test of each item's difference" in report.comparisons.caption
    assert "McNemar" not in report.comparisons.caption
    assert len(rows) == 3 * 3 + 2
    assert "these 11 comparisons" in report.comparisons.caption
    free = {"base": "none", "base per character": "chars", "pmi": "none"}
    p_values = []
    for group, name in rows:
        reference = group.removeprefix("against ")
        if reference == "sft":
            theirs = [right(results, p, "sft") for p in grid([16], SEEDS)]
        else:
            rule = Decision(reference.split(" ")[0], normalization=free[reference])
            theirs = [results.correct("demo", "none", rule)] * len(SEEDS)
        ours = [right(results, p, name) for p in grid([16], SEEDS)]
        p_values.append(mcnemar_test(np.array(ours), np.array(theirs)))
    adjusted = multipletests(p_values, method="holm")[1]
    assert [row.p_value for row in rows.values()] == pytest.approx(adjusted)
    assert report.sentences[0].startswith("After 16 examples ")
    kinds = {row.name: f"{row.name} {row.mean:.3f}" for row in report.kinds[0].rows}
    assert all(named in report.sentences[4] for named in kinds.values())


def test_items_are_answered_as_in_the_table_and_tokens_sum_to_scores(report, results):
    point = grid([16], [0])[0]
    table, y = results.table("demo", point), results.y("demo")
    scores = table.heads["positive"] - ALPHA * table.heads["negative"]
    rows = [choice for item in report.items for choice in item.choices]
    assert [row.score for row in rows] == pytest.approx(scores.tolist())
    # Heads are fitted again for the tokens, and the table is kept in single precision.
    assert [sum(row.ratios) for row in rows] == pytest.approx(scores.tolist(), abs=2e-2)
    assert all("".join(row.tokens).strip() == row.text for row in rows)
    hits = [item.prediction == item.answer for item in report.items]
    assert hits == right(results, point, "likra").tolist()
    assert [item.answer for item in report.items] == y.tolist()
    bases = np.split(table.heads["base"], table.offsets[1:-1])
    assert [item.base_prediction for item in report.items] == [int(np.argmax(b)) for b in bases]
    assert "likra at alpha 0.9 after 16 examples, seed 0" in report.decision


def test_scores_per_character(results):
    found = report_of(Measured(results, "demo", ALPHA, "chars"))
    assert "alpha 0.9, scores per character. " in found.curve.caption
    y, shares = results.y("demo"), []
    for point in grid([16], SEEDS):
        table = results.table("demo", point)
        scores = table.heads["positive"] / table.n_chars
        pieces = np.split(scores, table.offsets[1:-1])
        shares.append(np.mean([np.argmax(p) == a for p, a in zip(pieces, y, strict=True)]))
    sft = next(line for line in found.curve.lines if line.name == "sft")
    assert sft.points[-1].y == pytest.approx(np.mean(shares))
    raw = {level.name: level.value for level in found.curve.levels}
    assert raw["base"] == pytest.approx(right(results, grid([4], [0])[0], "base").mean())


def test_calibration_counts_every_item_once(report):
    for chart in report.calibration:
        assert sum(b.count for b in chart.bins) == N_TEST
        gap = sum(b.count * abs(b.accuracy - b.confidence) for b in chart.bins) / N_TEST
        assert chart.calibration_error == pytest.approx(gap)
        hits = sum(b.count * b.accuracy for b in chart.bins)
        assert hits == pytest.approx(sum(i.prediction == i.answer for i in report.items))
    assert sum(bar.value for bar in report.set_sizes.bars) == pytest.approx(1)
    wrong = 1 - np.mean([i.prediction == i.answer for i in report.items])
    last = report.abstention.lines[0].points[-1]
    assert (last.x, last.y) == (1.0, pytest.approx(wrong))


def test_what_was_not_measured_is_left_out(results, report):
    without = report_of(Measured(results, "demo", ALPHA, "none"))
    assert without.items == ()
    assert "The questions" not in page(without)
    assert ("of them training items too", "0") in report.setup
    older = Results(results.folder)
    del older.experiment["tests"][0]["overlap"]
    assert "training items too" not in page(report_of(Measured(older, "demo", ALPHA, "none")))
    empty = page(Report("Nothing"))
    assert "<section" not in empty
    assert "<nav" not in empty
    for name in (f.name for f in fields(Report) if f.name not in ("title", "subtitle")):
        value = getattr(Report("x"), name)
        page(replace(report, **{name: value}))


def test_contents_refuse_what_is_not_a_number():
    for make in (
        lambda: Point(1, math.nan),
        lambda: Point(1, 0.5, deviation=math.inf),
        lambda: Interval("", "x", 0.1, math.nan, 0.2),
        lambda: Bin(math.nan, 0.5, 1),
        lambda: ChoiceRow("x", math.nan, 0.5),
        lambda: DotRow("x", 0.5, (math.nan,)),
        lambda: Bar("x", math.inf),
        lambda: Level("x", math.nan),
        lambda: LineChart("t", "x", "y", ()),
        lambda: Line("x", ()),
    ):
        with pytest.raises(LikraError, match="leave"):
            make()
    with pytest.raises(LikraError, match="got 2 tokens and 1 ratios"):
        ChoiceRow("ab", 0.0, 0.5, ("a", "b"), (1.0,))


def one_seed() -> Report:
    """Return a report of one seed, one size, and hostile texts."""
    evil = '</script><b onclick="alert(1)">&amp;\u2028\u0000 "quoted" \u05d0\u05d1\u05d2 <!--'
    chart = LineChart(
        evil, evil, evil, (Line(evil, (Point(8, 0.5),)), Line("sft", (Point(8, 0.5),))),
        (Level(evil, 0.25),), evil,
    )  # fmt: skip
    items = (
        ItemRow(evil, evil, (ChoiceRow(evil, 1.5, 0.8, (evil, "!"), (1.25, -0.5)),
                             ChoiceRow("no", -1.0, 0.2)), 1, 0, evil),
        ItemRow("2", "Ragged?", tuple(ChoiceRow(str(i), float(-i), 0.2) for i in range(5)), 0, 0),
    )  # fmt: skip
    return Report(
        evil, evil, (evil,), evil, ((evil, evil),), chart, (chart,), PAPER,
        Forest(evil, (Interval(evil, "likra", 0.0, 0.0, 0.0, 1.0),), evil),
        (DotPlot(evil, "likra", evil, (DotRow(evil, 0.5),), (Level(evil, 0.5),), evil),),
        (chart,), (chart,), (ReliabilityChart(evil, (Bin(0.5, 0.5, 1),), 0.0, evil),), chart,
        BarChart(evil, evil, evil, (Bar(evil, 0.0),), evil), items, evil,
    )  # fmt: skip


def test_hostile_texts_stay_texts(browser, tmp_path):
    hostile = one_seed()
    path = tmp_path / "hostile.html"
    path.write_text(page(hostile), encoding="utf-8")
    browser.screen(1000)
    browser.open(path)
    assert browser.console == []
    assert browser.run("document.querySelectorAll('b[onclick]').length") == 0
    question = hostile.items[0].question
    # HTML has no null character; JSON does.
    heading = question.replace("\0", "")
    assert browser.run("document.querySelector('h1').textContent") == heading
    assert browser.run("document.querySelector('#list .question').textContent") == question
    browser.run("document.querySelector('#list button').click()")
    assert browser.run("document.querySelector('.choice .tokens span').textContent") == question
    assert browser.run("document.querySelectorAll('.choice').length") == 2
    assert browser.run("document.querySelectorAll('#list [dir=auto]').length") >= 4.5
    browser.run("document.querySelectorAll('#list > li > button')[1].click()")
    assert browser.run("document.querySelectorAll('.choice').length") == 7


def every_drawing(contents: Report) -> list[ET.Element]:
    return [
        ET.fromstring(text)
        for section in contents.sections
        for texts in drawings(section)
        for text in texts
    ]


def test_drawings_are_xml_of_numbers_within_their_frame(report):
    for contents in (report, one_seed()):
        for section in contents.sections:
            for texts in drawings(section):
                for text in texts:
                    assert not re.search(r"\b(nan|inf|None)\b", text)
        for root in every_drawing(contents):
            _, _, width, height = map(float, root.get("viewBox").split())
            assert root.get("role") == "img"
            assert root.get("aria-label")
            most = dict.fromkeys(("x1", "x2", "cx", "x"), width)
            most |= dict.fromkeys(("y1", "y2", "cy", "y"), height)
            for element in root.iter():
                for name in most.keys() & element.keys():
                    assert -0.5 <= float(element.get(name)) <= most[name] + 0.5


def test_every_point_has_its_mark_and_tooltip(report):
    (section,) = (s for s in report.sections if s.title == "Learning curve")
    for text in drawings(section)[0]:
        marks = [e for e in ET.fromstring(text).iter() if e.get("class") == "mark"]
        assert len(marks) == sum(len(line.points) for line in report.curve.lines) == 8
        tips = [mark.find(f"{SVG}title").text for mark in marks]
        first = report.curve.lines[0].points[0]
        assert tips[0].startswith(f"likra: {first.y:.3f} \u00b1 {first.error:.3f} s.e. (s.d. ")
        assert tips[0].endswith("over 2 seeds); examples 4")
        names = [e.text for e in ET.fromstring(text).iter() if "label" in (e.get("class") or "")]
        assert {"likra", "base-likra", "sft", "pos-base", "base", "pmi", "chance"} <= set(names)
        bands = [e for e in ET.fromstring(text).iter() if e.get("class") == "band"]
        assert len(bands) == 4


def test_tables_hold_what_the_drawings_show(report):
    header, rows = numbers(report.curve)
    assert header == ["examples", "likra", "base-likra", "sft", "pos-base"]
    point = report.curve.lines[1].points[-1]
    assert rows[1][0] == "16"
    assert rows[1][2] == f"{point.y:.3f} \u00b1 {point.error:.3f} ({point.deviation:.3f})"
    assert rows[-1][:2] == ["chance", "0.250"]
    for section in report.sections:
        for chart in section.charts:
            header, rows = numbers(chart)
            assert rows
            assert {len(row) for row in rows} == {len(header)}


def test_page_is_one_file_and_always_the_same(report):
    text = page(report)
    assert text == page(report)
    assert text.count("https://") == 1
    assert 'href="https://arxiv.org/abs/2503.14391"' in text
    outside = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in outside
    assert not re.search(r"\b(src|srcset)=|@import|url\(", outside)
    for sentence in report.sentences:
        assert sentence.replace("'", "&#x27;").replace("<", "&lt;") in text
    data = json.loads(re.search(r'id="items-data">(.*?)</script>', text, re.S)[1])
    assert len(data["items"]) == N_TEST
    thousand = tuple(itertools.islice(itertools.cycle(report.items), 1000))
    assert len(page(replace(report, items=thousand)).encode()) < 3e6


def test_page_in_a_browser(browser, opened, report):
    for width, dark in ((1100, False), (1100, True), (360, False)):
        browser.screen(width, dark=dark)
        browser.open(opened)
        assert browser.console == []
        assert browser.requests == [opened.as_uri()]
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(20, 23, 26)") == dark
        assert browser.run("document.documentElement.scrollWidth") <= width
        # Nothing drawn is cut off, and no two names lie on each other.
        outside, overlaps, shown = browser.run(
            """(() => {
              const boxes = [...document.querySelectorAll('figure svg')]
                .filter(svg => svg.getBoundingClientRect().width);
              let outside = [], overlaps = [];
              for (const svg of boxes) {
                const frame = svg.getBoundingClientRect();
                const texts = [...svg.querySelectorAll('text')];
                for (const text of texts) {
                  const box = text.getBoundingClientRect();
                  if (box.left < -1 || box.right > document.documentElement.clientWidth + 1
                      || box.top < frame.top - 4 || box.bottom > frame.bottom + 4)
                    outside.push(text.textContent);
                }
                for (const [i, one] of texts.entries()) for (const two of texts.slice(i + 1)) {
                  const a = one.getBoundingClientRect(), b = two.getBoundingClientRect();
                  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                  if (wide > 1 && high > 4) overlaps.push([one.textContent, two.textContent]);
                }
              }
              return [outside, overlaps, boxes.length];
            })()"""
        )
        assert outside == []
        assert overlaps == []
        assert shown == sum(len(section.charts) for section in report.sections)


def test_items_are_searched_and_filtered(browser, opened, report):
    browser.screen(1100)
    browser.open(opened)
    state = "document.getElementById('matches').textContent"
    assert browser.run(state) == f"{N_TEST} of {N_TEST} items"
    assert browser.run("document.getElementById('matches').getAttribute('aria-live')") == "polite"
    expected = {
        "wrong": sum(i.prediction != i.answer for i in report.items),
        "flipped": sum(i.prediction != i.base_prediction for i in report.items),
        "low": N_TEST // 10,
    }
    for name, count in expected.items():
        browser.run(f"document.querySelector('#filters input[value={name}]').click()")
        assert browser.run(state).startswith(f"{count} of {N_TEST} ")
        label = browser.run("document.querySelector('#filters :checked + span').textContent")
        assert label.endswith(f" {count}")
    browser.run("document.querySelector('#filters input[value=all]').click()")
    word = report.items[0].question.split()[2]
    browser.run("document.getElementById('search').focus()")
    for character in word.upper():
        browser.press(character)
    found = sum(
        word.lower() in "\n".join([i.id, i.question, *(c.text for c in i.choices)]).lower()
        for i in report.items
    )
    assert browser.run(state).startswith(f"{found} of {N_TEST} ")


def test_items_are_reached_by_the_keyboard(browser, opened, report):
    browser.screen(1100)
    browser.open(opened)
    focus = "document.activeElement.id || document.activeElement.value || ''"
    browser.run("document.getElementById('search').focus()")
    seen = []
    for _ in range(4):
        browser.press("Tab")
        seen.append(browser.run(focus))
    assert seen == ["all", "numbers", "item-0", "item-1"]
    outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.press("k")
    assert browser.run(focus) == "item-0"
    browser.press("Enter")
    assert browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert browser.run(
        "document.getElementById(document.activeElement.getAttribute('aria-controls')) !== null"
    )
    first = report.items[0]
    shown = browser.run(
        "[...document.querySelectorAll('.choice')].map(c => [...c.querySelectorAll('.tokens span')]"
        ".map(s => s.title))"
    )
    assert [len(titles) for titles in shown] == [len(c.tokens) for c in first.choices]
    expected = number(first.choices[0].ratios[0], 2)
    assert shown[0][0].lstrip("+") == f"{expected} nats"
    marks = browser.run(
        "[...document.querySelectorAll('.choice')].map(c => c.textContent.includes('right'))"
    )
    assert marks.index(True) == first.answer
    browser.press("End")
    assert browser.run(focus) == "item-19"
    browser.press("j")
    assert browser.run("document.querySelector('#pages span').textContent") == "Page 2 of 3"
    assert browser.run(focus) == "item-0"
    browser.press("/")
    assert browser.run(focus) == "search"
    browser.run("document.querySelector('figure svg').focus()")
    browser.press("ArrowRight")
    tip = browser.run("document.getElementById('tip').textContent")
    assert tip.startswith("likra: ")
    browser.press("ArrowRight")
    assert browser.run("document.getElementById('tip').textContent") != tip


def test_without_javascript_charts_and_texts_remain(browser, opened):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.screen(1100)
        browser.open(opened)
        nodes = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]

        def count(selector: str) -> int:
            found = browser.call("DOM.querySelectorAll", nodeId=nodes, selector=selector)
            return len(found["nodeIds"])

        assert count("figure svg .mark title") > 50
        assert count("noscript p") == 1
        assert count("#browser[hidden]") == 1
        assert browser.console == []
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_series_are_legible_and_differ_in_grey():
    modes = ["likra", "base-likra", "sft", "pos-base"]
    chosen = [STYLES[mode] for mode in modes]
    for style in {*STYLES.values()}:
        assert contrast(style.light, PAPERS["light"]) >= 4.5
        assert contrast(style.dark, PAPERS["dark"]) >= 4.5
    light = [luminance(style.light) for style in chosen]
    assert light == sorted(light)
    dark = [luminance(style.dark) for style in chosen]
    assert dark == sorted(dark, reverse=True)
    assert len({style.marker for style in chosen}) == 4
    assert styles_of(["a", "likra", "b"])[1] == STYLES["likra"]
    assert len(set(styles_of(["a", "likra", "b"]))) == 3


@pytest.mark.parametrize("seed", range(20))
def test_labels_are_moved_apart_as_little_as_possible(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    wanted, gap, low, high = rng.uniform(0, 100, n), 11.0, 0.0, 100.0
    found = np.array(spread(wanted.tolist(), gap, low, high))
    order = np.argsort(wanted)
    ranks = gap * np.arange(n)
    isotonic = IsotonicRegression(y_min=low, y_max=high - ranks[-1])
    expected = isotonic.fit_transform(np.arange(n), wanted[order] - ranks) + ranks
    assert found[order] == pytest.approx(expected)


def test_labels_that_do_not_fit_share_the_room():
    assert spread([5, 5, 5], 10, 0, 10) == [0, 5, 10]
    assert spread([], 10, 0, 10) == []


def test_ticks_are_round_and_inside():
    assert linear_ticks(0.13, 0.97, 5) == [0.25, 0.5, 0.75]
    assert linear_ticks(0, 1, 6) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert linear_ticks(-103, -2, 6) == [-100, -75, -50, -25]
    assert decimals([0.25, 0.5]) == 2
    assert number(-0.0001, 2) == "0.00"
    assert number(-1.5, 1) == "\N{MINUS SIGN}1.5"
    scale = scale_log2([0, 2, 8])
    assert [scale(value) for value in (0, 2, 8)] == [0, 1, 3]


def test_sentences_are_typeset():
    shares = {"likra": 0.367, "base-likra": 0.4, "sft": 0.3, "pmi": 0.351}
    line = headline(shares, 1024, "pmi", 0.25).replace("\N{NO-BREAK SPACE}", " ")
    assert line == (
        "After 1,024 examples base-likra answers 40.0 % of the test questions right, likra 36.7 % "
        "and sft, which learns from right answers alone, 30.0 %. Without examples the model "
        "answers 35.1 % (pmi); a guess gets 25.0 %."
    )
    assert typeset("base-likra: -1.9 +- 2.0, +0.0 +- 1") == (
        "base-likra: \N{MINUS SIGN}1.9 \N{PLUS-MINUS SIGN} 2.0, +0.0 \N{PLUS-MINUS SIGN} 1"
    )


def test_mean_points():
    one, two = mean_points({8: [0.2, 0.4], 4: [0.5]}, {8: [0.03, 0.04], 4: [0.1]})
    assert (one.x, one.y, one.deviation, one.n_seeds) == (4, 0.5, None, 1)
    assert one.error == pytest.approx(0.1)
    assert (two.x, two.y, two.n_seeds) == (8, pytest.approx(0.3), 2)
    assert two.deviation == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert two.error == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2))


def test_pictures_for_print(report):
    assert line_style("sft")["marker"] == "^"
    charts = report.sections[0].charts
    content = picture(charts)
    assert content.startswith(b"\x89PNG")
    assert content == picture(charts), "the same charts, the same bytes"
    for section in report.sections[1:]:
        root = ET.fromstring(picture(section.charts, "svg"))
        texts = [e.text for e in root.iter() if e.tag.endswith("text")]
        assert {chart.title for chart in section.charts} <= set(texts)
    root = ET.fromstring(picture(charts, "svg"))
    texts = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {"likra", "base-likra", "sft", "pmi", "chance", "accuracy"} <= texts


def test_commands_write_the_report(results, tmp_path, capsys):
    path = tmp_path / "compare.html"
    status, _, _ = run_command("compare", str(results.folder), "--report", str(path), capsys=capsys)
    assert status == 0
    text = path.read_text(encoding="utf-8")
    assert "Paired comparisons" in text
    assert "likra-lite curve x" in text
    curve = tmp_path / "curve.html"
    with threadpool_limits(1):
        status, _, err = run_command(
            "curve", "handwritten", "--test", "handwritten", "--sizes", "4", "--jobs", "1",
            "--normalization", "chars,none", "--report", str(curve), capsys=capsys,
        )  # fmt: skip
    assert status == 0, err
    text = curve.read_text(encoding="utf-8")
    assert "36 test items, alpha 0.9, scores per character. A single draw" in text
    assert "p-values of McNemar&#x27;s exact test" in text, "a single seed"
    assert "36 test items, one by one. Answered by likra per character at alpha 0.9" in text
    assert "Can the probabilities be trusted?" not in text, "32 unused items are too few"
    status, _, err = run_command("compare", str(tmp_path), "--report", str(path), capsys=capsys)
    assert status == 1
    assert "holds no results of curve" in err
