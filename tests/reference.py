"""Independent references: PyTorch one choice at a time, and plain Python loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


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
