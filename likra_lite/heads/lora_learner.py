"""Training LoRA heads with ONNX Runtime and NumPy: losses and gradients come from a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine.head import GRADIENT_OF, LORA, Lora
from ..engine.manifest import LORA_GRADIENT, Manifest
from ..engine.sessions import open_graph, read_graph
from ..errors import LikraError
from .lora_examples import Batch, Example, pack_examples, shared_out
from .lora_factors import Adam, initial_factors
from .lora_state import OPTIMIZER
from .peft_folder import DOWN, PREFIX, UP, WEIGHTS, factors_of, write_peft_folder
from .recipe import LoraRecipe

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["GraphLearner", "adapted_shapes", "chosen_modules", "open_for_training"]

# Passes of so many tokens are worth the products' set-up, and their activations fit in a laptop.
PASS_TOKENS = 512
# Attention is quadratic in the tokens of a row, and most of it is masked if it holds many texts.
ROW_TOKENS = 128
# Passes that run at the same time, on the cores that there are: small operators gain more by that
# than by threads of their own (a step of 8 questions at 135M, two cores of an AMD EPYC: 17 %).
CALLERS = 2

FloatArray = NDArray[np.float32]
Shapes = dict[str, tuple[int, int]]
Tensors = dict[str, FloatArray]


def open_for_training(
    folder: Path, manifest: Manifest, recipe: LoraRecipe, n_threads: int
) -> InferenceSession:
    """Open the graph with the gradients that a recipe needs: lower layers may need none.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        As it was read when the folder was opened.
    recipe : LoraRecipe
    n_threads : int
        Of the processor; see :data:`CALLERS` for how they are used.

    Raises
    ------
    ModelFolderError
        As :func:`likra_lite.engine.sessions.open_graph` does.
    LikraError
        If the recipe names matrices that the graph cannot adapt.
    """
    graph = read_graph(folder / LORA_GRADIENT).graph
    sizes = {
        entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        for entry in graph.input
    }
    trained = factor_names(chosen_modules(adapted_shapes(sizes), recipe))
    outputs = ["loss", *(GRADIENT_OF + name for name in trained)]
    # Passes run side by side: their sessions' threads are beside the callers' own.
    per_pass = max(1, n_threads + 1 - CALLERS)
    # Weights laid out anew speed float32 up by 8 % and int8 by 3 %. Who takes int8 wants the
    # memory: of a billion weights, 3 GB.
    prepacked = manifest.precision == "float32"
    return open_graph(folder, manifest, LORA_GRADIENT, per_pass, outputs, prepacked)


def adapted_shapes(sizes: Mapping[str, Sequence[int]]) -> Shapes:
    """Return (n_in, n_out) of every matrix that a graph with inputs of some sizes can adapt."""
    downs = [name for name in sizes if name.startswith(LORA) and name.endswith(".a")]
    return {name[len(LORA) : -2]: (sizes[name][1], sizes[f"{name[:-2]}.b"][2]) for name in downs}


def chosen_modules(shapes: Mapping[str, tuple[int, int]], recipe: LoraRecipe) -> Shapes:
    """Return the matrices that a recipe trains.

    Parameters
    ----------
    shapes : mapping of str to (n_in, n_out)
        Of the matrices that the graph can adapt, by path; a number in a path is the layer.
    recipe : LoraRecipe

    Raises
    ------
    LikraError
        If the recipe names others, or more layers than there are.
    """
    layers = {module: _layer_of(module) for module in shapes}
    lowest, highest = min(layers.values()), max(layers.values())
    if recipe.top_layers is not None and recipe.top_layers > highest + 1 - lowest:
        raise LikraError(
            f"got top_layers={recipe.top_layers} but LoRA heads can adapt {highest + 1 - lowest}"
        )
    first = lowest if recipe.top_layers is None else highest + 1 - recipe.top_layers
    names = recipe.target_modules
    chosen = {
        module: shape
        for module, shape in shapes.items()
        if layers[module] >= first
        and (names is None or any(f".{module}".endswith(f".{name}") for name in names))
    }
    known = sorted({module.rpartition(".")[2] for module in shapes})
    for name in names or ():
        if not any(f".{module}".endswith(f".{name}") for module in shapes):
            raise LikraError(f"got target module {name}, but the model folder can adapt {known}")
    return chosen


def _layer_of(module: str) -> int:
    return next(int(part) for part in module.split(".") if part.isdigit())


def factor_names(modules: Iterable[str]) -> list[str]:
    """Return what the graph calls the factors of some matrices."""
    return [f"{LORA}{module}.{side}" for module in modules for side in "ab"]


class GraphLearner:
    """Makes steps on one LoRA head; see :class:`likra_lite.heads.lora_loop.Learner`.

    Parameters
    ----------
    session : InferenceSession
        See :func:`open_for_training`.
    recipe : LoraRecipe
    base : str
        What the model is called.
    n_threads : int, default=1
        Of the processor.
    """

    library = "ONNX Runtime"
    leads = True

    def __init__(
        self, session: InferenceSession, recipe: LoraRecipe, base: str, n_threads: int = 1
    ) -> None:
        self.session, self.recipe, self.base = session, recipe, base
        self.callers = ThreadPoolExecutor(min(CALLERS, n_threads), "likra-lite-pass")
        every = adapted_shapes({node.name: node.shape for node in session.get_inputs()})
        self.shapes = chosen_modules(every, recipe)
        self.scale = np.float32(recipe.lora_alpha / recipe.rank)
        rank = recipe.rank
        sizes = {
            f"{LORA}{module}.{side}": shape
            for module, (n_in, n_out) in every.items()
            for side, shape in (("a", (1, n_in, rank)), ("b", (1, rank, n_out)))
        }
        # One vector holds all factors: they are views of it, and so is what a step changes.
        trained = factor_names(self.shapes)
        self.values = np.zeros(sum(int(np.prod(sizes[name])) for name in trained), np.float32)
        self.gradient = np.zeros_like(self.values)
        self.factors = _views(self.values, trained, sizes)
        self.gradients = _views(self.gradient, trained, sizes)
        self.frozen = {
            name: np.zeros(shape, np.float32)
            for name, shape in sizes.items()
            if name not in self.factors
        }
        self.adam = Adam(self.values, recipe.weight_decay)
        self._set_factors(initial_factors(self.shapes, recipe))

    def step(self, examples: Sequence[Example], learning_rate: float, number: int) -> float:
        """Make a step on some examples and return their mean loss, in nats per answer token."""
        loss = self.loss_and_gradient(examples)
        self.adam.step(self.gradient, learning_rate)
        return loss

    def loss_and_gradient(self, examples: Sequence[Example]) -> float:
        """Return the mean loss per answer token, and leave its gradient in ``gradient``."""
        trees = [example.tree for example in examples]
        weight = 1.0 / sum(len(tree.targets) for tree in trees)
        budget = max(1, min(self.recipe.max_tokens, PASS_TOKENS) // CALLERS)
        # The same passes whatever the threads, summed in the same order: the same to the bit.
        passes = [
            batch
            for part in shared_out(trees, CALLERS)
            for batch in pack_examples(part, budget, ROW_TOKENS)
        ]
        factors = self._scaled_factors()
        total = 0.0
        self.gradient[:] = 0.0
        for loss, gradients in self.callers.map(
            lambda batch: self._pass(batch, weight, factors), passes
        ):
            total += loss
            for name, gradient in gradients.items():
                self.gradients[name] += gradient
        return total

    def _scaled_factors(self) -> Tensors:
        return {
            name: self.scale * factor if name.endswith(".b") and self.scale != 1 else factor
            for name, factor in self.factors.items()
        }

    def _pass(self, batch: Batch, weight: float, factors: Tensors) -> tuple[float, Tensors]:
        packed = batch.packed
        counts = np.bincount(packed.target_rows, minlength=len(packed.rows))
        feeds = {
            "input_ids": packed.input_ids,
            "position_ids": packed.position_ids,
            "attention_bias": packed.attention_bias,
            "rows": packed.rows,
            "target_rows": packed.target_rows,
            "targets": packed.targets,
            "weight": np.array(weight, np.float32),
            "row_weights": (weight * counts).astype(np.float32)[:, None],
            **factors,
            **self.frozen,
        }
        names = list(self.gradients)
        outputs = ["loss", *(GRADIENT_OF + name for name in names)]
        loss, *gradients = self.session.run(outputs, feeds)
        for name, gradient in zip(names, gradients, strict=True):
            if name.endswith(".b"):
                gradient *= self.scale
        return float(loss), dict(zip(names, gradients, strict=True))

    def lora(self) -> Lora:
        """Return the head as it is."""
        scale = self.recipe.lora_alpha / self.recipe.rank
        return factors_of(self._peft_tensors(), lambda _: scale)

    def tensors(self) -> Tensors:
        """Return factors and moments, each in one vector."""
        return {
            "values": self.values.copy(),
            f"{OPTIMIZER}first": self.adam.first.copy(),
            f"{OPTIMIZER}second": self.adam.second.copy(),
            f"{OPTIMIZER}count": np.array([self.adam.count], np.float32),
        }

    def restore(self, tensors: Tensors) -> None:
        """Set what :meth:`tensors` returned."""
        self.values[:] = tensors["values"]
        self.adam.first[:] = tensors[f"{OPTIMIZER}first"]
        self.adam.second[:] = tensors[f"{OPTIMIZER}second"]
        self.adam.count = int(tensors[f"{OPTIMIZER}count"][0])

    def write_adapter(self, folder: Path) -> None:
        """Write the factors as PEFT does."""
        write_peft_folder(folder, self._peft_tensors(), self.recipe, self.base)

    def take_adapter(self, folder: Path) -> None:
        """Set the factors to those that :meth:`write_adapter` wrote."""
        from safetensors.numpy import load_file

        stored = load_file(folder / WEIGHTS)
        self._set_factors({name.removeprefix(PREFIX): value for name, value in stored.items()})

    def agree(self, score: float) -> float:
        """Return the score: there is one process."""
        return score

    def _set_factors(self, tensors: Tensors) -> None:
        for module in self.shapes:
            self.factors[f"{LORA}{module}.a"][0] = tensors[f"{module}.{DOWN}"].T
            self.factors[f"{LORA}{module}.b"][0] = tensors[f"{module}.{UP}"].T

    def _peft_tensors(self) -> Tensors:
        return {
            f"{module}.{peft}": np.ascontiguousarray(self.factors[f"{LORA}{module}.{side}"][0].T)
            for module in self.shapes
            for side, peft in (("a", DOWN), ("b", UP))
        }


def _views(
    vector: FloatArray, names: Sequence[str], sizes: Mapping[str, tuple[int, ...]]
) -> Tensors:
    """Return consecutive parts of a vector by name, each in its shape."""
    ends = np.cumsum([int(np.prod(sizes[name])) for name in names])
    parts = np.split(vector, ends[:-1])
    return {name: part.reshape(sizes[name]) for name, part in zip(names, parts, strict=True)}
