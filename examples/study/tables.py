"""What the fits of the study say, as rows: accuracies, comparisons, likelihoods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from jobs import Drawn, Fit, Free, Job, Shown
from numpy.typing import NDArray
from study import Study

from likra_lite import LogLikelihoods
from likra_lite.experiments.tidy import is_right
from likra_lite.heads.fit_best import FEWEST
from likra_lite.heads.fit_few import LEAST, SHOWN
from likra_lite.heads.trials import NO_HEADS, kept_trial, try_heads
from likra_lite.scoring.comparisons import Comparison, compare_modes
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.fitted import FittedDecision
from likra_lite.scoring.modes import FREE_HEADS, HEADS
from likra_lite.scoring.selection import DecisionRule
from likra_lite.scoring.statistics import accuracy, holm
from likra_lite.scoring.weighing import fit_decision

__all__ = ["accuracies", "answers", "comparisons", "likelihoods", "needed"]

Row = dict[str, Any]
Correct = dict[str, NDArray[np.bool_]]  # by decision: whether each test item was answered right

ALPHA = 0.9  # of the paper
PER_CHAR = " per character"
# Heads that are weighed, beside the model as it is: without the one or the other it tells what
# right answers or wrong answers alone are worth. `auto` is the default: with both, or with none.
BOTH, WITHOUT_HEADS = "auto, both heads", "auto, no heads"
WEIGHED = {
    BOTH: ("positive", "negative"),
    "auto, right answers": ("positive",),
    "auto, wrong answers": ("negative",),
}
FREE_MODES = ("base", "pmi")
FIXED = (("sft", "base"), ("likra", "base"), ("likra", "sft"), ("base-likra", "base"))
PAIRS = (  # of a decision and what it is compared with
    *FIXED,
    *((mode + PER_CHAR, reference + PER_CHAR) for mode, reference in FIXED),
    *(("auto", reference) for reference in ("base", WITHOUT_HEADS, "likra")),
    (BOTH, "auto, right answers"),
    ("auto, wrong answers", WITHOUT_HEADS),
)


def accuracies(study: Study, answered: Mapping[Fit, Correct], shown: Iterable[Shown]) -> list[Row]:
    """Return a row for every fit and decision; of size 0 for those that need no questions.

    Questions that were shown with their answers, before the one asked, are few-shot examples.
    """
    rows = {}
    for fit, by_decision in answered.items():
        for decision, correct in by_decision.items():
            free = decision.removesuffix(PER_CHAR) in FREE_MODES
            row = _setting(fit, free) | _accuracy(decision, correct)
            rows[tuple(row.values())] = row
    for job in shown:
        setting = _setting(Fit(job.questions, job.size, job.seed)) | {"negatives": ""}
        table = study.read(job)[0]["test"]
        for name, decision in _fixed(FREE_MODES).items():
            correct = decision.predict(table) == study.questions[job.questions].y
            row = setting | _accuracy(f"few-shot {name}", correct)
            rows[tuple(row.values())] = row
    return list(rows.values())


def comparisons(answered: Mapping[Fit, Correct]) -> list[Row]:
    """Return paired comparisons on the same test items, all draws of a setting together.

    Decisions are compared within a setting; ``likra`` with other wrong answers is compared with
    ``likra`` with wrong choices of the same question. Holm's correction is over all of them.
    """
    rows, found = [], []
    for setting, fits in _settings(answered):
        together = {
            name: np.array([answered[fit][name] for fit in fits]) for name in answered[fits[0]]
        }
        pairs = [
            (name, other)
            for name, other in PAIRS
            if {name, other} <= {*together} and (together[name] != together[other]).any()
        ]
        if setting.negatives != "own":
            for name in ("likra", "likra" + PER_CHAR):
                together[f"{name}, own"] = np.array([answered[fit.plain][name] for fit in fits])
            pairs = [(name, f"{name}, own") for name in ("likra", "likra" + PER_CHAR)]
        for name, other in pairs:
            (comparison,) = compare_modes(together, [other], modes=[name])
            rows.append({k: v for k, v in _setting(setting).items() if k != "seed"})
            found.append(comparison)
    adjusted = holm([each.p_value for each in found])
    return [
        row | _numbers(comparison, p)
        for row, comparison, p in zip(rows, found, adjusted.tolist(), strict=True)
    ]


def likelihoods(study: Study, fits: Iterable[Fit]) -> list[Row]:
    """Return mean log-likelihoods by kind of answer, in nats per answer, under every head.

    The means are over the test items for which an answer from elsewhere was scored.
    """
    rows = {}
    for fit in fits:
        if fit.control != "none":
            continue
        n_items = len(study.read(Free(fit.questions))[0]["elsewhere"])
        table, elsewhere = (_table(study, fit, which) for which in ("test", "elsewhere"))
        table = table.take(np.arange(n_items))
        right = is_right(table, study.questions[fit.questions].y[:n_items])
        for head, values in table.heads.items():
            if head != "neutral":
                other, unrelated = elsewhere.heads[head].reshape(-1, 2).T
                groups = {
                    "right": values[right],
                    "near-miss": values[~right],
                    "other question": other,
                    "unrelated": unrelated,
                }
                for name, found in groups.items():
                    row = {
                        **_setting(fit, head == "base"),
                        "head": head,
                        "answers": name,
                        "log_likelihood": round(float(found.mean()), 3),
                        "n_answers": len(found),
                    }
                    rows[tuple(row.values())] = row
    return list(rows.values())


def _settings(fits: Iterable[Fit]) -> Iterator[tuple[Fit, list[Fit]]]:
    """Yield the fits of each setting, in the order of their draws."""
    first = [(replace(fit, seed=0), fit) for fit in sorted(fits)]
    for setting, group in groupby(sorted(first), key=lambda pair: pair[0]):
        yield setting, [fit for _, fit in group]


def _setting(fit: Fit, free: bool = False) -> Row:
    """Return the columns that say what was fitted; nothing was for what is free."""
    return {
        "questions": fit.questions,
        "control": fit.control,
        "negatives": "" if free else fit.negatives,
        "size": 0 if free else fit.size,
        "seed": "" if free else fit.seed,
    }


def _numbers(comparison: Comparison, p_adjusted: float) -> Row:
    return {
        "decision": comparison.mode,
        "reference": comparison.reference,
        "draws": comparison.n_seeds,
        "difference": round(comparison.difference, 4),
        "standard_error": round(comparison.standard_error, 4),
        "low": round(comparison.low, 4),
        "high": round(comparison.high, 4),
        "p_value": float(f"{comparison.p_value:.2g}"),
        "p_adjusted": float(f"{p_adjusted:.2g}"),
    }


def _table(study: Study, fit: Fit, which: str) -> LogLikelihoods:
    """Return log-likelihoods under the model as it is and under the heads of a fit."""
    free = study.read(Free(fit.questions, fit.control))[0][which]
    heads = dict(free.heads)
    for job in (fit.plain, fit):
        heads |= study.read(job)[0][which].heads
    return replace(free, heads=heads)


def _accuracy(decision: str, correct: NDArray[np.bool_]) -> Row:
    share, error = accuracy(correct)
    return {
        "decision": decision,
        "accuracy": round(share, 4),
        "standard_error": round(error, 4),
        "n_test": len(correct),
    }


def _fixed(modes: Sequence[str]) -> dict[str, Decision]:
    """Return the decisions of some modes, raw and per character."""
    return {
        mode + suffix: Decision(mode, ALPHA, normalization)
        for mode in modes
        for suffix, normalization in (("", "none"), (PER_CHAR, "chars"))
    }


def answers(study: Study, fit: Fit) -> Correct:
    """Return which test items are answered right, by decision."""
    table, y = _table(study, fit, "test"), study.questions[fit.questions].y
    modes = [*FREE_MODES, "sft", "likra", "base-likra"]
    if fit.control == "hidden":
        modes.remove("pmi")  # there is nothing left to hide
    found = {name: decision.predict(table) == y for name, decision in _fixed(modes).items()}
    if fit.negatives == "own":
        tables, others = study.read(fit)
        for name, heads in WEIGHED.items():
            decision = fit_decision(tables["held_out"], others["y"], (*FREE_HEADS, *heads))
            found[name] = decision.predict(table) == y
        if fit.control == "none":
            found[WITHOUT_HEADS] = _without_heads(study, fit).predict(table) == y
            if fit.size >= FEWEST:
                kept = _keeps_heads(tables["held_out"], others["y"])
                found["auto"] = found[BOTH if kept else WITHOUT_HEADS]
            else:
                behind = _behind_examples(study, fit)
                found["auto"] = found[WITHOUT_HEADS] if behind is None else behind == y
    return found


def needed(fit: Fit) -> list[Job]:
    """Return the jobs whose results the answers of a fit are told from."""
    jobs: list[Job] = [fit.plain, Free(fit.questions, fit.control), Drawn(fit.questions, fit.seed)]
    if fit.size < FEWEST:
        jobs += [Drawn(fit.questions, fit.seed, True), Shown(fit.questions, SHOWN, fit.seed)]
    return jobs


def _without_heads(study: Study, fit: Fit) -> FittedDecision:
    """Return the weights that the questions of a fit give without heads."""
    return fit_decision(*_drawn(study, Drawn(fit.questions, fit.seed), 0, fit.size))


def _drawn(study: Study, job: Job, first: int, stop: int) -> tuple[LogLikelihoods, NDArray[Any]]:
    """Return some of the questions of a draw under the model as it is, and their answers."""
    tables, others = study.read(job)
    some = np.arange(first, min(stop, len(others["y"])))
    return tables["drawn"].take(some), others["y"][some]


def _keeps_heads(held_out: LogLikelihoods, y: NDArray[np.int64]) -> bool:
    """Return whether ``adapter="auto"`` keeps the heads: by held-out log-loss."""
    none, without = try_heads(NO_HEADS, DecisionRule(heads=FREE_HEADS), held_out, y)
    both, _ = try_heads("lora", DecisionRule(heads=HEADS), held_out, y, without)
    return kept_trial([none, both]) is both


def _behind_examples(study: Study, fit: Fit) -> NDArray[np.int64] | None:
    """Return what is predicted behind examples; None if ``adapter="auto"`` shows none of so few."""
    if fit.size < LEAST:
        return None
    rule = DecisionRule(heads=FREE_HEADS)
    plain = _drawn(study, Drawn(fit.questions, fit.seed), SHOWN, fit.size)
    shown = _drawn(study, Drawn(fit.questions, fit.seed, True), 0, fit.size - SHOWN)
    trials = [try_heads(NO_HEADS, rule, *found)[0] for found in (plain, shown)]
    if kept_trial(trials) is trials[0]:
        return None
    test = study.read(Shown(fit.questions, SHOWN, fit.seed))[0]["test"]
    return fit_decision(*shown).predict(test)
