"""Scoring speed against PyTorch, same weights, same items, same scores, in one run.

A random Llama of SmolLM2-135M's shape scores four-choice items of ARC-like lengths: with
likra-lite's token trees, and with PyTorch one row per choice with full logits, as
lm-evaluation-harness does (rows sorted by length and padded, the fastest of several batch
sizes). Run it with ``python benchmarks/scoring.py`` after ``pip install ".[export]"``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from likra_lite import LanguageModel
from likra_lite.export import export_model
from likra_lite.packing import TokenTree

SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}

Item = tuple[list[int], list[list[int]]]


def save_checkpoint(folder: Path) -> None:
    """Save a random Llama with a tokenizer of single bytes, which the benchmark never reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)).save_pretrained(folder)
    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="!").save_pretrained(folder)


def draw_items(count: int) -> list[Item]:
    """Draw items with lengths like those of ARC: about 34 tokens and four times 7."""
    rng = np.random.default_rng(0)

    def tokens(length: int) -> list[int]:
        return rng.integers(0, SHAPE["vocab_size"], length).tolist()

    return [
        (
            tokens(int(rng.gamma(4.0, 8.5)) + 4),
            [tokens(1 + int(rng.gamma(1.6, 3.6))) for _ in range(4)],
        )
        for _ in range(count)
    ]


def score_with_trees(model: LanguageModel, items: list[Item]) -> np.ndarray:
    """Score with likra-lite."""
    trees = [TokenTree(context, choices) for context, choices in items]
    base = np.zeros((1, model.hidden_size, model.hidden_size), np.float32)
    return model.log_likelihoods(model.features(trees), base)[0]


def score_with_rows(model: torch.nn.Module, items: list[Item], batch_size: int) -> np.ndarray:
    """Score with PyTorch, one row per choice."""
    pairs = [(context, choice) for context, choices in items for choice in choices]
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]) - len(pairs[i][1]))
    scores = np.empty(len(pairs))
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            rows = [torch.tensor((pairs[i][0] + pairs[i][1])[:-1]) for i in chosen]
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            log_probs = model(padded, use_cache=False).logits.log_softmax(-1)
            for row, i in enumerate(chosen):
                context, choice = pairs[i]
                span = log_probs[row, len(context) - 1 : len(context) + len(choice) - 1]
                scores[i] = float(span.gather(1, torch.tensor(choice)[:, None]).sum())
    return scores


def main() -> None:
    """Run the comparison and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    items = draw_items(arguments.items)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / "checkpoint"
        save_checkpoint(checkpoint)
        begin = time.perf_counter()
        export_model(checkpoint, Path(scratch) / "model")
        export_seconds = time.perf_counter() - begin
        model = LanguageModel(Path(scratch) / "model")
        reference = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
        score_with_trees(model, items[:4])
        score_with_rows(reference, items[:4], 4)
        ours, theirs = [], {size: [] for size in (1, 4, 16)}
        for _ in range(arguments.repeats):  # interleaved, so that both see the same noise
            begin = time.perf_counter()
            scores = score_with_trees(model, items)
            ours.append(time.perf_counter() - begin)
            for size, times in theirs.items():
                begin = time.perf_counter()
                expected = score_with_rows(reference, items, size)
                times.append(time.perf_counter() - begin)
    best = min(min(times) for times in theirs.values())
    result = {
        "items": len(items),
        "export_seconds": round(export_seconds, 1),
        "likra_lite_items_per_second": round(len(items) / min(ours), 2),
        "pytorch_items_per_second": {
            f"batch {size}": round(len(items) / min(times), 2) for size, times in theirs.items()
        },
        "ratio": round(best / min(ours), 2),
        "largest_score_difference_nats": float(np.abs(scores - expected).max()),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
