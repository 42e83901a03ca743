"""The learning rate of LoRA heads, found by a short search on the examples themselves.

What rate suits depends on the model: on the scale of its weights and activations, and on how far
its predictions are from the answers. So some are tried on the first steps. Each step's loss is
that of examples which have not been learnt yet, hence an honest one (prequential, Dawid 1984), and
every rate sees the same examples. What is best in a few steps is too much for many, so that a
part of it is taken, as is usual after such a range test (Smith 2017, arXiv 1506.01186).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..progress import progress_bar
from ..system.atomic import atomic_text
from .lora_examples import Example
from .lora_loop import Learner, Tensors, steps_of
from .lora_state import OPTIMIZER

__all__ = ["RateFinder"]

START = 5e-3  # the first one that is tried
FACTOR = 3.0  # between the rates that are tried
LARGEST = 1.0
STEPS = 4
PART = 2  # 1/2 of a step's examples suffice: on 27 of 30 sets of questions all of them say the same
JUDGED = 2  # of these, the last: a large rate is ahead at first, and behind soon after
# Of the rate that is best in a few steps, by the schedule: two of them fall to zero.
SHARES = {"constant": 0.1, "linear": 0.3, "cosine": 0.3}
NOTE = "learning_rate.json"


class RateFinder:
    """The learning rate of all trainings of a fit.

    Parameters
    ----------
    given : float or None
        The rate, if it is to be no other.
    folder : Path
        Where what was found is noted, so that it is found once.
    verbose : bool, default=False
        Whether progress is shown on a terminal.
    """

    def __init__(self, given: float | None, folder: Path, verbose: bool = False) -> None:
        self.rate, self.folder, self.verbose = given, folder, verbose

    def find(
        self,
        learner: Learner,
        examples: Sequence[Example],
    ) -> float:
        """Return the rate, searched for on the first call.

        Parameters
        ----------
        learner : Learner
            With new factors, as it is left.
        examples : sequence of Example
        """
        if self.rate is None:
            note = self.folder / NOTE
            if note.is_file():
                self.rate = float(json.loads(note.read_text(encoding="utf-8"))["learning_rate"])
                return self.rate
            with progress_bar(None, "finding the learning rate", self.verbose, "example") as bar:
                tried = _tried(learner, examples, bar.update)
            self.rate = SHARES[learner.recipe.schedule] * min(tried, key=lambda rate: tried[rate])
            if learner.leads:
                self.folder.mkdir(parents=True, exist_ok=True)
                losses = {
                    f"{rate:g}": loss if np.isfinite(loss) else None
                    for rate, loss in sorted(tried.items())
                }
                with atomic_text(note) as stream:
                    json.dump(
                        {"learning_rate": self.rate, "losses_by_rate": losses}, stream, indent=2
                    )
        return self.rate


def _tried(
    learner: Learner,
    examples: Sequence[Example],
    advance: Callable[[int], object],
) -> dict[float, float]:
    """Return rates with their losses; the best one has worse neighbours on both sides."""
    steps = steps_of(len(examples), learner.recipe)[:STEPS]
    first, *others = [chosen[: -(-len(chosen) // PART)] for chosen in steps]
    if not others:  # nothing is told by a step before which nothing was learnt
        return {START: float("inf")}
    begin = learner.tensors()
    # The first step's loss is the base model's, and its gradient too, whatever the rate.
    learner.step([examples[i] for i in first], START, 0)
    advance(len(first))
    after = learner.tensors()

    def loss_of(rate: float) -> float:
        learner.restore(_as_if(rate / START, begin, after))
        losses = []
        for number, chosen in enumerate(others, 1):
            losses.append(learner.step([examples[i] for i in chosen], rate, number))
            advance(len(chosen))
        return float(np.mean(losses[-JUDGED:])) if np.isfinite(losses).all() else float("inf")

    tried = {START: loss_of(START)}
    for factor in (FACTOR, 1.0 / FACTOR):
        best = min(tried, key=lambda rate: tried[rate])
        while best * factor <= LARGEST and best * factor not in tried:
            tried[best * factor] = loss_of(best * factor)
            if tried[best * factor] >= tried[best]:
                break
            best *= factor
        if best != START:
            break
    learner.restore(begin)
    return tried


def _as_if(ratio: float, begin: Tensors, after: Tensors) -> Tensors:
    """Return the tensors after a first step at another rate: what Adam adds is linear in it."""
    return {
        name: value
        if name.startswith(OPTIMIZER)
        else begin[name] + np.float32(ratio) * (value - begin[name])
        for name, value in after.items()
    }
