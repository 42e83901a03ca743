"""The training loop's steps in PyTorch, on one device or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce

from ..errors import LikraError
from ..heads import lora_loop
from ..heads.lora_examples import Example, pack_examples
from ..heads.lora_loop import Tensors
from ..heads.lora_rate import RateFinder
from ..heads.lora_state import OPTIMIZER, TrainingState
from ..heads.peft_folder import WEIGHTS
from ..heads.recipe import LoraRecipe
from .decoder import LoraDecoder
from .objectives import LOSSES, Loss

__all__ = ["TorchLearner", "train_adapter"]


def train_adapter(
    decoder: LoraDecoder,
    name: str,
    examples: Sequence[Example],
    folder: Path,
    identity: str,
    evaluate: Callable[[], float] | None = None,
    advance: Callable[[int], object] | None = None,
    finder: RateFinder | None = None,
) -> TrainingState:
    """Train one adapter and leave it active in `decoder`; see :func:`.lora_loop.train`.

    Parameters
    ----------
    decoder : LoraDecoder
        On the device of this process.
    name : str
        Of the adapter.
    examples, folder, identity, evaluate, advance
        See :func:`likra_lite.heads.lora_loop.train`.
    finder : RateFinder, optional
        Of the learning rate; one of this training's own by default.

    Raises
    ------
    LikraError
        If the folder holds a run with other settings, or the memory does not suffice.
    """
    decoder.activate(name)
    learner = TorchLearner(decoder, name)
    finder = finder or RateFinder(decoder.recipe.learning_rate, folder)
    rate = finder.find(learner, examples)
    return lora_loop.train(learner, examples, folder, identity, rate, evaluate, advance)


class TorchLearner:
    """Makes steps on the active adapter of a decoder.

    See :class:`likra_lite.heads.lora_loop.Learner`.

    Parameters
    ----------
    decoder : LoraDecoder
    name : str
        Of the adapter.
    """

    library = "PyTorch"

    def __init__(self, decoder: LoraDecoder, name: str) -> None:
        self.decoder, self.name, self.recipe = decoder, name, decoder.recipe
        self.leads = PartialState().is_main_process
        self.parameters = decoder.parameters_to_train
        self.optimizer = torch.optim.AdamW(
            self.parameters, weight_decay=self.recipe.weight_decay
        )  # a step sets the rate

    def step(self, examples: Sequence[Example], learning_rate: float, number: int) -> float:
        """Make a step on some examples and return their mean loss, in nats per unit."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with _explain_memory(self.recipe), _training(self.decoder):
            objective = LOSSES[self.recipe.objective]
            loss = _gradient(self.decoder, examples, objective, self.parameters, number)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def tensors(self) -> Tensors:
        """Return factors and moments by PEFT's and Adam's names."""
        factors = self.decoder.tensors(self.name)
        return {name: value.numpy() for name, value in {**factors, **self._moments()}.items()}

    def restore(self, tensors: Tensors) -> None:
        """Set what :meth:`tensors` returned."""
        values = {name: torch.from_numpy(value) for name, value in tensors.items()}
        moments = {name: values.pop(name) for name in tensors if name.startswith(OPTIMIZER)}
        self.decoder.set_tensors(self.name, values)
        content = self.optimizer.state_dict()
        content["state"] = {}
        for key, value in moments.items():
            _, index, name = key.split(".", 2)
            content["state"].setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(content)

    def _moments(self) -> dict[str, torch.Tensor]:
        """Return Adam's moments by the number of their parameter."""
        return {
            f"{OPTIMIZER}{index}.{name}": value.detach().cpu().clone()
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }

    def write_adapter(self, folder: Path) -> None:
        """Write the factors as PEFT does."""
        self.decoder.save_adapter(self.name, folder)

    def take_adapter(self, folder: Path) -> None:
        """Set the factors to those that :meth:`write_adapter` wrote."""
        from safetensors.torch import load_file

        PartialState().wait_for_everyone()  # until the last checkpoint is there
        self.decoder.set_tensors(self.name, load_file(folder / WEIGHTS))

    def agree(self, score: float) -> float:
        """Return the score of the process that leads, once all processes are here."""
        scores = [score]
        broadcast_object_list(scores)  # the processes must agree on when to stop
        return scores[0]


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


@contextmanager
def _training(decoder: LoraDecoder) -> Iterator[None]:
    """Set a decoder to training where that computes otherwise; telling all modules takes time."""
    if not (decoder.recipe.gradient_checkpointing or decoder.recipe.dropout):
        yield
        return
    decoder.train()
    try:
        yield
    finally:
        decoder.eval()


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
