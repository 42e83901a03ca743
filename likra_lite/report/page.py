"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
from functools import cache
from importlib import resources

from .charts import BarChart, Chart, DotPlot, Forest, LineChart, ReliabilityChart
from .contents import ItemRow, Report, Section
from .lines import alike, draw_lines, value_range
from .numbers import numbers
from .paper import PAPER
from .plots import draw_bars, draw_dots, draw_forest, draw_reliability

__all__ = ["drawings", "page"]

WIDE, PANEL, PHONE = 820.0, 400.0, 360.0  # widths of drawings, in CSS pixels
LOW = 0.1  # share of the items that are said to have a low margin
CITATION = "https://arxiv.org/abs/2503.14391"

# Nothing is loaded, whatever a question says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

MODES = (
    ("base", "the model as it is: the log-likelihood of an answer"),
    ("base per character", "the same, divided by the length of the answer"),
    ("pmi", "base less the same after the neutral context: the prompt, with nothing asked"),
    ("sft", "a head fitted on right answers"),
    ("likra", "the head of right answers less alpha times a head fitted on wrong ones"),
    ("base-likra", "the model as it is less alpha times the head of wrong answers"),
    ("pos-base", "the head of right answers less the model as it is"),
)


@cache
def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def page(report: Report) -> str:
    """Return the report as HTML.

    The charts are SVG that follows the reader's light or dark theme. A little JavaScript
    gives tooltips and the list of items; without it everything else is there. Nothing is
    loaded from anywhere, and the same contents give the same bytes.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
    """
    sections = [_section(place, section) for place, section in enumerate(report.sections)]
    if report.items:
        sections.append(_browser(report))
    title = html.escape(report.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n'
        f"<style>\n{_resource('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{title}</h1>\n{_findings(report)}{_contents(report)}</header>\n"
        f"{''.join(sections)}{_setup(report)}{_footer()}</main>\n"
        f"<script>\n{_resource('page.js')}</script>\n</body>\n</html>\n"
    )


def _findings(report: Report) -> str:
    subtitle = f'<p class="subtitle">{html.escape(report.subtitle)}</p>\n'
    lines = "".join(f"<li>{html.escape(line)}</li>\n" for line in report.sentences)
    return subtitle * bool(report.subtitle) + f'<ul class="findings">\n{lines}</ul>\n' * bool(lines)


def _contents(report: Report) -> str:
    names = [(f"s{i}", section.title) for i, section in enumerate(report.sections)]
    names += [("items", "The questions")] if report.items else []
    names += [("setup", "What was run")] if report.setup or report.command else []
    if len(names) < 2:
        return ""
    links = "".join(f'<li><a href="#{name}">{html.escape(text)}</a></li>' for name, text in names)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n'


def _setup(report: Report) -> str:
    if not report.setup and not report.command:
        return ""
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>\n"
        for name, value in report.setup
    )
    listed = f"<dl>\n{rows}</dl>\n" if rows else ""
    command = (
        "<h3>To repeat it</h3>\n"
        f'<div class="command"><pre><code>{html.escape(report.command)}</code></pre></div>\n'
        if report.command
        else ""
    )
    return f'<section id="setup"><h2>What was run</h2>\n{listed}{command}</section>\n'


def _footer() -> str:
    return (
        "<footer>Made with likra-lite. The ratio and the modes are those of "
        f'<a href="{CITATION}">Hamdan &amp; Yuret 2025, arXiv 2503.14391</a>.</footer>\n'
    )


def _section(place: int, section: Section) -> str:
    text = f"<p>{html.escape(section.text)}</p>\n" if section.text else ""
    # What is said of every chart is said once.
    common = len(section.charts) > 1 and len({chart.caption for chart in section.charts}) == 1
    body = "".join(
        _figure(chart, drawn, chart.title != section.title, not common)
        for chart, drawn in zip(section.charts, drawings(section), strict=True)
    )
    if not _is_wide(section):
        body = f'<div class="grid">\n{body}</div>\n'
    if common:
        body += f'<p class="caption">{html.escape(section.charts[0].caption)}</p>\n'
    glossary = _glossary() * (place == 0)
    return (
        f'<section id="s{place}"><h2>{html.escape(section.title)}</h2>\n{text}{body}{glossary}'
        "</section>\n"
    )


def _glossary() -> str:
    rows = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in MODES)
    return (
        '<details class="numbers"><summary>What the names mean</summary>'
        f"<dl>{rows}</dl></details>\n"
    )


def _is_wide(section: Section) -> bool:
    (first, *others) = section.charts
    return not others and first != PAPER and isinstance(first, LineChart | Forest)


def drawings(section: Section) -> list[tuple[str, ...]]:
    """Draw the charts of a section: each once, or for a wide screen and for a phone.

    Parameters
    ----------
    section : Section

    Returns
    -------
    list of tuple of str
        SVG.
    """
    wide = _is_wide(section)
    return [_draw(chart, wide, section) for chart in section.charts]


