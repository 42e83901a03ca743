"""The ratio against its rivals: the same items, the same number of examples, several seeds.

    python benchmarks/rivals.py TRAIN.jsonl TEST.jsonl --model CHECKPOINT --out FOLDER
    python benchmarks/rivals.py ... --no-output --sizes 64,256 --seeds 1   # of a larger model

Right and wrong answers of N questions train every method; the rest is the same for all: what is
free (alpha, the learning rate at the first seed) is chosen on validation items, the last of the
training file, and the test items are looked at once. Needs the extras train and baselines.
Finished runs are kept in FOLDER and not repeated; a folder is good for one model, these items
and one number of validation items.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from setup import CONTEXT, progress, with_questions

from likra_lite import Item, LanguageModel, LikraClassifier
from likra_lite.export import export_model
from likra_lite.heads.fit_graph import why_not_covered
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.scoring.comparisons import compare_modes, sentence
from likra_lite.scoring.selection import mean_loss
from likra_lite.system.atomic import write_bytes

MODES = ("sft", "likra", "base-likra", "auto")  # of two heads
SINGLE_MODES = ("sft", "auto")  # of a rival's single head
RIVALS = ("unlikelihood", "choices", "dpo")
REFERENCES = ("base", "lora sft", "lora likra", "lora auto")


@dataclass(frozen=True)
class Entry:
    """A method, as it is fitted once.

    Attributes
    ----------
    objective : str
        Of LoRA heads; ``output`` for output matrices.
    size : int
        Number of training items.
    seed : int
    rate : float
        Learning rate; 0 for output matrices.
    """

    objective: str
    size: int
    seed: int
    rate: float = 0.0

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.objective}-{self.size}-{self.seed}-{self.rate:g}"

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that its heads are good for."""
        return MODES if self.objective in ("output", "likelihood") else SINGLE_MODES

    @property
    def mode(self) -> str:
        """The mode that it is fitted for, and that its learning rate is chosen by."""
        return "likra" if "likra" in self.modes else "sft"


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
        self.fits: dict[Entry, Any] = {}

    def subset(self, size: int, seed: int) -> list[Item]:
        """Return a seed's training items, smaller within larger."""
        order = np.random.default_rng(seed).permutation(len(self.pool))[:size]
        return [self.pool[index] for index in order.tolist()]

    def classifier(self, entry: Entry) -> Any:
        """Return a new classifier.

        The same loop trains both heads on ONNX Runtime, and the rivals with PyTorch.
        """
        common: dict[str, Any] = {
            "mode": entry.mode,
            "random_state": entry.seed,
            "n_threads": 1,
            "cache": False,
        }
        if entry.objective == "output":
            return LikraClassifier(self.exported, adapter="output", **common)
        recipe = LoraRecipe(objective=entry.objective, learning_rate=entry.rate, seed=entry.seed)
        covered = why_not_covered(LanguageModel(self.exported), recipe) is None
        model = self.exported if covered else self.model
        return LikraClassifier(model, adapter="lora", recipe=recipe, **common)

    def fitted(self, entry: Entry) -> Any:
        """Return the classifier, fitted on the first call."""
        if entry not in self.fits:
            classifier = self.classifier(entry)
            classifier.fit(self.subset(entry.size, entry.seed), X_validation=self.held_out)
            self.fits[entry] = classifier
        return self.fits[entry]

    def validated(self, entry: Entry) -> dict[str, Any]:
        """Return the validation loss by mode, in nats, and the seconds of fitting."""

        def validate() -> dict[str, Any]:
            start = time.perf_counter()
            classifier = self.fitted(entry)
            seconds = time.perf_counter() - start
            held_out, y = classifier.held_out_, classifier.held_out_y_
            losses = {
                mode: mean_loss(classifier.set_params(mode=mode).held_out_decision_, held_out, y)
                for mode in entry.modes
            }
            return {"seconds": seconds, "losses": losses}

        return self._kept(f"{entry.name}-validation", validate)

    def tested(self, entry: Entry) -> dict[str, list[bool]]:
        """Return which test items every mode gets right."""

        def test() -> dict[str, list[bool]]:
            classifier = self.fitted(entry)
            table = classifier.log_likelihoods(self.test)
            return {
                mode: (classifier.set_params(mode=mode).predict(table) == self.y).tolist()
                for mode in entry.modes
            }

        return self._kept(f"{entry.name}-test", test)

    def _kept(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self.out / f"{name}.json"
        if not path.is_file():
            write_bytes(path, json.dumps(do()).encode())
        return json.loads(path.read_text())

    def free(self) -> Iterator[tuple[str, list[bool]]]:
        """Yield what needs no examples."""
        for name, how in (
            ("base", {"mode": "base"}),
            ("base per character", {"mode": "base", "normalization": "chars"}),
            ("pmi", {"mode": "pmi"}),
            ("letters", {"mode": "base", "prompt": "letters"}),
        ):
            classifier = LikraClassifier(self.exported, adapter="none", n_threads=1, **how)

            def test(classifier: Any = classifier) -> dict[str, list[bool]]:
                fitted = classifier.fit(self.held_out[:2])  # nothing is chosen
                return {"correct": (fitted.predict(self.test) == self.y).tolist()}

            yield name, self._kept(name, test)["correct"]


def _columns(
    contest: Contest, size: int, seeds: int, rates: list[float], output: bool
) -> Iterator[tuple[str, np.ndarray, float, str]]:
    """Yield each method's predictions, of shape (n_seeds, n_items), time and setting."""
    for objective in (*(["output"] if output else []), "likelihood", *RIVALS):
        first = [Entry(objective, size, 0, rate) for rate in rates]
        if objective == "output":
            first = [Entry(objective, size, 0)]
        losses = [contest.validated(entry)["losses"][entry.mode] for entry in first]
        best = first[int(np.argmin(losses))]
        entries = [replace(best, seed=seed) for seed in range(seeds)]
        seconds = np.median([contest.validated(entry)["seconds"] for entry in entries])
        correct = [contest.tested(entry) for entry in entries]
        contest.fits.clear()
        note = f"rate {best.rate:g}" if best.rate else ""
        for mode in best.modes:
            name = _name(objective, mode)
            yield name, np.array([found[mode] for found in correct]), float(seconds), note


def _name(objective: str, mode: str) -> str:
    """Return what a method is called."""
    if objective == "output":
        return f"output {mode}"
    if objective == "likelihood":
        return f"lora {mode}"
    return f"lora {objective}" if mode == "sft" else f"lora {objective} {mode}"


@click.command(context_settings=CONTEXT)
@with_questions("Checkpoint: a local folder or a hub id.")
@click.option("--out", required=True, help="Folder of results.")
@click.option("--sizes", default="64,512")
@click.option("--seeds", default=5)
@click.option("--validation", default=200, help="Validation items.")
@click.option("--rates", default="1e-4,1e-3,3e-3", help="Learning rates.")
@click.option("--output/--no-output", default=True, help="Whether output matrices compete.")
def main(
    train: list[Item],
    test: list[Item],
    model: str,
    out: str,
    sizes: str,
    seeds: int,
    validation: int,
    rates: str,
    output: bool,
) -> None:
    """Compare the ratio with its rivals and print a table with paired tests."""
    warnings.simplefilter("ignore")
    contest = Contest(train, test, model, validation, out)
    free = {name: np.array(correct) for name, correct in contest.free()}
    for size in [int(part) for part in sizes.split(",")]:
        correct, notes = dict(free), dict.fromkeys(free, "")
        learning_rates = [float(part) for part in rates.split(",")]
        for name, column, seconds, note in _columns(contest, size, seeds, learning_rates, output):
            correct[name] = column
            notes[name] = f"{seconds:.1f} s {note}"
            progress(f"{size} {name}: {column.mean():.3f} {notes[name]}")
        click.echo(f"\n{size} examples, {seeds} seeds, {len(contest.y)} test items")
        for name, column in correct.items():
            shares = np.atleast_2d(column).mean(axis=1)
            spread = f" (seeds {shares.min():.3f} to {shares.max():.3f})" if len(shares) > 1 else ""
            click.echo(f"  {name:<24}{shares.mean():.3f}{spread}  {notes[name]}")
        for comparison in compare_modes(correct, [r for r in REFERENCES if r in correct]):
            click.echo(f"  {sentence(comparison)}")


if __name__ == "__main__":
    main()
