"""Two LoRA heads in ONNX Runtime: factors as inputs of one trunk, against a merged trunk for each.

    python benchmarks/lora.py --items 64

Random weights, questions of ARC-like lengths. A merged trunk has the speed of the base model but
weights of its own; factors as inputs need one set of weights, add a few small products, and share
the layers below the first adapted one. Scores are compared with each other. Needs the extra train.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from setup import CONTEXT, Setup, progress, with_setup
from shapes import made_once
from tables import markdown_table
from workers import alone, peak_memory
from workloads import zero_shot

from likra_lite.engine.folder import read_manifest

ROUNDS = 3


def export_adapted(checkpoint: str, top_layers: int | None, folder: Path) -> None:
    """Export with a graph for LoRA heads."""
    from likra_lite.export.traced.targets import find_targets
    from likra_lite.export.traced.trace import export_checkpoint

    export_checkpoint(
        checkpoint, folder, None, False, lambda model: find_targets(model, None, top_layers)
    )


def export_merged(checkpoint: str, folder: Path, scratch: Path) -> None:
    """Export the checkpoint with the random adapter in its weights."""
    from likra_lite.export import export_model
    from likra_lite.export.parity import merged, random_adapter
    from likra_lite.export.traced.loading import load_checkpoint
    from likra_lite.export.traced.targets import find_targets

    model, tokenizer = load_checkpoint(checkpoint)
    with merged(model, random_adapter(find_targets(model).modules)):
        model.save_pretrained(scratch)
    tokenizer.save_pretrained(scratch)
    export_model(scratch, folder)


def measure(kind: str, folders: list[str], count: int, threads: int) -> tuple[float, float, Any]:
    """Score in this process; return seconds, memory in MB and log-likelihoods (heads, answers)."""
    from likra_lite import LanguageModel
    from likra_lite.engine.trees import TokenTree
    from likra_lite.export.parity import random_adapter

    models = [LanguageModel(folder, threads) for folder in folders]
    items = zero_shot(count, models[0].manifest.vocab_size)
    trees = [TokenTree(context, choices) for context, choices in items]

    def score() -> Any:
        if kind == "merged":
            scored = [model.token_log_probs(model.features(trees), [None]) for model in models]
            return np.concatenate(scored)
        if kind == "base":
            return models[0].token_log_probs(models[0].features(trees), [None])
        shapes = models[0]._open().adapted.shapes
        return models[0].read_and_score(trees, [None, random_adapter(shapes)])[1]

    score()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        tokens = score()
        best = min(best, time.perf_counter() - start)
    lengths = np.concatenate([tree.lengths for tree in trees])
    sums = np.add.reduceat(tokens, np.cumsum(lengths) - lengths, axis=1)
    return best, peak_memory() / 2**20, sums


@click.command(context_settings=CONTEXT)
@with_setup
@click.option("--items", type=click.IntRange(min=1), default=64)
def main(
    setup: Setup,
    items: int,
) -> None:
    """Measure what a second LoRA head costs."""
    with setup.checkpoint() as checkpoint:
        root, source = checkpoint.converted, str(checkpoint.folder)
        progress("exporting")
        whole = made_once(root / "lora", lambda path: alone(export_adapted, source, None, path))
        layers = read_manifest(whole).n_layers
        merged = made_once(
            root / "merged",
            lambda path: alone(export_merged, source, path, root / "merged-weights"),
        )
        kinds = {
            "base model alone": ("base", [whole]),
            "base and a head, merged": ("merged", [whole, merged]),
            "base and a head, inputs": ("inputs", [whole]),
        }
        for top in sorted({max(1, layers // 2), max(1, layers // 4)}, reverse=True):
            path = made_once(
                root / f"lora-{top}", lambda path, top=top: alone(export_adapted, source, top, path)
            )
            kinds[f"base and a head, inputs, top {top} layers"] = ("inputs", [path])
        rows, result, scores = [], {}, {}
        for name, (kind, folders) in kinds.items():
            progress(name)
            seconds, memory, scores[name] = alone(
                measure, kind, [str(path) for path in folders], items, setup.threads
            )
            result[name] = {"items_per_s": items / seconds, "memory_mb": memory}
            first = result["base model alone"]["items_per_s"]
            cost = first / result[name]["items_per_s"]
            rows.append([name, f"{items / seconds:.1f}", f"{cost:.2f}", f"{memory:,.0f}"])
        difference = np.abs(
            scores["base and a head, merged"] - scores["base and a head, inputs"]
        ).max()
    text = markdown_table(["", "items/s", "passes", "peak MB"], rows)
    text += f"\nmerged and inputs differ by {difference:.1e} nats at most\n"
    setup.write("lora", {**result, "max_difference_nats": float(difference)}, text)


if __name__ == "__main__":
    main()
