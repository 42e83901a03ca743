"""Independent references: PyTorch one choice at a time, and plain Python loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from checkpoints import DRAWN_AS, RECORDED, WHY_NOT, WITH_PYTORCH, records

from likra_lite import Item, LanguageModel
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer


class TorchScorer:
    """Log-likelihoods from the checkpoint itself, one choice at a time, in float32."""

    def __init__(self, checkpoint: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModelForCausalLM.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    def encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Return context and continuation ids by lm-evaluation-harness's boundary rule."""
        spaces = len(context) - len(context.rstrip())
        if spaces:
            continuation = context[-spaces:] + continuation
            context = context[:-spaces]
        whole = self.tokenizer.encode(context + continuation, add_special_tokens=False)
        head = self.tokenizer.encode(context, add_special_tokens=False)
        bare = self.tokenizer.encode("x", add_special_tokens=False)
        full = self.tokenizer.encode("x")
        prefix = full[: full.index(bare[0])]
        return (prefix + head) or [self.tokenizer.bos_token_id], whole[len(head) :]

    def log_prob(self, context: list[int], continuation: list[int]) -> float:
        """Return the log-likelihood of one continuation, in nats."""
        torch = self.torch
        with torch.no_grad():
            logits = self.model(torch.tensor([context + continuation])).logits[0, :-1]
        log_probs = logits[len(context) - 1 :].double().log_softmax(-1)
        return float(log_probs.gather(1, torch.tensor(continuation)[:, None]).sum())

    def choices(self, context: str, answers: Sequence[str]) -> np.ndarray:
        """Return the log-likelihood of every answer."""
        return np.array([self.log_prob(*self.encode(context, " " + answer)) for answer in answers])


def pytorch_scores(checkpoint: Path, items: Sequence[Item]) -> np.ndarray:
    """Return PyTorch's log-likelihoods of all choices, where it is missing those recorded of it.

    There, tests of checkpoints or items that were not recorded are skipped.
    """
    recorded = _recorded_scores(checkpoint, items)
    if WITH_PYTORCH:
        prompt, scorer = as_prompt("question"), TorchScorer(checkpoint)
        scores = [scorer.choices(prompt.context(item), item.choices) for item in items]
        if recorded is not None:
            np.testing.assert_allclose(np.concatenate(scores), recorded, rtol=0, atol=1e-4)
        return np.concatenate(scores)
    if recorded is None:
        pytest.skip(WHY_NOT)
    return recorded


def _recorded_scores(checkpoint: Path, items: Sequence[Item]) -> np.ndarray | None:
    named = checkpoint / DRAWN_AS
    if not RECORDED.is_file() or not named.is_file():
        return None
    record = records()["checkpoints"].get(named.read_text())
    questions = records()["questions"]
    if record is None or not {item.question for item in items} <= {*questions}:
        return None
    return np.concatenate([record["scores"][questions.index(item.question)] for item in items])


def difference(checkpoint: Path, folder: Path, items: Sequence[Item]) -> float:
    """Return how far a model folder's scores are from PyTorch's at most, in nats."""
    table = ChoiceScorer(LanguageModel(folder), as_prompt("question")).table(items, ["base"])
    return float(np.abs(table.heads["base"] - pytorch_scores(checkpoint, items)).max())
