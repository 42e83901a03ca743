"""The engines that are compared: same checkpoint and token ids in, one score per choice out.

Every engine gets the same number of threads. Engines that take rows in batches are tried with
several batch sizes on a part of the items, and the fastest that works is timed.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from shapes import Checkpoint, made_once
from workers import Unavailable, peak_memory
from workloads import Item, Row, longest_row, rows_of

if TYPE_CHECKING:
    from likra_lite import LanguageModel

__all__ = ["ENGINES", "REFERENCE", "Batching", "Engine", "Pass", "score_trees", "tokens_read"]

FloatArray = NDArray[np.float64]

MAX_LOGIT_BYTES = 2 * 2**30  # of one batch; the softmax takes as much again


class Batching(NamedTuple):
    """How many rows, or tokens with padding, an engine takes at a time."""

    size: int
    unit: str = "rows"

    def __str__(self) -> str:
        return f"{self.size} {self.unit if self.size > 1 else self.unit[:-1]}"


@dataclass(frozen=True)
class Pass:
    """One timed scoring of some items.

    Attributes
    ----------
    seconds : float
    scores : ndarray of shape (n_choices,)
        Log-likelihoods in nats.
    peak_bytes : int
        Largest resident size of the process so far.
    trunk : dict
        likra-lite only: ``seconds`` in the trunk and ``tokens`` that it read.
    """

    seconds: float
    scores: FloatArray
    peak_bytes: int
    trunk: dict[str, float] = field(default_factory=dict)


class Engine(ABC):
    """A way to score choices.

    Parameters
    ----------
    checkpoint : Checkpoint
    threads : int

    Attributes
    ----------
    name : str
    one_row_per_choice : bool
        Whether a context is read again for each of its choices.
    """

    name: str
    one_row_per_choice = True

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        self.checkpoint = checkpoint
        self.threads = threads
        self.trunk: dict[str, float] = {}

    @property
    def folder(self) -> Path:
        """Where the converted checkpoint is."""
        return self.checkpoint.converted / self.name

    def prepare(self) -> None:  # noqa: B027
        """Convert the checkpoint, unless that has been done."""

    @abstractmethod
    def load(self) -> None:
        """Open the model."""

    @abstractmethod
    def score(self, items: Sequence[Item], batching: Any) -> FloatArray:
        """Return the log-likelihood of every choice."""

    def batchings(self, items: Sequence[Item]) -> list[Any]:
        """Return the settings to try, within memory."""
        row_bytes = 4 * self.checkpoint.vocabulary * longest_row(items)
        return [Batching(n) for n in (1, 4, 16) if n == 1 or n * row_bytes <= MAX_LOGIT_BYTES]

    def timed(self, items: Sequence[Item], batching: Any) -> Pass:
        """Score items and report what it took."""
        begin = time.perf_counter()
        scores = self.score(items, batching)
        return Pass(time.perf_counter() - begin, scores, peak_memory(), self.trunk)


def batches(rows: Sequence[Row], size: int) -> Iterator[list[int]]:
    """Yield indices of rows, `size` at a time, longest rows first."""
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index].read))
    for start in range(0, len(order), size):
        yield order[start : start + size]


class PyTorch(Engine):
    """transformers in float32, one row per choice, as lm-evaluation-harness does it.

    Rows are sorted by length and padded on the right, attention is transformers' default (the
    fused one of PyTorch wherever the model has it), and the softmax is taken of all logits. In
    ``torch.inference_mode``, without a key-value cache.
    """

    name = "pytorch-fp32"
    dtype = "float32"

    def load(self) -> None:
        """Open the model."""
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(self.threads)
        self.model = AutoModelForCausalLM.from_pretrained(
            self.checkpoint.folder, dtype=getattr(torch, self.dtype)
        ).eval()

    def score(self, items: Sequence[Item], batching: Batching) -> FloatArray:
        """Return the log-likelihood of every choice."""
        import torch

        rows = rows_of(items)
        scores = np.empty(len(rows))
        with torch.inference_mode():
            for chosen in batches(rows, batching.size):
                padded = torch.nn.utils.rnn.pad_sequence(
                    [torch.tensor(rows[index].read) for index in chosen], batch_first=True
                )
                log_probs = self.model(padded, use_cache=False).logits.log_softmax(-1)
                for index, lines in zip(chosen, log_probs, strict=True):
                    row = rows[index]
                    picked = lines[row.span].gather(1, torch.tensor(row.choice)[:, None])
                    scores[index] = float(picked.double().sum())
        return scores


class PyTorchBfloat16(PyTorch):
    """The same in bfloat16, logits and softmax included, as lm-evaluation-harness does it."""

    name = "pytorch-bf16"
    dtype = "bfloat16"


class Harness(PyTorch):
    """lm-evaluation-harness' own ``HFLM`` on the float32 model.

    ``HFLM._loglikelihood_tokens`` is given token ids, so that no time goes into tokenizers or
    metrics; its batching, its cache for choices of one token and its softmax are its own.
    """

    name = "lm-eval"

    def load(self) -> None:
        """Open the model."""
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoTokenizer

        super().load()
        tokenizer = AutoTokenizer.from_pretrained(self.checkpoint.folder)
        self.harness = HFLM(pretrained=self.model, tokenizer=tokenizer, device="cpu")

    def score(self, items: Sequence[Item], batching: Batching) -> FloatArray:
        """Return the log-likelihood of every choice."""
        self.harness.batch_size_per_gpu = batching.size
        requests = [(("", str(i)), *row) for i, row in enumerate(rows_of(items))]
        answers = self.harness._loglikelihood_tokens(requests, disable_tqdm=True)
        return np.array([score for score, _greedy in answers])


class CTranslate2(Engine):
    """CTranslate2's ``Generator.score_batch`` on a conversion to float32.

    One row per choice; CTranslate2 itself sorts the rows by length and splits them into batches
    of a number of rows or of tokens. It takes tokens as strings: those of the converted
    vocabulary, where each must stand for one id only.
    """

    name = "ctranslate2-fp32"
    precision = "float32"

    def prepare(self) -> None:
        """Convert the checkpoint, unless that has been done."""
        from ctranslate2.converters import TransformersConverter

        converter = TransformersConverter(str(self.checkpoint.folder))
        made_once(
            self.folder,
            lambda folder: converter.convert(str(folder), quantization=self.precision),
        )

    def load(self) -> None:
        """Open the model."""
        from ctranslate2 import Generator

        self.generator = Generator(
            str(self.folder),
            device="cpu",
            compute_type=self.precision,
            inter_threads=1,
            intra_threads=self.threads,
        )
        vocabulary = (self.folder / "vocabulary.json").read_text(encoding="utf-8")
        self.tokens: list[str] = json.loads(vocabulary)
        if len(set(self.tokens)) < len(self.tokens):
            raise Unavailable("the converted vocabulary holds a token twice")

    def batchings(self, items: Sequence[Item]) -> list[Batching]:
        """Return the settings to try, within memory."""
        by_tokens = [Batching(n, "tokens") for n in (256, 1024) if n >= longest_row(items)]
        return super().batchings(items) + by_tokens

    def score(self, items: Sequence[Item], batching: Batching) -> FloatArray:
        """Return the log-likelihood of every choice."""
        rows = rows_of(items)
        results = self.generator.score_batch(
            [[self.tokens[token] for token in row.context + row.choice] for row in rows],
            max_batch_size=batching.size,
            batch_type="tokens" if batching.unit == "tokens" else "examples",
            max_input_length=0,
        )
        return np.array(
            [sum(result.log_probs[row.span]) for row, result in zip(rows, results, strict=True)]
        )


class CTranslate2Int8(CTranslate2):
    """The same on a conversion to int8: weights and activations of all linear layers."""

    name = "ctranslate2-int8"
    precision = "int8"


class Optimum(Engine):
    """ONNX Runtime on the graph that Optimum exports, in float32.

    Task ``text-generation``, without a key-value cache; ONNX Runtime's default options but for
    the threads. One row per choice, sorted by length and padded; the graph computes all logits,
    the softmax is taken, with SciPy, of those that predict a choice.
    """

    name = "onnxruntime-optimum"

    def prepare(self) -> None:
        """Convert the checkpoint, unless that has been done."""
        from optimum.exporters.onnx import main_export

        made_once(
            self.folder,
            lambda folder: main_export(
                str(self.checkpoint.folder),
                folder,
                task="text-generation",
                library_name="transformers",
                do_validation=False,
            ),
        )

    def load(self) -> None:
        """Open the model."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        self.session = onnxruntime.InferenceSession(
            str(self.folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {node.name for node in self.session.get_inputs()}

    def score(self, items: Sequence[Item], batching: Batching) -> FloatArray:
        """Return the log-likelihood of every choice."""
        from scipy.special import log_softmax

        rows = rows_of(items)
        scores = np.empty(len(rows))
        for chosen in batches(rows, batching.size):
            shape = (len(chosen), len(rows[chosen[0]].read))
            feeds = {
                "input_ids": np.zeros(shape, np.int64),
                "attention_mask": np.zeros(shape, np.int64),
                "position_ids": np.tile(np.arange(shape[1]), (shape[0], 1)),
            }
            for place, index in enumerate(chosen):
                read = rows[index].read
                feeds["input_ids"][place, : len(read)] = read
                feeds["attention_mask"][place, : len(read)] = 1
            (logits,) = self.session.run(["logits"], {name: feeds[name] for name in self.inputs})
            for index, lines in zip(chosen, logits, strict=True):
                row = rows[index]
                log_probs = log_softmax(lines[row.span], axis=1)
                picked = log_probs[np.arange(len(row.choice)), row.choice]
                scores[index] = picked.sum(dtype=np.float64)
        return scores


def score_trees(
    model: LanguageModel, items: Sequence[Item], n_heads: int = 1
) -> tuple[FloatArray, dict[str, float]]:
    """Score items with likra-lite, as many at a time as the library takes.

    Parameters
    ----------
    model : LanguageModel
    items : sequence of Item
    n_heads : int, default=1
        Heads under which every choice is scored, each the base model.

    Returns
    -------
    scores : ndarray of shape (n_choices,)
        Under the last head.
    trunk : dict
        ``seconds`` in the trunk, and ``tokens`` that it read, without padding.
    """
    from likra_lite.engine.pairs import PAIRS_PER_CHUNK
    from likra_lite.engine.trees import TokenTree

    scores = []
    trunk = {"seconds": 0.0, "tokens": 0}
    for start in range(0, len(items), PAIRS_PER_CHUNK):
        chunk = items[start : start + PAIRS_PER_CHUNK]
        trees = [TokenTree(context, choices) for context, choices in chunk]
        begin = time.perf_counter()
        features = model.features(trees)
        trunk["seconds"] += time.perf_counter() - begin
        trunk["tokens"] += tokens_read(trees)
        scores.append(model.log_likelihoods(features, [None] * n_heads)[-1])
    return np.concatenate(scores), trunk


def tokens_read(trees: Sequence[Any]) -> int:
    """Return how many tokens the trunk reads: what trees share once, and no padding."""
    from likra_lite.engine.forward import LONGEST, TOKEN_BUDGET
    from likra_lite.engine.prefixes import plan
    from likra_lite.engine.trees import row_lengths

    total = 0
    branches = [plan(trees, TOKEN_BUDGET // 2, LONGEST * TOKEN_BUDGET)]
    for branch in branches:
        total += branch.stop - branch.start + sum(row_lengths(trees, branch.groves, branch.stop))
        branches.extend(branch.branches)
    return total


class LikraLite(Engine):
    """likra-lite in float32 with its defaults: token trees, then the base model's head.

    Timed from token ids to scores, the building of trees included.
    """

    name = "likra-lite-fp32"
    one_row_per_choice = False
    n_heads = 1

    @property
    def folder(self) -> Path:
        """Where the converted checkpoint is."""
        return self.float32_folder

    @property
    def float32_folder(self) -> Path:
        """Where the export in float32 is."""
        return self.checkpoint.converted / LikraLite.name

    def prepare(self) -> None:
        """Convert the checkpoint, unless that has been done."""
        from likra_lite.export import export_model

        made_once(self.float32_folder, lambda out: export_model(self.checkpoint.folder, out))

    def load(self) -> None:
        """Open the model."""
        from likra_lite import LanguageModel

        self.model = LanguageModel(self.folder, n_threads=self.threads)

    def batchings(self, items: Sequence[Item]) -> list[None]:
        """Return the one setting there is: likra-lite chooses its batches itself."""
        return [None]

    def score(self, items: Sequence[Item], batching: None) -> FloatArray:
        """Return the log-likelihood of every choice; what items share is read in every pass."""
        self.model._open().trunk.forget()
        scores, self.trunk = score_trees(self.model, items, self.n_heads)
        return scores


class LikraLiteTwoHeads(LikraLite):
    """The same under two heads, as the mode ``likra`` needs."""

    name = "likra-lite-fp32-2-heads"
    n_heads = 2


class LikraLiteInt8(LikraLite):
    """likra-lite on its own quantisation to int8, else with its defaults."""

    name = "likra-lite-int8"

    @property
    def folder(self) -> Path:
        """Where the converted checkpoint is."""
        return self.checkpoint.converted / self.name

    def prepare(self) -> None:
        """Convert the checkpoint, unless that has been done."""
        try:
            from likra_lite.export import quantize_model
        except ImportError:
            raise Unavailable("this version of likra-lite has no quantize_model") from None
        super().prepare()
        made_once(self.folder, lambda out: quantize_model(self.float32_folder, out))


REFERENCE = PyTorch.name
ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (
        PyTorch,
        PyTorchBfloat16,
        Harness,
        CTranslate2,
        CTranslate2Int8,
        Optimum,
        LikraLite,
        LikraLiteTwoHeads,
        LikraLiteInt8,
    )
}
