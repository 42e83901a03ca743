"""The state of a training run, in one file, from which it goes on after an interrupt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from ..system.atomic import write_bytes

__all__ = ["OPTIMIZER", "TrainingState", "read_state"]

OPTIMIZER = "optimizer."  # before the names of its tensors; the others are a head's factors

FILE = "state.safetensors"


@dataclass
class TrainingState:
    """Progress of one head's training.

    Attributes
    ----------
    settings : dict
        All that the result depends on; a run goes on only with the same.
    step : int
        Steps done.
    losses : list of (int, float)
        Examples seen, and the loss in nats per unit of the step that ended there.
    scores : list of (int, float)
        Examples seen, and held-out accuracy then.
    done : bool
    tensors : dict of str to ndarray
        Factors and the optimiser's moments.
    """

    settings: dict[str, object]
    step: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    done: bool = False
    tensors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Replace the state in `folder`, whole or not at all, and ``losses.csv`` beside it."""
        facts = {
            "settings": self.settings,
            "step": self.step,
            "losses": self.losses,
            "scores": self.scores,
            "done": self.done,
        }
        from safetensors.numpy import save

        lines = ["examples,loss", *(f"{seen},{loss:.6g}" for seen, loss in self.losses)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LikraError(f"cannot write {folder}: {error.strerror or error}") from error
        write_bytes(folder / FILE, save(self.tensors, {"likra": json.dumps(facts)}))
        write_bytes(folder / "losses.csv", ("\n".join(lines) + "\n").encode())


def read_state(folder: Path, settings: dict[str, object]) -> TrainingState:
    """Return the state in `folder`, or a new one.

    Raises
    ------
    LikraError
        If the one there is of other settings, or cannot be read.
    """
    from safetensors import safe_open

    path = folder / FILE
    if not path.is_file():
        return TrainingState(settings)
    try:
        with safe_open(path, framework="np") as stored:
            facts = json.loads(stored.metadata()["likra"])
            names = stored.keys()
            tensors = {name: stored.get_tensor(name) for name in names}
        state = TrainingState(
            facts["settings"],
            facts["step"],
            [(seen, loss) for seen, loss in facts["losses"]],
            [(seen, score) for seen, score in facts["scores"]],
            facts["done"],
            tensors,
        )
    except Exception as error:
        raise LikraError(
            f"{path} cannot be read ({type(error).__name__}: {error}); delete it to train again"
        ) from None
    now = json.loads(json.dumps(settings))
    for name in {*state.settings, *now}:
        before, wanted = state.settings.get(name), now.get(name)
        if before != wanted:
            raise LikraError(
                f"{folder} holds training with {name} {_short(before)}, and now it is "
                f"{_short(wanted)}; choose another folder, or delete this one"
            )
    return state


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
