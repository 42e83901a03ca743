"""The ratio against its rivals: the same items, the same number of examples, several seeds.

    python benchmarks/rivals.py TRAIN.jsonl TEST.jsonl --model CHECKPOINT --out FOLDER
    python benchmarks/rivals.py ... --no-output --sizes 64,256 --seeds 1   # of a larger model

Right and wrong answers of N questions train every method, in float32; the rest is the same for
all: what is free (alpha, the learning rate at the first seed) is chosen on validation items, the
last of the training file. Needs the extras train and baselines. On a GPU, PyTorch trains all, and
several --jobs share it. Finished runs are kept in FOLDER and not repeated; a folder is good for one
model, these items and one number of validation items.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from joblib import Parallel, delayed
from setup import CONTEXT, progress, with_questions

from likra_lite import Item, LanguageModel, LikraClassifier
from likra_lite.export import export_model
from likra_lite.heads.fit_graph import why_not_covered
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.scoring.comparisons import compare_modes, findings
from likra_lite.scoring.modes import FREE_HEADS
from likra_lite.scoring.selection import mean_loss
from likra_lite.system.atomic import write_bytes
from likra_lite.system.workers import end_with

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
    """Items, a model, and where results are kept.

    Attributes
    ----------
    gpu : bool
        Whether PyTorch finds one.
    base : LogLikelihoods
        Of the test items, under the model as it is.
    """

    def __init__(
        self, train: list[Item], test: list[Item], model: str, validation: int, out: str
    ) -> None:
        import torch

        self.pool, self.held_out = train[:-validation], train[-validation:]
        self.test = test
        self.y = np.array([item.answer for item in self.test])
        self.model = model
        self.gpu = torch.cuda.is_available()
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.exported = self.out / "model"
        if not self.exported.is_dir():
            export_model(model, self.exported)
        self.base = self.free_classifier(mode="base").log_likelihoods(self.test)

    def free_classifier(self, **how: Any) -> Any:
        """Return a classifier that has learnt nothing."""
        classifier = LikraClassifier(self.exported, adapter="none", **how)
        return classifier.fit(self.held_out[:2])

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
        }
        if entry.objective == "output":
            return LikraClassifier(self.exported, adapter="output", **common)
        recipe = LoraRecipe(
            objective=entry.objective,
            learning_rate=entry.rate,
            seed=entry.seed,
            precision="float32",
        )
        covered = why_not_covered(LanguageModel(self.exported), recipe) is None
        model = self.exported if covered and not self.gpu else self.model
        return LikraClassifier(model, adapter="lora", recipe=recipe, **common)

    def do(self, entry: Entry, parent: int) -> Entry:
        """Fit an entry for a process, write its file, and return the entry.

        The file holds the seconds of fitting and, by mode, the validation loss in nats and which
        test items are right.
        """
        end_with(parent)
        warnings.simplefilter("ignore")
        classifier = self.classifier(entry)
        start = time.perf_counter()
        classifier.fit(self.subset(entry.size, entry.seed), X_validation=self.held_out)
        found: dict[str, Any] = {"seconds": time.perf_counter() - start, "modes": {}}
        held_out, y = classifier.held_out_, classifier.held_out_y_
        own = [head for head in held_out.heads if head not in FREE_HEADS]
        scored = classifier.log_likelihoods(self.test, own)
        test = replace(scored, heads={**self.base.heads, **scored.heads})
        for mode in entry.modes:
            classifier.set_params(mode=mode)
            found["modes"][mode] = {
                "loss": mean_loss(classifier.held_out_decision_, held_out, y),
                "correct": (classifier.predict(test) == self.y).tolist(),
            }
        write_bytes(self.path(entry.name), json.dumps(found).encode())
        return entry

    def read(self, entry: Entry) -> dict[str, Any]:
        """Return what the file of an entry holds."""
        return json.loads(self.path(entry.name).read_text())

    def path(self, name: str) -> Path:
        """Return the file of a method."""
        return self.out / f"{name}.json"

    def free(self) -> dict[str, np.ndarray]:
        """Return which test items are right without any examples, by method."""
        result = {}
        for name, how in (
            ("base", {"mode": "base"}),
            ("base per character", {"mode": "base", "normalization": "chars"}),
            ("pmi", {"mode": "pmi"}),
            ("letters", {"mode": "base", "prompt": "letters"}),
        ):
            path = self.path(name)
            if not path.is_file():
                test = self.test if "prompt" in how else self.base
                correct = (self.free_classifier(**how).predict(test) == self.y).tolist()
                write_bytes(path, json.dumps({"correct": correct}).encode())
            result[name] = np.array(json.loads(path.read_text())["correct"])
        return result

    def best(self, tried: Sequence[Entry]) -> Entry:
        """Return the entry with the lowest validation loss."""
        return min(tried, key=lambda entry: self.read(entry)["modes"][entry.mode]["loss"])


def carry_out(contest: Contest, entries: Sequence[Entry], n_jobs: int) -> None:
    """Do what is not done, the longest first."""
    missing = [entry for entry in entries if not contest.path(entry.name).is_file()]
    missing.sort(key=lambda entry: -entry.size)
    with Parallel(n_jobs, return_as="generator_unordered") as parallel:
        jobs = (delayed(contest.do)(entry, os.getpid()) for entry in missing)
        for number, entry in enumerate(parallel(jobs), 1):
            progress(f"{number} of {len(missing)}: {entry.name}")


def table_of(
    contest: Contest, best: Sequence[Entry], seeds: int
) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield each method, which items it gets right, of shape (n_seeds, n_items), and a note."""
    for entry in best:
        found = [contest.read(replace(entry, seed=seed)) for seed in range(seeds)]
        seconds = np.median([one["seconds"] for one in found])
        rate = f" rate {entry.rate:g}" if entry.rate else ""
        for mode in entry.modes:
            correct = np.array([one["modes"][mode]["correct"] for one in found])
            yield _name(entry.objective, mode), correct, f"{seconds:.1f} s{rate}"


