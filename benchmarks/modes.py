"""Accuracy of every mode, and of auto, over numbers of examples and draws.

For each number of examples and each draw, heads are fitted on a random part of the training
items, and every mode is evaluated on all test items; ``auto`` chooses without looking at
them. Prints one table: means over the draws, whether auto is within one standard error (of
an accuracy on the test items) of the best fixed mode, and in how many draws it is below base
by a paired test at 5 %. For example::

    python benchmarks/modes.py train.jsonl test.jsonl --model my-model --examples 16 64 256 all
"""

from __future__ import annotations

import argparse
import json
import warnings

import numpy as np

from likra_lite import LikraClassifier, read_items
from likra_lite.heads.output import DEFAULT_PENALTY
from likra_lite.heads.settings import ADAPTERS
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.modes import MODES, supported_modes
from likra_lite.scoring.statistics import paired_difference


def main() -> None:
    """Run the experiment and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--model", required=True)
    parser.add_argument("--examples", nargs="+", default=["16", "64", "256", "all"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--adapter", choices=ADAPTERS, default="auto", help="Kind of heads.")
    parser.add_argument("--penalty", type=float, default=DEFAULT_PENALTY)
    parser.add_argument("--json", help="File for one line per draw.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    train = read_items(arguments.train, require_answer=True)
    test = read_items(arguments.test, require_answer=True)
    y = np.array([item.answer for item in test])
    print(
        f"{'examples':>8} {'draws':>5}", *(f"{m:>12}" for m in [*MODES, "auto"]), " best  auto is"
    )
    for given in arguments.examples:
        count = len(train) if given == "all" else int(given)
        draws = arguments.draws if count < len(train) else 1
        rows, below_base = [], 0
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(len(train))[:count]
            classifier = LikraClassifier(
                arguments.model,
                adapter=arguments.adapter,
                penalty=arguments.penalty,
                random_state=seed,
            ).fit([train[i] for i in order])
            table = classifier.log_likelihoods(test)
            modes = supported_modes(table.heads)  # fewer without heads
            right = {mode: Decision(mode).predict(table) == y for mode in modes}
            right["auto"] = classifier.predict(table) == y
            rows.append({mode: float(hits.mean()) for mode, hits in right.items()})
            difference, error = paired_difference(right["auto"], right["base"])
            below_base += difference < -1.96 * error
            if arguments.json:
                record = {"train": arguments.train, "examples": count, "seed": seed, **rows[-1]}
                record["decision"] = classifier.decision_.to_json()
                with open(arguments.json, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(record) + "\n")
        means = {
            mode: float(np.mean([row.get(mode, np.nan) for row in rows]))
            for mode in [*MODES, "auto"]
        }
        best = max(supported_modes(table.heads), key=lambda mode: means[mode])
        error = float(np.sqrt(means[best] * (1 - means[best]) / len(y)))
        verdict = "within" if means["auto"] >= means[best] - error else "below"
        cells = [f"{means[mode]:>12.3f}" for mode in means]
        print(
            f"{count:>8} {draws:>5}",
            *cells,
            f" {best} +- {error:.3f}  {verdict}, {below_base} draws below base",
            flush=True,
        )


if __name__ == "__main__":
    main()
