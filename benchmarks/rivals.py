"""The ratio against its rivals: the same items, the same number of examples, several seeds.

    python benchmarks/rivals.py TRAIN.jsonl TEST.jsonl --model CHECKPOINT --out FOLDER

Right and wrong answers of N questions train every method; the rest is the same for all: what is
free (alpha, the learning rate at the first seed) is chosen on validation items, the last of the
training file, and the test items are looked at once. Needs the extras train and baselines.
Finished runs are kept in FOLDER and not repeated.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from setup import CONTEXT, progress, with_questions

from likra_lite import Item, LikraClassifier
from likra_lite.export import export_model
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.scoring.comparisons import compare_modes, sentence
from likra_lite.scoring.decision import log_loss

MODES = ("sft", "likra", "base-likra")
REFERENCES = ("base", "lora sft", "lora likra")


class Contest:
    """Items, a model, and where results are kept."""

    def __init__(
        self, train: list[Item], test: list[Item], model: str, validation: int, out: str
    ) -> None:
        self.pool, self.held_out = train[:-validation], train[-validation:]
        self.test = test
        self.y = np.array([item.answer for item in self.test])
        self.model = model
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.exported = self.out / "model"
        if not self.exported.is_dir():
            export_model(model, self.exported)

    def subset(self, size: int, seed: int) -> list[Item]:
        """Return a seed's training items, smaller within larger."""
        order = np.random.default_rng(seed).permutation(len(self.pool))[:size]
        return [self.pool[index] for index in order.tolist()]

    def classifier(self, objective: str | None, rate: float, seed: int, **how: Any) -> Any:
        """Return a classifier with LoRA heads, or with output adapters for no objective."""
        common: dict[str, Any] = {"random_state": seed, "n_threads": 1, "cache": False, **how}
        if objective is None:
            return LikraClassifier(self.exported, adapter="output", **common)
        recipe = LoraRecipe(objective=objective, learning_rate=rate, seed=seed)
        return LikraClassifier(self.model, adapter="lora", recipe=recipe, **common)

    def run(
        self, name: str, size: int, seed: int, objective: str | None, rate: float = 0.0
    ) -> dict[str, Any]:
        """Fit and test once; return accuracy, validation loss and predictions by mode."""
        path = self.out / f"{name}-{size}-{seed}-{rate:g}.json"
        if path.is_file():
            return json.loads(path.read_text())
        modes = MODES if objective in (None, "likelihood") else ("sft",)
        start = time.perf_counter()
        classifier = self.classifier(
            objective, rate, seed, mode="likra" if len(modes) > 1 else "sft"
        )
        classifier.fit(self.subset(size, seed), X_validation=self.held_out)
        seconds = time.perf_counter() - start
        table = classifier.log_likelihoods(self.test, ("base", *classifier.scorer_.fitted))
        result: dict[str, Any] = {"seconds": seconds, "modes": {}}
        held_out, y = classifier.held_out_, classifier.held_out_y_
        for mode in modes:
            classifier.set_params(mode=mode)
            decision = classifier.decision_
            loss = log_loss(decision.scores(held_out) / decision.temperature, held_out.offsets, y)
            result["modes"][mode] = {
                "loss": float(loss.mean()),
                "alpha": decision.alpha,
                "correct": (decision.predict(table) == self.y).tolist(),
            }
        path.write_text(json.dumps(result))
        return result

    def free(self) -> Iterator[tuple[str, list[bool]]]:
        """Yield what needs no examples."""
        for name, how in (
            ("base", {"mode": "base"}),
            ("base per character", {"mode": "base", "normalization": "chars"}),
            ("pmi", {"mode": "pmi"}),
            ("letters", {"mode": "base", "prompt": "letters"}),
        ):
            classifier = self.classifier(None, 0.0, 0, **how).fit(self.held_out)
            yield name, (classifier.predict(self.test) == self.y).tolist()


def _columns(
    contest: Contest, size: int, seeds: int, rates: list[float]
) -> Iterator[tuple[str, np.ndarray, float, str]]:
    """Yield each method's predictions, of shape (n_seeds, n_items), time and setting."""
    results = [contest.run("output", size, seed, None) for seed in range(seeds)]
    for mode in MODES:
        yield f"output {mode}", *_gather(results, mode), ""
    for objective in ("likelihood", "unlikelihood", "choices", "dpo"):
        tried = {rate: contest.run(objective, size, 0, objective, rate) for rate in rates}
        wanted = "likra" if objective == "likelihood" else "sft"
        rate = min(tried, key=lambda rate: tried[rate]["modes"][wanted]["loss"])
        results = [contest.run(objective, size, seed, objective, rate) for seed in range(seeds)]
        for mode in results[0]["modes"]:
            name = mode if objective == "likelihood" else objective
            yield f"lora {name}", *_gather(results, mode), f"rate {rate:g}"


def _gather(results: list[dict[str, Any]], mode: str) -> tuple[np.ndarray, float]:
    correct = np.array([result["modes"][mode]["correct"] for result in results])
    return correct, float(np.median([result["seconds"] for result in results]))


@click.command(context_settings=CONTEXT)
@with_questions("Checkpoint: a local folder or a hub id.")
@click.option("--out", required=True, help="Folder of results.")
@click.option("--sizes", default="64,512")
@click.option("--seeds", default=5)
@click.option("--validation", default=200, help="Validation items.")
@click.option("--rates", default="1e-4,1e-3,3e-3", help="Learning rates.")
def main(
    train: list[Item],
    test: list[Item],
    model: str,
    out: str,
    sizes: str,
    seeds: int,
    validation: int,
    rates: str,
) -> None:
    """Compare the ratio with its rivals and print a table with paired tests."""
    warnings.simplefilter("ignore")
    contest = Contest(train, test, model, validation, out)
    free = {name: np.array(correct) for name, correct in contest.free()}
    for size in [int(part) for part in sizes.split(",")]:
        correct, notes = dict(free), dict.fromkeys(free, "")
        learning_rates = [float(part) for part in rates.split(",")]
        for name, column, seconds, note in _columns(contest, size, seeds, learning_rates):
            correct[name] = column
            notes[name] = f"{seconds:.1f} s {note}"
            progress(f"{size} {name}: {column.mean():.3f} {notes[name]}")
        click.echo(f"\n{size} examples, {seeds} seeds, {len(contest.y)} test items")
        for name, column in correct.items():
            shares = np.atleast_2d(column).mean(axis=1)
            spread = f" (seeds {shares.min():.3f} to {shares.max():.3f})" if len(shares) > 1 else ""
            click.echo(f"  {name:<20}{shares.mean():.3f}{spread}  {notes[name]}")
        for comparison in compare_modes(correct, [r for r in REFERENCES if r in correct]):
            click.echo(f"  {sentence(comparison)}")


if __name__ == "__main__":
    main()
