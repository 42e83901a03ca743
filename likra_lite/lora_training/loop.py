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
from ..heads.recipe import LoraRecipe
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
    recipe = decoder.recipe
    settings = {
        **{k: v for k, v in asdict(recipe).items() if k not in FREE_SETTINGS},
        "model": identity,
        "examples": _digest(examples),
    }
    state = read_state(folder, settings)
    decoder.activate(name)
    run = _Run(decoder, name, examples, folder, state, evaluate)
    if advance is not None:
        advance(sum(len(chosen) for chosen in run.steps[: state.step]))
    if state.done:
        return state
    run.train(True)
    with _interruptible() as interrupted:
        while not state.done:
            run.step()
            if advance is not None:
                advance(len(run.steps[state.step - 1]))
            if run.looks_now():
                run.look()
            if state.done or interrupted() or time.monotonic() - run.saved > SAVE_EVERY:
                run.save()
            if interrupted():
                raise KeyboardInterrupt
    run.train(False)
    return state


class _Run:
    """A training under way."""

    def __init__(
        self,
        decoder: LoraDecoder,
        name: str,
        examples: Sequence[Example],
        folder: Path,
        state: TrainingState,
        evaluate: Callable[[], float] | None,
    ) -> None:
        self.decoder, self.name, self.folder = decoder, name, folder
        self.examples, self.state, self.evaluate = examples, state, evaluate
        self.recipe = decoder.recipe
        self.steps = list(_steps(len(examples), self.recipe))
        self.parameters = decoder.parameters_to_train
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        self.saved = time.monotonic()
        if state.tensors:
            factors = {k: v for k, v in state.tensors.items() if not k.startswith("optimizer.")}
            decoder.set_tensors(name, factors)
            set_moments(self.optimizer, state.tensors)

    @property
    def seen(self) -> int:
        """Examples so far, over all epochs."""
        return sum(len(chosen) for chosen in self.steps[: self.state.step])

    def train(self, on: bool) -> None:
        """Switch on what computes otherwise in training, or off."""
        self.decoder.train(on and bool(self.recipe.gradient_checkpointing or self.recipe.dropout))

    def step(self) -> None:
        """Do one step."""
        step, total = self.state.step, len(self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * _rate(step, total, self.recipe)
        chosen = [self.examples[index] for index in self.steps[step]]
        with _explain_memory(self.recipe):
            objective = LOSSES[self.recipe.objective]
            loss = _gradient(self.decoder, chosen, objective, self.parameters, step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step = step + 1
        self.state.losses.append((self.seen, loss))
        self.state.done = step + 1 == total

    def looks_now(self) -> bool:
        """Return whether the last step has reached 8, 16, 32, ... examples, or the end."""
        before = self.seen - len(self.steps[self.state.step - 1])
        return self.state.done or _crosses_power_of_two(before, self.seen)

    def look(self) -> None:
        """Keep the adapter as it is and, if asked for, decide whether that was enough."""
        if PartialState().is_main_process:
            self.decoder.save_adapter(self.name, self.folder / CHECKPOINTS / f"{self.seen:06d}")
        if self.recipe.patience is None or self.evaluate is None:
            return
        self.train(False)
        score = [self.evaluate()]
        self.train(True)
        broadcast_object_list(score)  # the processes must agree on when to stop
        self.state.scores.append((self.seen, score[0]))
        if _looks_since_best(self.state.scores) >= self.recipe.patience:
            self.state.done = True
        if self.state.done:
            self._take_best()

    def _take_best(self) -> None:
        from safetensors.torch import load_file

        PartialState().wait_for_everyone()  # until the last checkpoint is there
        scores = self.state.scores
        best = scores[len(scores) - 1 - _looks_since_best(scores)][0]
        path = self.folder / CHECKPOINTS / f"{best:06d}" / "adapter_model.safetensors"
        self.decoder.set_tensors(self.name, load_file(path))

    def save(self) -> None:
        """Write the state."""
        self.state.tensors = {**self.decoder.tensors(self.name), **moments(self.optimizer)}
        if PartialState().is_main_process:
            self.state.write(self.folder)
        self.saved = time.monotonic()


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
