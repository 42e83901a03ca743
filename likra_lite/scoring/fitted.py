"""A decision with fitted weights: a softmax over what the heads and the lengths say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LikraError
from .decision import Coefficients, LinearDecision
from .lengths import LENGTHS
from .modes import HEADS
from .table import LogLikelihoods

__all__ = ["PER", "FittedDecision", "feature_names", "features_of"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LENGTH_FEATURES = ("tokens", "chars")  # of the lengths, those that scores may lean on
STEP = 10  # characters, to tell what length does
PER = "/chars"  # ends the name of a log-likelihood per character


def feature_names(heads: Sequence[str]) -> tuple[str, ...]:
    """Return what is weighed where there are these heads.

    Every head's log-likelihood and log-likelihood per character, so that each mode, raw and per
    character and with any alpha, is a special case; and the numbers of tokens and characters.
    """
    return (*heads, *(head + PER for head in heads), *LENGTH_FEATURES)


def features_of(table: LogLikelihoods, names: Sequence[str]) -> FloatArray:
    """Return the features of every choice, of shape (n_choices, n_features)."""
    return np.stack([FittedDecision({name: 1.0}).scores(table) for name in names], axis=1)


@dataclass(frozen=True)
class FittedDecision(LinearDecision):
    """A weighted sum of log-likelihoods and lengths, whose softmax is the probability.

    Parameters
    ----------
    weights : dict of str to float
        By feature, see :func:`feature_names`: of log-likelihoods in nats, of log-likelihoods per
        character, and of lengths.
    typical : dict of str to float, optional
        Log-likelihoods under the heads and lengths of a typical choice: what tells what the
        weights mean there. No score depends on it.

    Raises
    ------
    LikraError
        If a weight is not finite, or of something else.
    """

    weights: Mapping[str, float]
    typical: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {*HEADS, *(head + PER for head in HEADS), *LENGTHS}
        for name, value in (*self.weights.items(), *self.typical.items()):
            if name not in known or not np.isfinite(value):
                raise LikraError(f"got a weight {name}={value!r}; expected a finite one of a head")

    @property
    def name(self) -> str:
        """``auto``: no mode has a name for it."""
        return "auto"

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        return asdict(self)

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that are read."""
        heads = (name.removesuffix(PER) for name in self.weights if name not in LENGTHS)
        return tuple(dict.fromkeys(heads))

    def coefficients(self, lengths: Mapping[str, IntArray]) -> Coefficients:
        """Return each head's weight, which may depend on the characters, and the lengths' part."""
        length = np.zeros(len(lengths["chars"]))
        heads = {head: length.copy() for head in self.heads}
        for name, weight in self.weights.items():
            if name in LENGTHS:
                length += weight * lengths[name]
            elif name.endswith(PER):
                heads[name.removesuffix(PER)] += weight / lengths["chars"]
            else:
                heads[name] += weight
        return Coefficients(heads, length)

    @property
    def per_nat(self) -> dict[str, float]:
        """What a nat under each head is worth in a choice of typical length, in log-odds."""
        lengths = {name: np.array([max(1, round(self.typical.get(name, 1)))]) for name in LENGTHS}
        return {name: float(w[0]) for name, w in self.coefficients(lengths).heads.items()}

    @property
    def per_length(self) -> float:
        """What :data:`STEP` more characters are worth to a typical choice, in log-odds.

        With as many more tokens in proportion, and the same log-likelihoods.
        """
        chars = self.typical.get("chars", 1.0)
        longer = {name: self.typical.get(name, 1.0) * (1 + STEP / chars) for name in LENGTHS}
        score = 0.0
        for lengths, sign in ((longer, 1.0), (self.typical, -1.0)):
            at = {name: np.array([lengths.get(name, 1.0)]) for name in LENGTHS}
            weights, offset = self.coefficients(at)
            nats = {head: self.typical.get(head, 0.0) for head in weights}
            score += sign * float(offset[0] + sum(w[0] * nats[h] for h, w in weights.items()))
        return score

    @property
    def alphas(self) -> dict[str, float]:
        """For each head that speaks against a choice, its weight relative to those that speak for.

        Of the negative head it is what alpha is in the mode ``likra``; of the neutral context, how
        far the weights go from ``base`` to ``pmi``. Empty if no head speaks for a choice.
        """
        weights = self.per_nat
        plus = sum(weights.get(head, 0.0) for head in ("base", "positive"))
        minus = [head for head in ("neutral", "negative") if head in weights]
        return {head: -weights[head] / plus for head in minus} if plus > 0 else {}

    def in_words(self) -> list[str]:
        """Return lines that tell what the weights mean for a choice of typical length."""
        chars = round(self.typical.get("chars", 1.0))
        lines = [f"weights are log-odds per nat, for a choice of {chars} characters"]
        meanings = {
            "neutral": ("neutral context", "0 is base and 1 is pmi"),
            "negative": ("negative head", "0 is sft and 1 is likra"),
        }
        lines += [
            f"alpha of the {meanings[head][0]}: {alpha:.2f} ({meanings[head][1]})"
            for head, alpha in self.alphas.items()
        ]
        return [*lines, f"{STEP} characters more, at the same likelihoods: {self.per_length:+.2f}"]

    def __str__(self) -> str:
        """Return, for example, ``mode auto: 0.43 base - 0.20 neutral + 0.12 per 10 characters``."""
        terms = [(weight, head) for head, weight in self.per_nat.items()]
        terms.append((self.per_length, f"per {STEP} characters"))
        text = " ".join(f"{'-' if w < 0 else '+'} {abs(w):.2f} {name}" for w, name in terms)
        return f"mode auto: {text.removeprefix('+ ')}"
