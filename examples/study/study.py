"""Doing the jobs of the study: fits, each kept as what its heads say of the test items.

A fit is what ``likra-lite fit --adapter lora`` does with so many questions: a fifth of them is
held out of the training and tells the weights of ``auto``. Its file holds log-likelihoods, so that
every mode, alpha and normalization is arithmetic afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jobs import DRAWN, Drawn, Fit, Free, Job, Shown
from numpy.typing import NDArray

from likra_lite import Item, LikraClassifier, LikraError, LogLikelihoods, LoraRecipe
from likra_lite.engine.manifest import MANIFEST, parse_manifest
from likra_lite.experiments.controls import draw_probes, shuffle_questions
from likra_lite.experiments.identity import checksum, identity_of_items
from likra_lite.heads.fit_best import FEWEST
from likra_lite.heads.fit_few import SHOWN
from likra_lite.prompts import Prompt, as_prompt
from likra_lite.questions.item import right_answers
from likra_lite.scoring.modes import FREE_HEADS
from likra_lite.system.atomic import atomic_bytes, write_bytes
from likra_lite.system.workers import end_with

__all__ = ["Questions", "Study"]

PROBED = 100  # test items that get an answer from elsewhere

Tables = dict[str, LogLikelihoods]


@dataclass(frozen=True)
class Questions:
    """Questions to fit on and to test on, and answers of other questions."""

    train: Sequence[Item]
    test: Sequence[Item]

    @cached_property
    def y(self) -> NDArray[np.int64]:
        """The right choices of the test items, of shape (n_items,)."""
        return np.array([item.answer for item in self.test])

    def draw(self, size: int, seed: int) -> list[Item]:
        """Return some of the items to fit on, at random."""
        order = np.random.default_rng(seed).permutation(len(self.train))[:size]
        return [self.train[index] for index in order.tolist()]


@dataclass(frozen=True)
class Study:
    """Sets of questions, a model, and the folder of results.

    Attributes
    ----------
    model : str
        Model folder.
    folder : Path
    questions : mapping of str to Questions
    unrelated : sequence of str
        Answers from another source.
    """

    model: str
    folder: Path
    questions: Mapping[str, Questions]
    unrelated: Sequence[str] = field(repr=False)

    def begin(self) -> None:
        """Note what is studied, or check that it is what the folder was begun with.

        Raises
        ------
        LikraError
            If the folder was begun with another model or other items; new sets may be added.
        """
        manifest = Path(self.model) / MANIFEST
        now = {
            "model": parse_manifest(manifest, manifest.read_bytes()).fingerprint,
            "unrelated": checksum(list(self.unrelated)),
        }
        for name, questions in self.questions.items():
            items = [*questions.train, *questions.test]
            now[name] = f"{len(questions.test)} of {identity_of_items(name, items)['sha256']}"
        note = self.folder / "study.json"
        begun = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        for part, found in now.items():
            if begun.get(part, found) != found:
                raise LikraError(
                    f"{self.folder} was begun with another {part}; choose another --out"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(note, json.dumps({**begun, **now}, indent=2).encode())

    def is_done(self, job: Job) -> bool:
        """Return whether a job has its file."""
        return self._path(job).is_file()

    def do(self, job: Job, parent: int) -> Job:
        """Do a job for a process, write its file, and return the job."""
        end_with(parent)
        match job:
            case Free():
                some = self.questions[job.questions].train[:2]
                classifier = self._classifier(_prompt(job.control), adapter="none").fit(some)
                self._write(job, self._tested(classifier, job.questions, job.control))
            case Drawn():
                prompt, size = _prompt(), FEWEST - 1 if job.shown else DRAWN
                items = self.questions[job.questions].draw(size, job.seed)
                if job.shown:
                    prompt, items = prompt.with_examples(items[:SHOWN]), items[SHOWN:]
                table = self._classifier(prompt, adapter="none").fit(items).held_out_
                self._write(job, {"drawn": table}, y=np.array([item.answer for item in items]))
            case Shown():
                some = self.questions[job.questions].draw(job.size, job.seed)
                prompt = _prompt().with_examples(some)
                classifier = self._classifier(prompt, adapter="none").fit(some)
                test = classifier.log_likelihoods(self.questions[job.questions].test)
                self._write(job, {"test": test})
            case Fit():
                self._fit(job)
        return job

    def read(self, job: Job) -> tuple[Tables, dict[str, Any]]:
        """Return what a job has written: tables by name, and other arrays."""
        tables: dict[str, dict[str, NDArray[Any]]] = {}
        others = {}
        with np.load(self._path(job)) as arrays:
            for key in arrays.files:
                table, _, column = key.partition(":")
                if column:
                    tables.setdefault(table, {})[column] = arrays[key]
                else:
                    others[key] = arrays[key]
        return {name: LogLikelihoods.of_arrays(found) for name, found in tables.items()}, others

    def _fit(self, fit: Fit) -> None:
        folder = self.folder / "trainings" / fit.name
        settings: dict[str, Any] = {"negatives": fit.negatives, "train_dir": folder}
        if fit.negatives != "own":  # the positive head is known, and the rate with it
            note = self.folder / "trainings" / fit.plain.name / "learning_rate.json"
            rate = json.loads(note.read_text(encoding="utf-8"))["learning_rate"]
            settings |= {"mode": "base-likra", "recipe": LoraRecipe(learning_rate=rate)}
        items = self.questions[fit.questions].draw(fit.size, fit.seed)
        if fit.negatives == "unrelated":
            items = self._with_unrelated(items)
            settings["negatives"] = "own"
        if fit.control == "shuffled":
            items = shuffle_questions(items)
        prompt = _prompt(fit.control)
        classifier = self._classifier(prompt, adapter="lora", **settings).fit(items)
        heads = tuple(head for head in classifier.held_out_.heads if head not in FREE_HEADS)
        tables = self._tested(classifier, fit.questions, fit.control, heads)
        held_out = {"held_out": classifier.held_out_}
        self._write(fit, tables | held_out, y=classifier.held_out_y_)
        for head in heads:  # 25 MB each; the learning rate stays
            shutil.rmtree(folder / head, ignore_errors=True)

    def _classifier(self, prompt: Prompt, **settings: Any) -> LikraClassifier:
        return LikraClassifier(self.model, prompt=prompt, n_threads=1, cache=False, **settings)

    def _tested(
        self,
        classifier: LikraClassifier,
        questions: str,
        control: str,
        heads: tuple[str, ...] | None = None,
    ) -> Tables:
        test = self.questions[questions].test
        if control == "shuffled":
            test = shuffle_questions(test)
        tables = {"test": classifier.log_likelihoods(test, heads)}
        if control == "none":
            tables["elsewhere"] = classifier.log_likelihoods(self._elsewhere(test), heads)
        return tables

    def _elsewhere(self, test: Sequence[Item]) -> list[Item]:
        """Return test items with two choices: another question's right answer, unrelated text."""
        drawn = zip(
            test[:PROBED],
            draw_probes(test[:PROBED], right_answers(test)),
            draw_probes(test[:PROBED], self.unrelated),
            strict=True,
        )
        return [
            replace(item, choices=(other, unrelated), answer=None)
            for item, other, unrelated in drawn
            if other is not None and unrelated is not None
        ]

    def _with_unrelated(self, items: Sequence[Item]) -> list[Item]:
        """Return items whose only wrong choice is unrelated text."""
        rng = np.random.default_rng(0)
        return [
            replace(item, choices=(right, wrong), answer=0)
            for item, right, wrong in zip(
                items, right_answers(items), rng.choice(self.unrelated, len(items)), strict=True
            )
        ]

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.name}.npz"

    def _write(self, job: Job, tables: Tables, **arrays: Any) -> None:
        path = self._path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            f"{table}:{column}": values
            for table, found in tables.items()
            for column, values in found.to_arrays().items()
        }
        with atomic_bytes(path) as stream:
            np.savez(stream, **columns, **arrays)


def _prompt(control: str = "none") -> Prompt:
    prompt = as_prompt("question")
    return prompt.hide_question() if control == "hidden" else prompt
