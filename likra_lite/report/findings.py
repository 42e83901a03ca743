"""Sentences on the paper's three claims, whether or not the numbers support them."""

from __future__ import annotations

import numpy as np

from ..experiments import summarize_rows
from ..experiments.tidy import NEAR_MISS
from ..questions.roles import RIGHT
from ..scoring.decision import Decision
from ..scoring.statistics import paired_difference
from .measured import BoolArray, Measured

__all__ = ["ORDER", "findings", "mean_log_likelihood"]

ORDER = ("sft", "pos-base", "base-likra", "likra")  # of the fitted modes
LEARNED = {"base-likra": "wrong", "likra": "right and as many wrong"}


def findings(measured: Measured) -> list[str]:
    """Return a sentence or two on each claim, and one on the answer-only control."""
    correct = measured.correct_at(measured.kinds_size)
    return [
        *_first_claim(measured, correct),
        _control(measured, correct),
        _second_claim(measured),
        _third_claim(measured),
    ]


def _first_claim(measured: Measured, correct: dict[str, BoolArray]) -> list[str]:
    size, best = measured.kinds_size, measured.best_free
    lines = []
    for mode, what in LEARNED.items():
        against = []
        for reference in dict.fromkeys(["base", best, "sft"]):
            difference, error = paired_difference(correct[mode], correct[reference])
            named = f"sft with {size} right" if reference == "sft" else reference
            note = ", the best without examples" if reference == best else ""
            points = f"{100 * difference:+z.1f} +- {100 * error:.1f} points"
            against.append(f"{points} against {named}{note}")
        lines.append(f"{mode} with {size} {what}: {'; '.join(against)}.")
    return lines


def _control(measured: Measured, correct: dict[str, BoolArray]) -> str:
    rows = summarize_rows(measured.standard_rows("hidden"))
    hidden = {r["mode"]: r["accuracy"] for r in rows if r["n_items"] == measured.kinds_size}
    base = measured.free_row(Decision("base"), "hidden")["accuracy"]
    shares = ", ".join(f"{mode} {hidden[mode]:.3f}" for mode in ORDER)
    text = f"With the question hidden: base {base:.3f}, {shares}; a guess {measured.chance:.3f}."
    gain, error = paired_difference(correct["base-likra"], correct["base"])
    if gain <= 2 * error:
        return text
    style = hidden["base-likra"] - base
    share = min(1.0, max(0.0, 1.0 - style / gain))
    return f"{text} About {share:.0%} of base-likra's gain needs the question."


def _second_claim(measured: Measured) -> str:
    rows = summarize_rows(row for row in measured.kinds_rows if row["mode"] == "base-likra")
    ranked = sorted(rows, key=lambda row: -row["accuracy"])
    listed = ", ".join(f"{row['negatives']} {row['accuracy']:.3f}" for row in ranked)
    error = max(row["standard_error"] for row in rows)
    how = ", each with its own alpha" if measured.kinds_alpha == "auto" else ""
    return (
        f"base-likra by kind of wrong answers{how}: {listed} (standard errors up to {error:.3f})."
    )


def _third_claim(measured: Measured) -> str:
    size = max(fit.n_items for fit in measured.standard)
    groups = [NEAR_MISS] if measured.roles is None else set(measured.roles.tolist()) - {RIGHT}

    def moves(head: str) -> tuple[float, float]:
        right = _change(measured, head, RIGHT, size)
        return right, float(np.mean([_change(measured, head, group, size) for group in groups]))

    (plus, plus_wrong), (minus, minus_wrong) = moves("positive"), moves("negative")
    return (
        f"In nats against the base model, with {size} in training the positive head moves right "
        f"answers by {plus:+z.2f} and wrong ones by {plus_wrong:+z.2f}; the negative head by "
        f"{minus:+z.2f} and {minus_wrong:+z.2f}."
    )


def _change(measured: Measured, head: str, group: str, n_items: int) -> float:
    end = mean_log_likelihood(measured, head, group, n_items)
    return end - mean_log_likelihood(measured, "base", group, 0)


def mean_log_likelihood(measured: Measured, head: str, group: str, n_items: int) -> float:
    """Return the mean over seeds of a group of test answers under a head, in nats."""
    wanted = (head, group, n_items)
    found = [
        row["log_likelihood"]
        for row in measured.trajectory_rows
        if (row["head"], row["group"], row["n_items"]) == wanted
    ]
    return float(np.mean(found))
