"""LoRA training throughput, against TRL's SFTTrainer and the device's own matrix products.

    python benchmarks/training.py --shape smollm2-135m
    python benchmarks/training.py --shape llama-1b --examples 2048

Random weights, questions of ARC-like lengths, one answer each. Printed are tokens read per
second and answer tokens learnt per second of likra-lite's loop, with a graph of gradients on the
CPU, in float32 and in int8, and with PyTorch, and of TRL's SFTTrainer, with the same LoRA on the
same tokens; the share of a large matrix product's speed on the same device; the memory; and, on a
GPU, how far its scores and losses are from the CPU's. Each engine runs in a process of its own;
--engine chooses some. Needs the extras train and baselines. Without a GPU PyTorch runs on the CPU
in float32: take few examples.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from setup import CONTEXT, Setup, progress, with_setup
from shapes import Checkpoint, made_once
from tables import markdown_table
from workers import alone, peak_memory
from workloads import zero_shot

WARM_UP = 2  # steps that are not timed

Pair = tuple[list[int], list[int]]


def pairs_of(vocabulary: int, examples: int) -> list[Pair]:
    """Return contexts, each with its first choice."""
    return [(context, choices[0]) for context, choices in zero_shot(examples, vocabulary)]


class Clock:
    """Seconds from the end of the warm-up to the last step."""

    def __init__(self) -> None:
        self.steps = 0
        self.start = self.end = 0.0

    def step(self, *_: Any, **__: Any) -> None:
        """Note that a step has ended."""
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.synchronize()
        self.steps += 1
        self.end = time.perf_counter()
        if self.steps == WARM_UP:
            self.start = self.end

    @property
    def seconds(self) -> float:
        """Timed until now."""
        return self.end - self.start


def train_graph(
    folder: str, pairs: Sequence[Pair], recipe: Any, clock: Clock, threads: int
) -> None:
    """Train with likra-lite's graph of gradients, without PyTorch."""
    from likra_lite import LanguageModel
    from likra_lite.engine.trees import TokenTree
    from likra_lite.heads.fit_graph import GraphTrainer
    from likra_lite.heads.lora_examples import Example

    model = LanguageModel(folder, threads)
    examples = [Example(TokenTree(context, [answer])) for context, answer in pairs]
    with tempfile.TemporaryDirectory() as scratch:
        GraphTrainer(model, recipe).train(examples, Path(scratch), advance=clock.step)


def train_likra(
    folder: str, pairs: Sequence[Pair], recipe: Any, clock: Clock, threads: int
) -> None:
    """Train with likra-lite's loop in PyTorch."""
    import torch
    from accelerate import PartialState

    from likra_lite.engine.trees import TokenTree
    from likra_lite.heads.lora_examples import Example
    from likra_lite.lora_training.decoder import LoraDecoder, choose_dtype
    from likra_lite.lora_training.loop import train_adapter

    torch.set_num_threads(threads)
    device = PartialState().device
    decoder = LoraDecoder(folder, None, recipe, choose_dtype(recipe.precision, device)).to(device)
    examples = [Example(TokenTree(context, [answer])) for context, answer in pairs]
    with tempfile.TemporaryDirectory() as scratch:
        train_adapter(decoder, "head", examples, Path(scratch), folder, advance=clock.step)