def _draw(chart: Chart, wide: bool, section: Section) -> tuple[str, ...]:
    match chart:
        case LineChart():
            if wide:
                return draw_lines(chart, WIDE, 430), draw_lines(chart, PHONE, 340)
            return (draw_lines(chart, PANEL, 310, value_range(alike(chart, section.charts))),)
        case Forest():
            return draw_forest(chart, WIDE), draw_forest(chart, PHONE)
        case DotPlot():
            return (draw_dots(chart, PANEL),)
        case ReliabilityChart():
            return (draw_reliability(chart, PANEL),)
        case BarChart():
            return (draw_bars(chart, PANEL),)


def _figure(chart: Chart, drawn: tuple[str, ...], with_title: bool, with_caption: bool) -> str:
    classes = ["wide", "small"] if len(drawn) == 2 else ["only"]
    svg = "\n".join(
        text.replace("<svg ", f'<svg class="{name}" ', 1)
        for text, name in zip(drawn, classes, strict=True)
    )
    heading = f"<h3>{html.escape(chart.title)}</h3>\n" * with_title
    shown = with_caption and bool(chart.caption)
    caption = f"<figcaption>{html.escape(chart.caption)}</figcaption>\n" * shown
    return f"<figure>\n{heading}{svg}\n{caption}{_table(chart)}</figure>\n"


def _table(chart: Chart) -> str:
    header, rows = numbers(chart)
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    label = html.escape(f"Numbers of {chart.title}")
    opened = " open" if isinstance(chart, Forest) else ""
    return (
        f'<details class="numbers"{opened}><summary>Numbers</summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div></details>\n"
    )


FILTERS = (("all", "All"), ("wrong", "Wrong"), ("flipped", "Flipped"), ("low", "Low margin"))


def _browser(report: Report) -> str:
    options = "".join(
        f'<label><input type="radio" name="filter" value="{value}"'
        f"{' checked' if value == 'all' else ''}><span>{text}</span></label>"
        for value, text in FILTERS
    )
    decision = f" {html.escape(report.decision)}" if report.decision else ""
    return (
        '<section id="items"><h2>The questions</h2>\n'
        f"<p>{len(report.items):,} test items, one by one.{decision} <b>Flipped</b>: another "
        "choice than without examples. <b>Low margin</b>: the tenth of the items whose first two "
        "choices are closest. A margin is the distance of their scores.</p>\n"
        "<noscript><p>The list of questions needs JavaScript; nothing is loaded from "
        "elsewhere.</p></noscript>\n"
        '<div id="browser" hidden>\n<div class="tools">\n'
        '<label class="search">Search questions and choices'
        '<input type="search" id="search" autocomplete="off" spellcheck="false"></label>\n'
        f'<fieldset id="filters"><legend>Show</legend>{options}</fieldset>\n</div>\n'
        f"{_legend(report.items)}"
        '<p class="state" id="matches" role="status" aria-live="polite"></p>\n'
        '<ol id="list" aria-label="Items"></ol>\n'
        '<div class="pages" id="pages"><button type="button">Previous</button><span></span>'
        '<button type="button">Next</button></div>\n</div>\n'
        f'<script type="application/json" id="items-data">{_data(report.items)}</script>\n'
        "</section>\n"
    )


def _legend(items: tuple[ItemRow, ...]) -> str:
    if not any(choice.tokens for item in items for choice in item.choices):
        return '<input type="checkbox" id="numbers" hidden>\n'
    return (
        '<div class="legend"><span class="tokens">Every token is coloured by its log-ratio: '
        '<span class="plus" style="--a:.55">blue speaks for the answer</span>, '
        '<span class="minus" style="--a:.55">orange with dots below speaks against it</span>.'
        '</span> <label><input type="checkbox" id="numbers"> show nats</label><br>'
        "Keys: <kbd>/</kbd> search, <kbd>j</kbd> <kbd>k</kbd> or arrows move, <kbd>Enter</kbd> "
        "opens.</div>\n"
    )


def _data(items: tuple[ItemRow, ...]) -> str:
    """Return the items as JSON that cannot end its script element."""
    ratios = sorted(abs(r) for item in items for choice in item.choices for r in choice.ratios)
    largest = ratios[int(0.98 * (len(ratios) - 1))] if ratios else 1.0
    margins = sorted(item.margin for item in items)
    content = {
        "low": round(margins[int(LOW * (len(margins) - 1))], 4),
        "largest": round(largest, 3) or 1.0,
        "items": [
            {
                "id": item.id,
                "q": item.question,
                "x": item.context,
                "a": item.answer,
                "p": item.prediction,
                "b": item.base_prediction,
                "m": round(item.margin, 4),
                "c": [
                    {
                        "t": choice.text,
                        "s": round(choice.score, 3),
                        "v": round(choice.probability, 4),
                        "k": choice.tokens,
                        "r": [round(ratio, 2) for ratio in choice.ratios],
                    }
                    for choice in item.choices
                ],
            }
            for item in items
        ],
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
