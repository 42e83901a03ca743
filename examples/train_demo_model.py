"""Train the language model of the demo from scratch, and export it.

    pip install -e ".[export]"
    python examples/train_demo_model.py my-tiny-model

A byte-level BPE tokenizer and a Llama of a million parameters, trained for one epoch on
stories that share no sentence with the stories of the demo's items. A quarter of an hour on two
CPU cores; the same seed, thread count and PyTorch give the same weights.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from likra_lite.datasets import load_demo
from likra_lite.datasets.stories import narrate, sentences_of
from likra_lite.export import export_model

SEED = 3
START = "<|endoftext|>"
VOCABULARY = 1024
WINDOW = 512
TOKENS_PER_STEP = 2048
MUON_RATE, ADAM_RATE = 5e-3, 3e-3
WARM_UP = 100  # steps
LAST_RATE = 0.05  # as a share of the highest


def texts(count: int) -> list[str]:
    """Return the running text, without the stories of the demo's items."""
    items = [*load_demo("train").items, *load_demo("test").items]
    return list(narrate(count, random_state=SEED, avoid=sentences_of(items)))


def train_tokenizer(corpus: list[str]) -> Tokenizer:
    """Fit a byte-level BPE that starts every text with a mark of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, 0)]
    )
    return tokenizer


def batches(encoded: list[torch.Tensor]) -> list[list[int]]:
    """Shuffle texts into batches of about equal length: one text a row, little padding."""
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(encoded), generator=generator).tolist()
    result: list[list[int]] = []
    for start in range(0, len(order), 4096):
        pool = sorted(order[start : start + 4096], key=lambda index: len(encoded[index]))
        made: list[list[int]] = [[]]
        for index in pool:
            if (len(made[-1]) + 1) * len(encoded[index]) > TOKENS_PER_STEP:
                made.append([])
            made[-1].append(index)
        shuffle = torch.randperm(len(made), generator=generator).tolist()
        result += [made[place] for place in shuffle]
    return result


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms."""
    embedding = model.get_input_embeddings().weight
    rest = [p for p in model.parameters() if p is not embedding]
    return [
        torch.optim.Muon(
            [p for p in rest if p.ndim == 2],
            lr=MUON_RATE,
            weight_decay=0.1,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            [
                {"params": [embedding], "weight_decay": 0.1},
                {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=ADAM_RATE,
            betas=(0.9, 0.98),
        ),
    ]


def schedule(step: int, steps: int) -> float:
    """Return the share of the highest learning rate: warm-up, then half a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)


def losses(model: LlamaForCausalLM, encoded: list[torch.Tensor]) -> Iterator[tuple[float, float]]:
    """Train for one epoch; yield the share done and the loss in nats per token."""
    plan = batches(encoded)
    steps = len(plan)
    pair = optimizers(model)
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda step: schedule(step, steps)) for one in pair
    ]
    # Processors without such products emulate them, many times slower than float32.
    halves = torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX"))
    for step, indices in enumerate(plan):
        rows = pad_sequence([encoded[index] for index in indices], True, padding_value=-100)
        with torch.autocast("cpu", torch.bfloat16, enabled=halves):
            loss = model(input_ids=rows.clamp(min=0), labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, scheduler in zip(pair, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        model.zero_grad()
        yield (step + 1) / steps, loss.item()


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--texts", "count", default=200_000, show_default=True, help="Texts to train on.")
def main(out: Path, count: int) -> None:
    """Train the demo's language model and write it to the model folder OUT."""
    torch.manual_seed(SEED)
    start = time.perf_counter()
    corpus = texts(count)
    tokenizer = train_tokenizer(corpus[:20_000])
    encoded = [torch.tensor(encoding.ids) for encoding in tokenizer.encode_batch(corpus)]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=WINDOW,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    click.echo(f"{sum(map(len, encoded)):,} tokens, {model.num_parameters():,} parameters")
    seen: list[float] = []
    for step, (share, loss) in enumerate(losses(model, encoded), start=1):
        seen.append(loss)
        if step % 250 == 0:
            seconds = time.perf_counter() - start
            mean = sum(seen) / len(seen)
            click.echo(f"{share:6.1%}  {seconds:6.0f} s  {mean:.4f} nats per token")
            seen.clear()
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / "likra-tiny"
        model.save_pretrained(checkpoint)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=START, eos_token=START, model_max_length=WINDOW
        ).save_pretrained(checkpoint)
        export_model(checkpoint, out)
    click.echo(f"wrote {out} after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
