"""Which tokens decide: each token's part in the margin between two choices, and the length's."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import WIDTH, layout
from .decision import LinearDecision
from .explain import ChoiceExplanation, Explanation

__all__ = ["Margin", "margin_of", "margin_text"]

TOKEN = 18  # characters of a token
MOST = 3  # tokens named as deciding
TIMES = 10.0  # a part that is so many times the margin is not told as a share of it

FloatArray = NDArray[np.float64]


class Contribution(NamedTuple):
    """What the score of a choice is made of.

    Attributes
    ----------
    tokens : ndarray of shape (n_tokens,)
        Each token's part.
    length : float
        What the length adds.
    weights : sequence of float
        What a nat is worth under each head.
    """

    tokens: FloatArray
    length: float
    weights: Sequence[float]


@dataclass(frozen=True)
class Margin:
    """How far the chosen answer is ahead of its rival, and which tokens make that up.

    Attributes
    ----------
    chosen : int
        The predicted choice.
    rival : int
        The right choice where the prediction is wrong, else the one that comes second.
    value : float
        Difference of their scores.
    contributions : list of Contribution, or None
        For every choice, what its score is made of; None if the decision reads the
        neutral context and the choice has other tokens there.
    shares : dict of int to ndarray of shape (n_tokens,)
        For the chosen answer and its rival, each token's part in the margin. A rival's token
        that is unlikely under the score counts for the chosen answer. Tokens with which both
        begin count 0: they cancel, unless what a nat is worth depends on the length or the
        choices complete different texts. Empty if the margin is 0 or there are no contributions.
    length_shares : dict of int to float
        Their lengths' parts in the margin; all shares together sum to 1.
    """

    chosen: int
    rival: int
    value: float
    contributions: list[Contribution] | None
    shares: Mapping[int, FloatArray]
    length_shares: Mapping[int, float]

    @property
    def column(self) -> str:
        """What the column of parts is called: ``share``, or ``ahead`` where shares say nothing."""
        parts = [*self.length_shares.values(), *np.concatenate([[0.0], *self.shares.values()])]
        return "share" if max(map(abs, parts)) < TIMES else "ahead"

    def told(self, share: float) -> str:
        """Return a part of the margin as a share, or near a tie in points of the score."""
        return f"{share:+.0%}" if self.column == "share" else f"{share * self.value:+.3f}"


def _contribution(choice: ChoiceExplanation, decision: LinearDecision) -> Contribution:
    lengths = {name: np.array([length]) for name, length in choice.lengths.items()}
    weights, offset = decision.coefficients(lengths)
    parts = [weight[0] * choice.log_probs[head] for head, weight in weights.items()]
    return Contribution(np.sum(parts, axis=0), float(offset[0]), [w[0] for w in weights.values()])


def margin_of(explanation: Explanation) -> Margin:
    """Return the margin of an explained item.

    Parameters
    ----------
    explanation : Explanation
        See :func:`likra_lite.scoring.explain.explain_item`.

    Returns
    -------
    Margin
    """
    scores = np.array([choice.score for choice in explanation.choices])
    chosen, right = explanation.prediction, explanation.item.answer
    order = [index for index in np.argsort(-scores, kind="stable").tolist() if index != chosen]
    rival = order[0] if right is None or right == chosen else right
    value = float(scores[chosen] - scores[rival])
    heads = explanation.decision.heads
    if any(head not in choice.log_probs for choice in explanation.choices for head in heads):
        return Margin(chosen, rival, value, None, {}, {})
    parts = [_contribution(choice, explanation.decision) for choice in explanation.choices]
    if value == 0:
        return Margin(chosen, rival, value, parts, {}, {})
    shares = {chosen: parts[chosen].tokens / value, rival: -parts[rival].tokens / value}
    lengths = {chosen: parts[chosen].length / value, rival: -parts[rival].length / value}
    alike = parts[chosen].weights == parts[rival].weights
    if alike and _complete_one_text(explanation):
        pairs = zip(*(explanation.choices[index].tokens for index in shares), strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        for share in shares.values():
            share[:shared] = 0.0
    return Margin(chosen, rival, value, parts, shares, lengths)


def margin_text(explanation: Explanation) -> str:
    """Return tables of tokens, no wider than a terminal, and which tokens decide.

    Parameters
    ----------
    explanation : Explanation
    """
    margin = margin_of(explanation)
    item = explanation.item
    lines = [
        *textwrap.wrap(f"{item.context or ''} {item.question}".strip(), WIDTH),
        str(explanation.decision),
    ]
    for index, choice in enumerate(explanation.choices):
        lines += ["", *_choice_lines(explanation, margin, index, choice)]
    return "\n".join([*lines, "", *_verdict(explanation, margin)])


def _choice_lines(
    explanation: Explanation, margin: Margin, index: int, choice: ChoiceExplanation
) -> list[str]:
    marks = ["chosen"] * (index == margin.chosen) + ["right"] * (index == explanation.item.answer)
    note = f" ({', '.join(marks)})" if marks else ""
    title = (
        f"[{index}] {explanation.item.text_of(index)}{note}: score {choice.score:.3f}, "
        f"probability {choice.probability:.3f}"
    )
    lines = textwrap.wrap(title, WIDTH, subsequent_indent="    ")
    used = {"base", *explanation.decision.heads}
    heads = [head for head in choice.log_probs if head in used or head in ("positive", "negative")]
    rows, columns = [_shortened(token) for token in choice.tokens], choice.columns(heads)
    part = None if margin.contributions is None else margin.contributions[index]
    shares = margin.shares.get(index)
    nothing = [""] * len(rows)
    columns["score"] = nothing[:] if part is None else [f"{each:.3f}" for each in part.tokens]
    columns[margin.column] = nothing[:] if shares is None else list(map(margin.told, shares))

    def add(name: str, cells: Sequence[str]) -> None:
        rows.append(name)
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)

    if part is not None and part.length:
        share = "" if shares is None else margin.told(margin.length_shares[index])
        add("(length)", [*([""] * len(heads)), f"{part.length:.3f}", share])
    sums = [f"{choice.log_likelihoods[head]:.3f}" for head in heads]
    total = "" if shares is None else margin.told(shares.sum() + margin.length_shares[index])
    add("sum", [*sums, f"{choice.score:.3f}", total])
    return [*lines, textwrap.indent(layout(rows, columns, "token"), "    ")]


def _complete_one_text(explanation: Explanation) -> bool:
    return len(set(explanation.item.contexts or ())) <= 1


def _shortened(token: str) -> str:
    shown = repr(token)
    return shown if len(shown) < TOKEN else f"{shown[: TOKEN - 4]}..."


def _verdict(explanation: Explanation, margin: Margin) -> list[str]:
    right = explanation.item.answer
    against = "the right" if right not in (None, margin.chosen) else "the second"
    text = f"[{margin.chosen}] is {margin.value:.3f} ahead of {against}, [{margin.rival}]"
    if not margin.shares:
        reason = "a tie" if margin.value == 0 else "its parts cannot be told token by token"
        return [f"{text}: {reason}"]
    parts = [
        (float(share), f"{token!r} in [{index}]")
        for index, shares in margin.shares.items()
        for share, token in zip(shares, explanation.choices[index].tokens, strict=True)
    ]
    parts.append((sum(margin.length_shares.values()), "length"))
    ranked = sorted(parts, key=lambda part: -abs(part[0]))
    named = ", ".join(f"{name} ({margin.told(share)})" for share, name in ranked[:MOST] if share)
    if margin.column == "ahead":
        text += ", nearly a tie"
    return textwrap.wrap(f"{text}. What decides most: {named}", WIDTH)
