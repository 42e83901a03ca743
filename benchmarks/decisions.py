"""Fitted weights against every fixed decision that needs no head, on few and many examples.

Each file of items is read once. Then, for each number of examples and each of many draws, weights
are fitted on the drawn items and tested on all others, as the fixed decisions are. Prints, for
each file, mean accuracies, and the difference to the better of base and base per character, which
no one knows beforehand, with its standard error: of testing on these items, each taken with the
mean over the draws that tested it. For example::

    python benchmarks/decisions.py siqa.jsonl arc_easy.jsonl --model my-model --examples 16 64 256
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from likra_lite import LanguageModel, read_items
from likra_lite.questions.inputs import answer_indices
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.lengths import NORMALIZATIONS
from likra_lite.scoring.modes import FREE_HEADS, supported_modes
from likra_lite.scoring.scorer import ChoiceScorer
from likra_lite.scoring.table import LogLikelihoods
from likra_lite.scoring.weighing import fit_decision

FIXED = [Decision(mode, 1.0, n) for mode in supported_modes(FREE_HEADS) for n in NORMALIZATIONS]


def read_table(
    path: str, scorer: ChoiceScorer, limit: int | None
) -> tuple[LogLikelihoods, NDArray[np.int64]]:
    """Return the log-likelihoods and right choices of a file's items, or of some at random."""
    items = read_items(path, require_answer=True)
    order = np.random.default_rng(0).permutation(len(items))[:limit]
    chosen = [items[index] for index in order]
    return scorer.table(chosen, FREE_HEADS), answer_indices(chosen)


def drawn_accuracies(
    table: LogLikelihoods, y: NDArray[np.int64], n_examples: int, draws: int
) -> NDArray[np.float64]:
    """Return whether fitted weights were right, of shape (draws, n_items); NaN where they saw."""
    right = np.full((draws, len(y)), np.nan)
    for seed in range(draws):
        drawn = np.random.default_rng([seed, n_examples]).permutation(len(y))[:n_examples]
        decision = fit_decision(table.take(drawn), y[drawn])
        right[seed] = decision.predict(table) == y
        right[seed, drawn] = np.nan
    return right


def report(
    name: str, table: LogLikelihoods, y: NDArray[np.int64], sizes: Sequence[int], draws: int
) -> None:
    """Print the table of one file."""
    fixed = {
        (each.mode, each.normalization): (each.predict(table) == y).astype(float) for each in FIXED
    }
    print(f"\n{name}: {len(y)} items; a guess gets {np.mean(1 / table.n_choices):.3f}")
    print("  " + ", ".join(f"{mode} {n} {hits.mean():.3f}" for (mode, n), hits in fixed.items()))
    plain = [fixed["base", "none"], fixed["base", "chars"]]
    better = max(plain, key=lambda hits: float(hits.mean()))
    best = max(fixed.values(), key=lambda hits: float(hits.mean()))
    print(f"  {'examples':>8}{'auto':>8}{'to the better base':>22}{'to the best of all':>22}")
    for size in sizes:
        if size > len(y) // 2:
            continue
        right = drawn_accuracies(table, y, size, draws)
        tested = ~np.isnan(right).all(axis=0)
        line = f"  {size:>8}{np.nanmean(right):>8.3f}"
        for reference in (better, best):
            gains = np.nanmean(right[:, tested] - reference[tested], axis=0)
            line += f"{gains.mean():>+13.3f} +- {gains.std() / np.sqrt(len(gains)):.3f}"
        print(line, flush=True)


def main() -> None:
    """Read the files and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", nargs="+")
    parser.add_argument("--model", required=True)
    parser.add_argument("--examples", nargs="+", type=int, default=[16, 32, 64, 256])
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--limit", type=int, help="Items of each file, drawn at random.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    scorer = ChoiceScorer.of(LanguageModel(arguments.model), None, cached=True)
    for path in arguments.items:
        table, y = read_table(path, scorer, arguments.limit)
        report(os.fspath(path), table, y, arguments.examples, arguments.draws)


if __name__ == "__main__":
    main()
