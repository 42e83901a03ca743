r"""The learning curve of Hamdan & Yuret (2025), from a checkpoint to a table, on a GPU.

    python examples/lora_curve.py train.jsonl test.jsonl --out curve \
        --model mistralai/Mistral-7B-v0.1

A positive and a negative LoRA head are trained once each, on right answers and on a wrong answer
of each question. Because the learning rate is constant, the heads as they were after 64, 128,
256, ... examples are what training on so many would have given, so the whole curve costs two
runs. Test items are scored under each with PyTorch, where the heads are; nothing is exported.

The paper's training items are ARC-Challenge train and dev with all of ARC-Easy, its test items
those of ARC-Challenge, and its measure is the accuracy per character (acc_norm). An interrupted
run goes on where it was. Small models run on a CPU too. Needs: pip install -e ".[train]".
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file

from likra_lite import Item, LogLikelihoods, read_items
from likra_lite.heads.lora_examples import Example
from likra_lite.heads.lora_loop import CHECKPOINTS
from likra_lite.heads.negatives import draw_negatives
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.lora_training.decoder import LoraDecoder, choose_dtype
from likra_lite.lora_training.loop import train_adapter
from likra_lite.progress import progress_bar
from likra_lite.prompts import Prompt, as_prompt
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import choice_table
from likra_lite.scoring.statistics import accuracy

FIRST = 64  # examples


def answers(
    items: Sequence[Item], prompt: Prompt, seed: int
) -> dict[str, list[tuple[str, list[str]]]]:
    """Return the texts that each head learns."""
    y = np.array([item.answer for item in items])
    drawn = draw_negatives(items, y, "own", seed=seed)
    return {
        "positive": [
            (prompt.context(item), prompt.continuations([item.choices[right]]))
            for item, right in zip(items, y.tolist(), strict=True)
        ],
        "negative": [
            (prompt.context(items[i]), prompt.continuations([items[i].choices[c]]))
            for i, c in zip(drawn.item.tolist(), drawn.choice.tolist(), strict=True)
        ],
    }


def scores_of_head(
    decoder: LoraDecoder, head: str, folder: Path, test: Sequence[Item], prompt: Prompt
) -> dict[int, np.ndarray]:
    """Return the log-likelihood of every test choice by the number of examples."""
    from safetensors.torch import load_file as load_tensors

    pairs = [(prompt.context(item), prompt.continuations(item.choices)) for item in test]
    trees, _ = decoder.encoder.trees(pairs)
    found = {}
    checkpoints = sorted((folder / head / CHECKPOINTS).iterdir())
    chosen = [path for path in checkpoints if int(path.name) >= FIRST] or checkpoints[-1:]
    decoder.activate(head)
    with progress_bar(len(chosen) * len(trees), f"scoring {head}", True) as bar:
        for path in chosen:
            kept = path / "scores.safetensors"
            if kept.is_file():
                found[int(path.name)] = load_file(kept)["scores"]
                bar.update(len(trees))
                continue
            decoder.set_tensors(head, load_tensors(path / "adapter_model.safetensors"))
            found[int(path.name)] = decoder.log_likelihoods(trees, bar.update)
            save_file({"scores": found[int(path.name)]}, kept)
    return found


@click.command()
@click.argument("train")
@click.argument("test")
@click.option("--model", required=True, help="Checkpoint: a hub id or a local folder.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--alpha", default=0.9, show_default=True, help="Weight of the negative head.")
@click.option("--learning-rate", default=1e-4, show_default=True, help="1e-3 for 3B models.")
@click.option("--batch-size", default=8, show_default=True)
@click.option("--limit", type=int, help="Use so many training items.  [default: all]")
@click.option("--gradient-checkpointing", is_flag=True)
@click.option("--seed", default=0, show_default=True)
def main(
    train: str,
    test: str,
    model: str,
    out: Path,
    alpha: float,
    learning_rate: float,
    batch_size: int,
    limit: int | None,
    gradient_checkpointing: bool,
    seed: int,
) -> None:
    """Train both heads on TRAIN, score TEST along the way, print the curve."""
    items = read_items(train, require_answer=True)
    order = np.random.default_rng(seed).permutation(len(items))[:limit]
    items = [items[index] for index in order.tolist()]
    held_out = read_items(test, require_answer=True)
    y = np.array([item.answer for item in held_out])
    recipe = LoraRecipe(
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_checkpointing=gradient_checkpointing,
        seed=seed,
    )
    where = PartialState()
    decoder = LoraDecoder(model, None, recipe, choose_dtype(recipe.precision, where.device))
    decoder.to(where.device)
    prompt = as_prompt("question")
    trees, _ = decoder.encoder.trees(
        [(prompt.context(item), prompt.continuations(item.choices)) for item in held_out]
    )
    lengths = np.concatenate([tree.lengths for tree in trees])
    base = decoder.base_log_likelihoods(trees)
    by_head = {}
    for head, pairs in answers(items, prompt, seed).items():
        examples = [Example(tree) for tree in decoder.encoder.trees(pairs)[0]]
        with progress_bar(len(examples), f"training {head}", where.is_main_process) as bar:
            train_adapter(decoder, head, examples, out / head, model, advance=bar.update)
        if where.is_main_process:
            by_head[head] = scores_of_head(decoder, head, out, held_out, prompt)
    if not where.is_main_process:
        return
    rows = []
    for size in sorted(by_head["positive"]):
        heads = {head: scores[size] for head, scores in by_head.items()}
        table: LogLikelihoods = choice_table(held_out, lengths, {"base": base, **heads})
        for mode in ("base", "sft", "likra", "base-likra"):
            for normalization in ("none", "chars"):
                decision = Decision(mode, alpha, normalization)
                share, error = accuracy(decision.predict(table) == y)
                rows.append([size, mode, normalization, f"{share:.4f}", f"{error:.4f}"])
    with (out / "curve.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows(
            [["n_items", "mode", "normalization", "accuracy", "standard_error"], *rows]
        )
    click.echo(f"{len(held_out)} test items, alpha {alpha:g}, accuracy per character (raw)")
    modes = ("base", "sft", "likra", "base-likra")
    click.echo(f"{'examples':>8}" + "".join(f"{mode:>16}" for mode in modes))
    for size in sorted(by_head["positive"]):
        found = {(mode, norm): share for n, mode, norm, share, _ in rows if n == size}
        cells = [f"{found[mode, 'chars'][1:5]} ({found[mode, 'none'][1:5]})" for mode in modes]
        click.echo(f"{size:>8}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
