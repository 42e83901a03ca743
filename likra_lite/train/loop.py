"""The training loop: one head, from examples to factors."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce

from ..errors import LikraError
from ..recipe import LoraRecipe
from .decoder import LoraDecoder, pack_examples
from .objectives import LOSSES, Example, Loss
from .state import TrainingState, moments, read_state, set_moments

__all__ = ["FIRST_CHECKPOINT", "train_adapter"]

FIRST_CHECKPOINT = 8  # examples; then 16, 32, 64, ...
SAVE_EVERY = 20.0  # seconds
CHECKPOINTS = "checkpoints"

# What a run may change and go on.
FREE_SETTINGS = ("max_tokens", "gradient_checkpointing", "precision")


def train_adapter(
    decoder: LoraDecoder,
    name: str,
    examples: Sequence[Example],
    folder: Path,
    identity: str,
    evaluate: Callable[[], float] | None = None,
    advance: Callable[[int], object] | None = None,
) -> TrainingState:
    """Train one adapter and leave it active in `decoder`.

    The state is kept in `folder`, so that an interrupted run goes on, and the adapter as it
    was after 8, 16, 32, ... examples, as PEFT stores it.

    Parameters
    ----------
    decoder : LoraDecoder
        On the device of this process.
    name : str
        Of the adapter.
    examples : sequence of Example
        The same in every process.
    folder : Path
    identity : str
        What the frozen model is called, kept with the state.
    evaluate : callable, optional
        Returns the held-out accuracy under the adapter as it is.
    advance : callable, optional
        Called with the number of examples done.

    Returns
    -------
    TrainingState

    Raises
    ------
    LikraError
        If the folder holds a run with other settings, or the memory does not suffice.
    KeyboardInterrupt
        After a Ctrl-C, once the state is written.
    """
    recipe, where = decoder.recipe, PartialState()
    settings = {
        **{k: v for k, v in asdict(recipe).items() if k not in FREE_SETTINGS},
        "model": identity,
        "examples": _digest(examples),
    }
    state = read_state(folder, settings)
    decoder.activate(name)
    parameters = decoder.parameters_to_train
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    if state.tensors:
        _restore(decoder, name, optimizer, state)
    steps = list(_steps(len(examples), recipe))
    if advance is not None:
        advance(sum(len(chosen) for chosen in steps[: state.step]))
    if state.done:
        return state
    if recipe.gradient_checkpointing or recipe.dropout:
        decoder.train()
    saved = time.monotonic()
    with _interruptible() as interrupted:
        for step in range(state.step, len(steps)):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _rate(step, len(steps), recipe)
            chosen = [examples[index] for index in steps[step]]
            with _explain_memory(recipe):
                loss = _gradient(decoder, chosen, LOSSES[recipe.objective], parameters, step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen = sum(len(part) for part in steps[: step + 1])
            state.step = step + 1
            state.losses.append((seen, loss))
            if advance is not None:
                advance(len(chosen))
            stop = False
            if _crosses_power_of_two(seen - len(chosen), seen) or step + 1 == len(steps):
                if where.is_main_process:
                    decoder.save_adapter(name, folder / CHECKPOINTS / f"{seen:06d}")
                if recipe.patience is not None and evaluate is not None:
                    decoder.eval()
                    score = [evaluate()]
                    broadcast_object_list(score)  # the processes must agree on when to stop
                    state.scores.append((seen, score[0]))
                    decoder.train(bool(recipe.gradient_checkpointing or recipe.dropout))
                    stop = _looks_since_best(state.scores) >= recipe.patience
            state.done = stop or step + 1 == len(steps)
            if state.done or interrupted() or time.monotonic() - saved > SAVE_EVERY:
                if state.done and state.scores:
                    _take_best(decoder, name, folder, state)
                state.tensors = {**decoder.tensors(name), **moments(optimizer)}
                if where.is_main_process:
                    state.write(folder)
                saved = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt
            if stop:
                break
    decoder.eval()
    return state


def _steps(n_examples: int, recipe: LoraRecipe) -> Iterator[list[int]]:
    """Yield each step's examples."""
    for epoch in range(recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(n_examples).tolist()
        for start in range(0, n_examples, recipe.batch_size):
            yield order[start : start + recipe.batch_size]


def _rate(step: int, total: int, recipe: LoraRecipe) -> float:
    """Return the share of the learning rate in a step."""
    if step < recipe.warmup:
        return (step + 1) / (recipe.warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    share = (step - recipe.warmup) / max(1, total - recipe.warmup)
    return 1.0 - share if recipe.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))


