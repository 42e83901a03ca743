"""The training loop of a LoRA head, whatever computes its gradients.

PyTorch's loop and the one on ONNX Runtime are the same loop with another :class:`Learner`: the
same examples in the same order, the same learning rates, states, checkpoints and early stop.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .lora_examples import Example, digest_of
from .lora_state import TrainingState, read_state
from .recipe import LoraRecipe

__all__ = ["CHECKPOINTS", "FIRST_CHECKPOINT", "Learner", "Tensors", "steps_of", "train"]

FIRST_CHECKPOINT = 8  # examples; then 16, 32, 64, ...
SAVE_EVERY = 20.0  # seconds
CHECKPOINTS = "checkpoints"

# What a run may change and go on.
FREE_SETTINGS = ("max_tokens", "gradient_checkpointing", "precision")

Tensors = dict[str, NDArray[np.float32]]


class Learner(Protocol):
    """What makes steps: the factors of one head, their gradients and an optimiser."""

    recipe: LoraRecipe
    library: str  # that computes; a run does not go on with another
    leads: bool  # whether this process writes the files

    def step(self, examples: Sequence[Example], learning_rate: float, number: int) -> float:
        """Make a step on some examples and return their mean loss, in nats per unit."""

    def tensors(self) -> Tensors:
        """Return factors and moments, all that the next step depends on."""

    def restore(self, tensors: Tensors) -> None:
        """Set what :meth:`tensors` returned."""

    def write_adapter(self, folder: Path) -> None:
        """Write the factors as PEFT does."""

    def take_adapter(self, folder: Path) -> None:
        """Set the factors to those that :meth:`write_adapter` wrote."""

    def agree(self, score: float) -> float:
        """Return the score of the process that leads, once all processes are here."""


def train(
    learner: Learner,
    examples: Sequence[Example],
    folder: Path,
    identity: str,
    learning_rate: float,
    evaluate: Callable[[], float] | None = None,
    advance: Callable[[int], object] | None = None,
) -> TrainingState:
    """Train one head.

    The state is kept in `folder`, so that an interrupted run goes on, and the head as it was
    after 8, 16, 32, ... examples, as PEFT stores it.

    Parameters
    ----------
    learner : Learner
        With new factors. It is left with the trained ones.
    examples : sequence of Example
        The same in every process.
    folder : Path
    identity : str
        What the frozen model is called, kept with the state.
    learning_rate : float
        Takes the place of the recipe's.
    evaluate : callable, optional
        Returns the held-out accuracy under the head as it is.
    advance : callable, optional
        Called with the number of examples done.

    Returns
    -------
    TrainingState

    Raises
    ------
    LikraError
        If the folder holds a run with other settings.
    KeyboardInterrupt
        After a Ctrl-C, once the state is written.
    """
    settings = {
        **{k: v for k, v in asdict(learner.recipe).items() if k not in FREE_SETTINGS},
        "learning_rate": learning_rate,
        "model": identity,
        "library": learner.library,
        "examples": digest_of(examples),
    }
    state = read_state(folder, settings)
    run = _Run(learner, examples, folder, state, learning_rate, evaluate)
    if advance is not None:
        advance(run.seen)
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
    return state


class _Run:
    """A training under way."""

    def __init__(
        self,
        learner: Learner,
        examples: Sequence[Example],
        folder: Path,
        state: TrainingState,
        learning_rate: float,
        evaluate: Callable[[], float] | None,
    ) -> None:
        self.learner, self.folder = learner, folder
        self.examples, self.state, self.evaluate = examples, state, evaluate
        self.recipe, self.learning_rate = learner.recipe, learning_rate
        self.steps = steps_of(len(examples), self.recipe)
        self.saved = time.monotonic()
        if state.tensors:
            learner.restore(state.tensors)

    @property
    def seen(self) -> int:
        """Examples so far, over all epochs."""
        return sum(len(chosen) for chosen in self.steps[: self.state.step])

    def step(self) -> None:
        """Do one step."""
        step, total = self.state.step, len(self.steps)
        rate = self.learning_rate * _rate(step, total, self.recipe)
        chosen = [self.examples[index] for index in self.steps[step]]
        loss = self.learner.step(chosen, rate, step)
        self.state.step = step + 1
        self.state.losses.append((self.seen, loss))
        self.state.done = step + 1 == total

    def looks_now(self) -> bool:
        """Return whether the last step has reached 8, 16, 32, ... examples, or the end."""
        before = self.seen - len(self.steps[self.state.step - 1])
        return self.state.done or _crosses_power_of_two(before, self.seen)

    def look(self) -> None:
        """Keep the head as it is and, if asked for, decide whether that was enough."""
        if self.learner.leads:
            self.learner.write_adapter(self._checkpoint(self.seen))
        if self.recipe.patience is None or self.evaluate is None:
            return
        self.state.scores.append((self.seen, self.learner.agree(self.evaluate())))
        if _looks_since_best(self.state.scores) >= self.recipe.patience:
            self.state.done = True
        if self.state.done:
            scores = self.state.scores
            best = scores[len(scores) - 1 - _looks_since_best(scores)][0]
            self.learner.take_adapter(self._checkpoint(best))

    def _checkpoint(self, seen: int) -> Path:
        return self.folder / CHECKPOINTS / f"{seen:06d}"

    def save(self) -> None:
        """Write the state."""
        self.state.tensors = self.learner.tensors()
        if self.learner.leads:
            self.state.write(self.folder)
        self.saved = time.monotonic()


def steps_of(n_examples: int, recipe: LoraRecipe) -> list[list[int]]:
    """Return each step's examples."""
    return [
        order[start : start + recipe.batch_size]
        for epoch in range(recipe.epochs)
        for order in [np.random.default_rng([recipe.seed, epoch]).permutation(n_examples).tolist()]
        for start in range(0, n_examples, recipe.batch_size)
    ]


def _rate(step: int, total: int, recipe: LoraRecipe) -> float:
    """Return the share of the learning rate in a step."""
    if step < recipe.warmup:
        return (step + 1) / (recipe.warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    share = (step - recipe.warmup) / max(1, total - recipe.warmup)
    return 1.0 - share if recipe.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))


def _crosses_power_of_two(before: int, after: int) -> bool:
    return after >= FIRST_CHECKPOINT and before.bit_length() != after.bit_length()


def _looks_since_best(scores: Sequence[tuple[int, float]]) -> int:
    values = [score for _, score in scores]
    return len(values) - 1 - values.index(max(values))


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
