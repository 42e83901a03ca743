"""A gallery: the learning curve, alpha, wrong answers and likelihoods as pictures.

    pip install ".[report]"
    python examples/gallery.py --out gallery

With ``--items``, ``--test`` and ``--model`` it draws the same for questions and a model of
your own. Three pictures are charts of the demo's report; the fourth shows how to make another.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from likra_lite import Item, LanguageModel, LikraError, read_items
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Experiment, Point, Results, curve_sizes, points_of_claims, run
from likra_lite.prompts import Prompt
from likra_lite.report import charts
from likra_lite.report.figure import picture
from likra_lite.report.from_results import report_of
from likra_lite.report.measured import Measured
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.system.atomic import write_bytes

ALPHAS = np.linspace(0.0, 1.5, 16)


def alpha_chart(results: Results, n_items: int) -> charts.LineChart:
    """Accuracy against the weight of the negative head: no forward pass, no fit."""
    (test,) = results.tests
    point = Point("none", n_items, seed=0)
    lines = []
    for mode in ("likra", "base-likra"):
        points = []
        for alpha in ALPHAS.tolist():
            correct = results.correct(test, point, Decision(mode, alpha))
            points.append(charts.Point(alpha, float(correct.mean())))
        lines.append(charts.Line(mode, tuple(points)))
    return charts.LineChart(f"{n_items} examples", "alpha", "accuracy", tuple(lines), log2=False)


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
    experiment = Experiment(scorer, training, {"test": testing}, unrelated=None)
    sizes = curve_sizes(len(training))
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        results = experiment.create(folder)
        run(experiment, points_of_claims(training, sizes, range(draws)), results)
        report = report_of(Measured.of_claims(results, testing, alpha=0.9))
        pictures = {
            "learning-curve": report.sections[0].charts,
            "alpha": [alpha_chart(results, sizes[-1])],
            "negatives": report.kinds,
            "likelihoods": report.trajectories[:2],
        }
    for name, drawn in pictures.items():
        write_bytes(out / f"{name}.png", picture(drawn))
        click.echo(out / f"{name}.png")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LikraError, click.ClickException) as error:
        raise SystemExit(f"gallery: {error}") from None
