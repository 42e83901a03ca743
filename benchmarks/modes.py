"""Accuracy of every mode, and of auto, over numbers of examples and draws.

For each number of examples and each draw, heads are fitted on a random part of the training
items, and every mode is evaluated on all test items; ``auto`` chooses without looking at
them. Prints one table: means over the draws, whether auto is within one standard error (of
an accuracy on the test items) of the best fixed mode, and in how many draws it is below base
by a paired test at 5 %. For example::

    python benchmarks/modes.py train.jsonl test.jsonl --model my-model --examples 16,64,256,all
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import click
import numpy as np
from setup import CONTEXT, with_questions

from likra_lite import Item, LikraClassifier
from likra_lite.heads.output import DEFAULT_PENALTY
from likra_lite.heads.settings import ADAPTERS
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.modes import MODES, supported_modes
from likra_lite.scoring.statistics import paired_difference


@click.command(context_settings=CONTEXT)
@with_questions("Model folder.")
@click.option("--examples", default="16,64,256,all")
@click.option("--draws", default=5)
@click.option("--adapter", type=click.Choice(list(ADAPTERS)), default="auto", help="Heads.")
@click.option("--penalty", default=DEFAULT_PENALTY)
@click.option("--json", "records", type=click.Path(path_type=Path), help="A line per draw.")
def main(
    train: list[Item],
    test: list[Item],
    model: str,
    examples: str,
    draws: int,
    adapter: str,
    penalty: float,
    records: Path | None,
) -> None:
    """Evaluate every mode after growing numbers of examples."""
    warnings.simplefilter("ignore")
    y = np.array([item.answer for item in test])
    print(
        f"{'examples':>8} {'draws':>5}", *(f"{m:>12}" for m in [*MODES, "auto"]), " best  auto is"
    )
    for given in examples.split(","):
        count = len(train) if given == "all" else int(given)
        n_draws = draws if count < len(train) else 1
        rows, below_base = [], 0
        for seed in range(n_draws):
            order = np.random.default_rng(seed).permutation(len(train))[:count]
            classifier = LikraClassifier(
                model, adapter=adapter, penalty=penalty, random_state=seed
            ).fit([train[i] for i in order])
            table = classifier.log_likelihoods(test)
            modes = supported_modes(table.heads)  # fewer without heads
            right = {mode: Decision(mode).predict(table) == y for mode in modes}
            right["auto"] = classifier.predict(table) == y
            rows.append({mode: float(hits.mean()) for mode, hits in right.items()})
            difference, error = paired_difference(right["auto"], right["base"])
            below_base += difference < -1.96 * error
            if records is not None:
                record = {"examples": count, "seed": seed, **rows[-1]}
                record["decision"] = classifier.decision_.to_json()
                with records.open("a", encoding="utf-8") as stream:
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
            f"{count:>8} {n_draws:>5}",
            *cells,
            f" {best} +- {error:.3f}  {verdict}, {below_base} draws below base",
            flush=True,
        )


if __name__ == "__main__":
    main()
