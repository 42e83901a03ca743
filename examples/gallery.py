"""A gallery: the learning curve, alpha, wrong answers and likelihoods as pictures.

    pip install ".[report]"
    python examples/gallery.py --out gallery

With ``--items``, ``--test`` and ``--model`` it draws the same for questions and a model of
your own. Three pictures are charts of the demo's report; the fourth shows how to make another.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from likra_lite import Item, LanguageModel, LikraError, read_items
from likra_lite.atomic import write_bytes
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Bench, check_claims, curve_sizes
from likra_lite.prompts import Prompt
from likra_lite.report.charts import Line, LineChart, Point
from likra_lite.report.figure import picture
from likra_lite.report.from_claims import report_of_claims
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer

ALPHAS = np.linspace(0.0, 1.5, 16)


def alpha_chart(bench: Bench, n_items: int) -> LineChart:
    """Accuracy against the weight of the negative head: no forward pass, no fit."""
    table = bench.test(bench.fit(n_items))
    lines = []
    for mode in ("likra", "base-likra"):
        points = []
        for alpha in ALPHAS.tolist():
            correct = Decision(mode, alpha).predict(table) == bench.test_y
            points.append(Point(alpha, float(correct.mean())))
        lines.append(Line(mode, tuple(points)))
    return LineChart(f"{n_items} examples", "alpha", "accuracy", tuple(lines), log2=False)


def read(source: str | None, subset: str) -> list[Item]:
    """Read a file of items, or load the demo's."""
    return load_demo(subset).items if source is None else read_items(source, require_answer=True)


@click.command()
@click.option("--out", default="gallery", show_default=True, type=click.Path(path_type=Path))
@click.option("--items", help="Items to fit on.  [default: the demo's]")
@click.option("--test", help="Items to test on.  [default: the demo's]")
@click.option("--model", help="Model folder.  [default: the bundled one]")
@click.option("--draws", type=click.IntRange(min=1), default=1, show_default=True)
def main(out: Path, items: str | None, test: str | None, model: str | None, draws: int) -> None:
    """Draw four pictures into a folder."""
    if (items is None) != (test is None):
        raise click.UsageError("--items and --test go together")
    training, testing = read(items, "train"), read(test, "test")
    language_model = LanguageModel(bundled_model() if model is None else model)
    scorer = ChoiceScorer(language_model, Prompt(language_model.manifest.prompt))
    bench = Bench(scorer, training, testing)
    sizes = curve_sizes(len(training))
    claims = check_claims(bench, bench.without_question(), sizes, range(draws))
    out.mkdir(parents=True, exist_ok=True)
    report = report_of_claims(claims, "gallery", "", "items")
    pictures = {
        "learning-curve": report.sections[0].charts,
        "alpha": [alpha_chart(bench, sizes[-1])],
        "negatives": report.kinds,
        "likelihoods": report.trajectories[:2],
    }
    for name, charts in pictures.items():
        write_bytes(out / f"{name}.png", picture(charts))
        click.echo(out / f"{name}.png")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LikraError, click.ClickException) as error:
        raise SystemExit(f"gallery: {error}") from None
