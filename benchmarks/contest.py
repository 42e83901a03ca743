"""Timed passes of several engines over the same items, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from engines import REFERENCE, Engine, Pass, tokens_read
from gemm import GemmPeak
from shapes import Weights
from workers import Worker, WorkerError
from workloads import Item, useful_tokens

__all__ = ["Contender", "Contest"]

TUNING_TOKENS = 4096  # at least, in the rows of the items on which batch sizes are tried
TRIALS = 2  # of each


@dataclass
class Contender:
    """An engine with the items that it scores, and what came of it.

    Attributes
    ----------
    engine : Engine
    items : list of Item
    trials : dict
        Seconds on the tuning items by batching.
    left_out : dict
        Why a batching does not work.
    passes : list of Pass
        One for each round.
    failure : str or None
        Why the engine dropped out.
    """

    engine: Engine
    items: list[Item]
    trials: dict[Any, float] = field(default_factory=dict, init=False)
    left_out: dict[Any, str] = field(default_factory=dict, init=False)
    passes: list[Pass] = field(default_factory=list, init=False)
    failure: str | None = field(default=None, init=False)
    _worker: Worker | None = field(default=None, init=False)

    @property
    def batching(self) -> Any:
        """The fastest batching in the trials."""
        return min(self.trials, key=lambda batching: self.trials[batching])

    @property
    def tokens_per_second(self) -> float:
        """Rate of the fastest pass, in tokens that one row per choice holds."""
        return useful_tokens(self.items) / min(done.seconds for done in self.passes)

    @property
    def _tuning_items(self) -> list[Item]:
        totals = np.cumsum([useful_tokens([item]) for item in self.items])
        return self.items[: int(np.searchsorted(totals, TUNING_TOKENS)) + 1]

    def tune(self) -> None:
        """Convert the model and try every batching, in a process that is not measured.

        Raises
        ------
        WorkerError
            If no batching works. One that fails is left out.
        """
        with Worker(self.engine) as worker:
            worker.call("prepare")
            worker.call("load")
            items = self._tuning_items
            batchings = worker.call("batchings", self.items)
            worker.call("score", items[:1], batchings[0])
            for batching in batchings:
                try:
                    trials = [worker.call("timed", items, batching) for _ in range(TRIALS)]
                except WorkerError as error:
                    self.left_out[batching] = str(error)
                else:
                    self.trials[batching] = min(trial.seconds for trial in trials)
        if not self.trials:
            raise WorkerError(next(iter(self.left_out.values())))

    def run(self) -> None:
        """Score the items once, in a process that stays until :meth:`close`.

        Each time after a warm-up: while others run, the system may have dropped the model's
        pages from memory.
        """
        if self._worker is None:
            self._worker = Worker(self.engine)
            self._worker.call("load")
        self._worker.call("score", self._tuning_items, self.batching)
        self.passes.append(self._worker.call("timed", self.items, self.batching))

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def record(self, reference: Contender | None, weights: Weights, peak: float) -> dict[str, Any]:
        """Return everything that is known of the engine, ready for JSON.

        Parameters
        ----------
        reference : Contender or None
            To compare speed and scores with.
        weights : Weights
            Of the checkpoint, to count operations with.
        peak : float
            The machine's fastest matrix product, in operations per second.
        """
        if self.failure is not None:
            return {"engine": self.engine.name, "failure": self.failure}
        seconds = [done.seconds for done in self.passes]
        known: dict[str, Any] = {
            "engine": self.engine.name,
            "batching": str(self.batching or "default"),
            "trial_seconds": {str(b or "default"): spent for b, spent in self.trials.items()},
            "left_out": {str(b): reason for b, reason in self.left_out.items()},
            "items": len(self.items),
            "seconds": seconds,
            "best_seconds": min(seconds),
            "median_seconds": median(seconds),
            "items_per_second": len(self.items) / min(seconds),
            "tokens_per_second": self.tokens_per_second,
            "share_of_peak": self._needed(weights) / min(seconds) / peak,
            "peak_bytes": max(done.peak_bytes for done in self.passes),
        }
        if self.passes[0].trunk:
            trunk = min((done.trunk for done in self.passes), key=lambda trunk: trunk["seconds"])
            known["trunk"] = {
                **trunk, "flops": weights.operations(trunk["tokens"], 0) / trunk["seconds"],
            }  # fmt: skip
        if reference is not None:
            known |= self._compared_with(reference)
        return known

    def _needed(self, weights: Weights) -> float:
        """Return the operations that the items need, if nothing that they share is done twice."""
        from likra_lite.engine.trees import TokenTree

        trees = [TokenTree(*item) for item in self.items]
        n_predicted = sum(len(choice) for item in self.items for choice in item.choices)
        return weights.operations(tokens_read(trees), n_predicted)

    def _compared_with(self, reference: Contender) -> dict[str, float]:
        n_items = min(len(self.items), len(reference.items))
        ends = np.cumsum([len(item.choices) for item in self.items[:n_items]])
        mine, theirs = (who.passes[-1].scores[: ends[-1]] for who in (self, reference))
        difference = np.abs(mine - theirs)
        pairs = zip(np.split(mine, ends[:-1]), np.split(theirs, ends[:-1]), strict=True)
        return {
            "speed": self.tokens_per_second / reference.tokens_per_second,
            "compared_items": n_items,
            "max_difference": float(difference.max()),
            "mean_difference": float(difference.mean()),
            "other_answers": sum(bool(a.argmax() != b.argmax()) for a, b in pairs),
        }


class Contest:
    """All contenders, and the rate of matrix products measured between their passes.

    Parameters
    ----------
    contenders : sequence of Contender
    threads : int
    one_at_a_time : bool
        Open every engine anew in every round, so that only one is in memory.
    report : callable
        Told what begins.

    Attributes
    ----------
    gemm : tuple of (float, str)
        Highest rate of a matrix product in FLOP/s, and with what.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        threads: int,
        one_at_a_time: bool,
        report: Callable[[str], object],
    ) -> None:
        self.contenders = contenders
        self.gemm = (0.0, "")
        self._threads = threads
        self._one_at_a_time = one_at_a_time
        self._report = report

    def run(self, rounds: int) -> None:
        """Tune every engine, then time one pass of each in every round."""
        for contender in self.contenders:
            self._report(f"{contender.engine.name}: preparing")
            self._attempt(contender, contender.tune)
        with ExitStack() as stack:
            gemm = stack.enter_context(Worker(GemmPeak(self._threads)))
            for contender in self.contenders:
                stack.callback(contender.close)
            for number in range(1, rounds + 1):
                self.gemm = max(self.gemm, gemm.call("measure"))
                for contender in self.contenders:
                    if contender.failure is None:
                        self._report(f"{contender.engine.name}: round {number} of {rounds}")
                        self._attempt(contender, contender.run)
                    if self._one_at_a_time:
                        contender.close()

    def _attempt(self, contender: Contender, step: Callable[[], None]) -> None:
        try:
            step()
        except WorkerError as error:
            self._report(f"{contender.engine.name}: {error}")
            contender.failure = str(error)
            contender.close()

    def records(self, weights: Weights) -> list[dict[str, Any]]:
        """Return what is known of every engine, compared with PyTorch in float32 if it ran."""
        reference = next(
            (c for c in self.contenders if c.engine.name == REFERENCE and c.failure is None), None
        )
        return [contender.record(reference, weights, self.gemm[0]) for contender in self.contenders]