def show(correct: Mapping[str, np.ndarray], notes: Mapping[str, str], title: str) -> None:
    """Print shares of right answers and paired tests."""
    click.echo(f"\n{title}")
    for name, column in correct.items():
        shares = np.atleast_2d(column).mean(axis=1)
        spread = f" (seeds {shares.min():.3f} to {shares.max():.3f})" if len(shares) > 1 else ""
        click.echo(f"  {name:<24}{shares.mean():.3f}{spread}  {notes.get(name, '')}")
    for finding in findings(compare_modes(correct, [r for r in REFERENCES if r in correct])):
        click.echo(f"  {finding}")


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
@click.option("--jobs", default=1, help="Fits at a time, of a thread each.")
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
    jobs: int,
) -> None:
    """Compare the ratio with its rivals and print a table with paired tests."""
    warnings.simplefilter("ignore")
    contest = Contest(train, test, model, validation, out)
    free = contest.free()
    tried = [
        [Entry(objective, int(size), 0, float(rate)) for rate in rates.split(",")]
        for size in sizes.split(",")
        for objective in ("likelihood", *RIVALS)
    ]
    if output:
        tried += [[Entry("output", int(size), 0)] for size in sizes.split(",")]
    carry_out(contest, [entry for group in tried for entry in group], jobs)
    best = list(map(contest.best, tried))
    others = [replace(entry, seed=seed) for entry in best for seed in range(1, seeds)]
    carry_out(contest, others, jobs)
    for size in map(int, sizes.split(",")):
        of_size = [entry for entry in best if entry.size == size]
        columns = list(table_of(contest, of_size, seeds))
        correct = {**free, **{name: column for name, column, _ in columns}}
        notes = {name: note for name, _, note in columns}
        title = f"{size} examples, {seeds} seeds, {len(contest.y)} test items"
        show(correct, notes, title)


if __name__ == "__main__":
    main()