def train_trl(folder: str, pairs: Sequence[Pair], recipe: Any, clock: Clock, threads: int) -> None:
    """Train with TRL's SFTTrainer, loss on the answers only."""
    import torch
    from accelerate import PartialState
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from likra_lite.export.traced.targets import find_targets
    from likra_lite.lora_training.decoder import choose_dtype, lora_config

    disable_progress_bars()
    torch.set_num_threads(threads)
    device = PartialState().device
    dtype = choose_dtype(recipe.precision, device)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    rows = [
        {
            "input_ids": [*context, *answer],
            "completion_mask": [*[0] * len(context), *[1] * len(answer)],
        }
        for context, answer in pairs
    ]

    class Callback(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model,
            args=SFTConfig(
                output_dir=scratch,
                per_device_train_batch_size=recipe.batch_size,
                learning_rate=recipe.learning_rate,
                num_train_epochs=1,
                completion_only_loss=True,
                bf16=dtype == torch.bfloat16,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=device.type == "cpu",
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=lora_config(recipe, list(find_targets(model).modules), model),
            callbacks=[Callback()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def export(checkpoint: str, folder: Path) -> None:
    """Write the model folder that has the graph."""
    from likra_lite.export import export_model

    export_model(checkpoint, folder)


def quantize(exact: str, folder: Path) -> None:
    """Write that model folder in int8."""
    from likra_lite.export import quantize_model

    quantize_model(exact, folder)


def folder_for(engine: str, checkpoint: Checkpoint) -> Path:
    """Return what an engine reads: the checkpoint, or a model folder made of it."""
    if engine not in (GRAPH, ROUNDED):
        return checkpoint.folder
    graphs = made_once(
        checkpoint.converted / "graphs", lambda path: alone(export, str(checkpoint.folder), path)
    )
    if engine == GRAPH:
        return graphs
    return made_once(
        checkpoint.converted / "graphs-int8", lambda path: alone(quantize, str(graphs), path)
    )


GRAPH, ROUNDED = "likra-lite, ONNX Runtime", "likra-lite, ONNX Runtime, int8"
ENGINES: dict[str, Callable[..., None]] = {
    GRAPH: train_graph,
    ROUNDED: train_graph,
    "likra-lite, PyTorch": train_likra,
    "trl": train_trl,
}


def measure(engine: str, folder: str, pairs: Sequence[Pair], batch: int, threads: int) -> Any:
    """Train in this process; return seconds, examples timed and memory in MB."""
    from likra_lite.heads.recipe import LoraRecipe

    warnings.simplefilter("ignore")
    recipe = LoraRecipe(batch_size=batch, learning_rate=1e-4)
    clock = Clock()
    ENGINES[engine](folder, pairs, recipe, clock, threads)
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = peak_memory() / 2**20
    return clock.seconds, (clock.steps - WARM_UP) / clock.steps, memory


def product_speed(threads: int) -> float:
    """Return the speed of a large matrix product in TFLOP/s, in the number format of training."""
    import torch

    torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    size = 8192 if gpu else 2048
    dtype = torch.bfloat16 if gpu else torch.float32
    a, b = torch.randn(2, size, size, device="cuda" if gpu else "cpu", dtype=dtype)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        if gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e12


def agreement(folder: str, pairs: Sequence[Pair]) -> dict[str, dict[str, float]] | None:
    """Return by number format how far a GPU is from the CPU in float32, or None without a GPU.

    The largest differences of four steps' losses, in nats per token, and of 16 answers'
    log-likelihoods under the head after them, in nats.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    exact = trained_and_scored(folder, pairs, "cpu", torch.float32)
    result = {}
    for dtype in (torch.float32, torch.bfloat16):
        found = trained_and_scored(folder, pairs, "cuda", dtype)
        result[str(dtype).removeprefix("torch.")] = {
            name: float(np.abs(found[name] - values).max()) for name, values in exact.items()
        }
    return result


def trained_and_scored(
    folder: str, pairs: Sequence[Pair], device: str, dtype: Any
) -> dict[str, np.ndarray]:
    """Return the losses of four steps, and log-likelihoods under the head after them."""
    import torch

    from likra_lite.engine.trees import TokenTree
    from likra_lite.heads.lora_examples import Example
    from likra_lite.heads.recipe import LoraRecipe
    from likra_lite.lora_training.decoder import LoraDecoder
    from likra_lite.lora_training.loop import TorchLearner

    trees = [TokenTree(context, [answer]) for context, answer in pairs[:16]]
    decoder = LoraDecoder(folder, None, LoraRecipe(), dtype).to(torch.device(device))
    decoder.activate("head")
    learner = TorchLearner(decoder, "head")
    examples = [Example(tree) for tree in trees]
    losses = [learner.step(examples[4 * i : 4 * i + 4], 1e-3, i) for i in range(4)]
    return {"loss": np.array(losses), "log-likelihood": decoder.log_likelihoods(trees)}


@click.command(context_settings=CONTEXT)
@with_setup
@click.option("--examples", type=click.IntRange(min=64), default=256)
@click.option("--batch-size", type=click.IntRange(min=1), default=32)
@click.option("--engine", "engines", type=click.Choice(list(ENGINES)), multiple=True)
def main(
    setup: Setup,
    examples: int,
    batch_size: int,
    engines: tuple[str, ...],
) -> None:
    """Measure LoRA training."""
    with setup.checkpoint() as checkpoint:
        pairs = pairs_of(checkpoint.vocabulary, examples)
        tokens = sum(len(context) + len(answer) - 1 for context, answer in pairs)
        answers = sum(len(answer) for _, answer in pairs)
        # Forward, and backward through the activations; frozen weights have no gradient.
        operations = 2 * checkpoint.weights().operations(tokens, answers)

        peak = alone(product_speed, setup.threads)
        rows, result = [], {"shape": checkpoint.name, "peak_tflops": peak}
        first = 0.0
        for engine in engines or ENGINES:
            progress(f"{checkpoint.name}: {engine}")
            folder = folder_for(engine, checkpoint)
            arguments = (str(folder), pairs, batch_size, setup.threads)
            seconds, share, memory = alone(measure, engine, *arguments)
            speed = operations * share / seconds / 1e12
            result[engine] = {
                "tokens_per_s": tokens * share / seconds,
                "answer_tokens_per_s": answers * share / seconds,
                "share_of_peak": speed / peak,
                "memory_mb": memory,
            }
            cells = result[engine]
            first = first or cells["tokens_per_s"]
            rows.append(
                [
                    engine,
                    f"{cells['tokens_per_s']:,.0f}",
                    f"{cells['answer_tokens_per_s']:,.0f}",
                    f"{cells['tokens_per_s'] / first:.2f}",
                    f"{cells['share_of_peak']:.0%}",
                    f"{memory:,.0f}",
                ]
            )
        result["agreement"] = alone(agreement, str(checkpoint.folder), pairs)
    titles = ["engine", "tokens/s", "answer tokens/s", "speed", "of peak", "peak MB"]
    text = markdown_table(titles, rows)
    text += f"\nmatrix product: {peak:.2f} TFLOP/s; {examples} examples of {tokens:,} tokens\n"
    if result["agreement"] is not None:
        text += "GPU against float32 on the CPU, largest differences in nats:\n"
        for dtype, differences in result["agreement"].items():
            shown = ", ".join(f"{name} {value:.2g}" for name, value in differences.items())
            text += f"  {dtype}: {shown}\n"
    setup.write("training", result, text)


if __name__ == "__main__":
    main()