def _gradient(
    decoder: LoraDecoder,
    examples: Sequence[Example],
    loss: Loss,
    parameters: Sequence[torch.nn.Parameter],
    step: int,
) -> float:
    """Leave the gradient of a step's mean loss in the parameters, and return the loss.

    Every process takes a share of the examples; sums are over all of them.
    """
    where, recipe = PartialState(), decoder.recipe
    units = sum(loss.units(example) for example in examples)
    mine = examples[where.process_index :: where.num_processes]
    if recipe.dropout:
        torch.manual_seed(hash((recipe.seed, step, where.process_index)) % 2**63)
    total = torch.zeros((), device=where.device)
    for packed, order in pack_examples([example.tree for example in mine], recipe.max_tokens):
        with decoder.autocast(where.device):
            log_probs = decoder(packed)
        parts = torch.split(log_probs, [len(mine[index].tree.targets) for index in order])
        part = torch.stack(
            [
                loss.total(torch.split(values, mine[i].tree.lengths.tolist()), mine[i].right)
                for values, i in zip(parts, order, strict=True)
            ]
        ).sum()
        torch.autograd.backward(part / units)
        total += part.detach()
    if where.num_processes > 1:
        for parameter in parameters:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = reduce(grad, "sum")
        total = reduce(total, "sum")
    return float(total) / units


def _crosses_power_of_two(before: int, after: int) -> bool:
    return after >= FIRST_CHECKPOINT and before.bit_length() != after.bit_length()


def _looks_since_best(scores: Sequence[tuple[int, float]]) -> int:
    values = [score for _, score in scores]
    return len(values) - 1 - values.index(max(values))


def _take_best(decoder: LoraDecoder, name: str, folder: Path, state: TrainingState) -> None:
    from safetensors.torch import load_file

    PartialState().wait_for_everyone()  # until the last checkpoint is there
    best = state.scores[len(state.scores) - 1 - _looks_since_best(state.scores)][0]
    path = folder / CHECKPOINTS / f"{best:06d}" / "adapter_model.safetensors"
    decoder.set_tensors(name, load_file(path))


def _restore(
    decoder: LoraDecoder, name: str, optimizer: torch.optim.Optimizer, state: TrainingState
) -> None:
    factors = {k: v for k, v in state.tensors.items() if not k.startswith("optimizer.")}
    decoder.set_tensors(name, factors)
    set_moments(optimizer, state.tensors)


def _digest(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        tree = example.tree
        for array in (tree.tokens, tree.parents, tree.nodes, tree.targets, tree.lengths):
            digest.update(array.tobytes())
        digest.update(example.right.to_bytes(4, "little"))
    return digest.hexdigest()


@contextmanager
def _explain_memory(recipe: LoraRecipe) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        hints = [f"lower max_tokens (now {recipe.max_tokens})"]
        if not recipe.gradient_checkpointing:
            hints.append("use gradient_checkpointing")
        hints.append("train a smaller model")
        raise LikraError(f"the GPU's memory does not suffice: {', or '.join(hints)}") from None


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let a Ctrl-C, or the signal to end, wait for the end of the step."""
    signals = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # other threads get no signals
        return
    came = threading.Event()
    before = {number: signal.signal(number, lambda *_: came.set()) for number in signals}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
