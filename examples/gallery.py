"""A gallery: the learning curve, alpha, wrong answers and likelihoods as pictures.

    pip install ".[report]"
    python examples/gallery.py --out gallery

With ``--items``, ``--test`` and ``--model`` it draws the same for questions and a model of
your own. Each function draws one picture and can be read by itself.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure

from likra_lite import Item, LanguageModel, LikraError, read_items
from likra_lite.datasets import bundled_model, load_demo
from likra_lite.experiments import Bench, Claims, check_claims, curve_sizes
from likra_lite.prompts import Prompt
from likra_lite.ratio import Decision
from likra_lite.report.figure import STYLES, learning_curve_figure
from likra_lite.report.summary import mean_log_likelihood, summarize
from likra_lite.scoring import ChoiceScorer
from likra_lite.statistics import accuracy

ALPHAS = np.linspace(0.0, 1.5, 16)


def alpha_figure(bench: Bench, n_items: int) -> Figure:
    """Accuracy against the weight of the negative head: no forward pass, no fit."""
    table = bench.test(bench.fit(n_items))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for mode in ("likra", "base-likra"):
        shares = [
            accuracy(Decision(mode, alpha).predict(table) == bench.test_y)[0] for alpha in ALPHAS
        ]
        axes.plot(ALPHAS, shares, label=mode, **STYLES[mode])
    axes.set(xlabel="alpha", ylabel="test accuracy", title=f"{n_items} examples")
    axes.legend(frameon=False)
    return figure


def negatives_figure(claims: Claims) -> Figure:
    """Accuracy by the kind of wrong answers that the negative head has learned."""
    rows = [row for row in claims.kinds if row.mode == "base-likra"]
    kinds = summarize(rows, by="negatives")
    size = rows[0].n_items
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    estimates = [curve[size] for curve in kinds.values()]
    axes.barh(
        list(kinds),
        [e.accuracy for e in estimates],
        xerr=[e.standard_error for e in estimates],
        color=STYLES["base-likra"]["color"],
    )
    axes.set(xlabel="test accuracy", title=f"base-likra, {size} wrong answers")
    return figure


def likelihood_figure(claims: Claims) -> Figure:
    """Mean log-likelihood of right and wrong answers under each head, as examples grow."""
    groups = list(dict.fromkeys(row.group for row in claims.trajectories))
    sizes = sorted({row.n_items for row in claims.trajectories} - {0})
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    for axes, head in zip(
        figure.subplots(1, 2, sharey=True), ("positive", "negative"), strict=True
    ):
        for group in groups:
            means = [mean_log_likelihood(claims.trajectories, head, [group], n) for n in sizes]
            axes.plot(sizes, means, marker="o", label=group)
        axes.set_xscale("log", base=2)
        axes.set(xlabel="examples", title=f"{head} head")
    figure.axes[0].set_ylabel("nats per answer")
    figure.axes[1].legend(frameon=False)
    return figure


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
    figures = {
        "learning-curve": learning_curve_figure(claims),
        "alpha": alpha_figure(bench, sizes[-1]),
        "negatives": negatives_figure(claims),
        "likelihoods": likelihood_figure(claims),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=160)
        click.echo(out / f"{name}.png")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LikraError, click.ClickException) as error:
        raise SystemExit(f"gallery: {error}") from None
