"""Parts of a margin, token by token, and the words for them: small cases, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item
from likra_lite.scoring.columns import WIDTH
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.explain import ChoiceExplanation, Explanation
from likra_lite.scoring.fitted import FittedDecision
from likra_lite.scoring.margin import margin_of, margin_text

TOKENS = [[" the", " cat"], [" the", " dog", "s"], [" fish"]]
BASE = [[-1.0, -2.0], [-1.5, -3.0, -0.5], [-4.0]]
NEGATIVE = [[-2.0, -5.0], [-2.0, -1.0, -1.0], [-1.0]]


def explain(decision, answer=0, base=None, negative=None, contexts=None) -> Explanation:
    """Explain an item whose log-probabilities are given, as the decision scores it."""
    base, negative = base or BASE, negative or NEGATIVE
    texts = ["".join(tokens).strip() for tokens in TOKENS]
    item = Item("Who purrs?", tuple(texts), answer, contexts=contexts)
    scores, choices = [], []
    for tokens, text, one, other in zip(TOKENS, texts, base, negative, strict=True):
        logs = {"base": np.array(one), "negative": np.array(other), "positive": np.array(one) / 2}
        sums = {head: float(values.sum()) for head, values in logs.items()}
        sums["neutral"] = -9.0
        lengths = {"chars": len(text), "bytes": len(text), "tokens": len(tokens)}
        weights, offset = decision.coefficients({n: np.array([x]) for n, x in lengths.items()})
        scores.append(float(offset[0] + sum(w[0] * sums[head] for head, w in weights.items())))
        choices.append(ChoiceExplanation(text, [*tokens], logs, sums, lengths, scores[-1], 0.25))
    return Explanation(item, decision, int(np.argmax(scores)), choices)


def test_shares_of_a_plain_ratio():
    margin = margin_of(explain(Decision("base")))
    assert (margin.chosen, margin.rival, margin.value) == (0, 2, 1.0)
    assert margin.shares[0].tolist() == [-1.0, -2.0]
    assert margin.shares[2].tolist() == [4.0]
    assert margin.length_shares == {0: 0.0, 2: 0.0}
    assert [part.tokens.tolist() for part in margin.contributions] == BASE
    assert [part.weights for part in margin.contributions] == [[1.0]] * 3


def test_the_rival_is_the_right_choice_where_the_chosen_is_wrong():
    margin = margin_of(explain(Decision("base"), answer=1))
    assert (margin.chosen, margin.rival, margin.value) == (0, 1, 2.0)
    # " the" is in both, and cancels.
    assert margin.shares[0].tolist() == [0.0, -1.0]
    assert margin.shares[1].tolist() == [0.0, 1.5, 0.25]
    assert margin_of(explain(Decision("base"), answer=None)).rival == 2
    assert margin_of(explain(Decision("base"), answer=2)).rival == 2


def test_the_first_of_equals_comes_second():
    base = [[-1.0, -2.0], [-1.0, -2.0, -1.0], [-4.0]]
    assert margin_of(explain(Decision("base"), base=base)).rival == 1


def test_what_both_begin_with_counts_where_a_nat_is_worth_more_in_one():
    """Per character, and where the choices complete different texts."""
    margin = margin_of(explain(Decision("base", normalization="chars"), answer=0))
    value = -3.0 / 7 + 4.0 / 4 if margin.rival == 2 else -3.0 / 7 + 5.0 / 8
    assert margin.value == pytest.approx(value)
    apart = margin_of(explain(Decision("base"), answer=1, contexts=("At", "In", "On")))
    assert apart.shares[0].tolist() == [-0.5, -1.0]
    alike = margin_of(explain(Decision("base"), answer=1, contexts=("At", "At", "At")))
    assert alike.shares[0].tolist() == [0.0, -1.0]
    per = margin_of(explain(FittedDecision({"base": 1.0, "base/chars": 1.0}), answer=1))
    weight = 1 + 1 / len("the cat")
    assert per.shares[0][0] == pytest.approx(-weight / per.value)


def test_shares_of_two_heads_and_of_lengths():
    decision = FittedDecision({"base": 1.0, "negative": -0.5, "chars": 0.25})
    margin = margin_of(explain(decision))
    parts = margin.contributions
    assert parts[0].tokens.tolist() == [0.0, 0.5]
    assert parts[1].tokens.tolist() == [-0.5, -2.5, 0.0]
    assert [part.length for part in parts] == [0.25 * 7, 0.25 * 8, 0.25 * 4]
    assert parts[0].weights == [1.0, -0.5]
    assert (margin.chosen, margin.rival) == (0, 1)
    assert margin.value == pytest.approx(2.25 + 1.0)
    assert margin.length_shares == pytest.approx({0: 1.75 / 3.25, 1: -2.0 / 3.25})
    assert margin.shares[1] == pytest.approx(np.array([0.0, 2.5, 0.0]) / 3.25)


def test_no_shares_of_a_tie_or_without_tokens():
    base = [[-1.0, -3.0], [-1.5, -3.0, -0.5], [-4.0]]
    tie = margin_of(explain(Decision("base"), base=base))
    assert (tie.value, tie.shares, tie.length_shares) == (0.0, {}, {})
    assert len(tie.contributions) == 3
    assert "0.000 ahead of the second, [2]: a tie" in margin_text(
        explain(Decision("base"), base=base)
    )
    untold = explain(Decision("pmi"))
    margin = margin_of(untold)
    assert (margin.contributions, margin.shares, margin.length_shares) == (None, {}, {})
    said = " ".join(margin_text(untold).split())
    assert "its parts cannot be told token by token" in said


def lines_of(explanation: Explanation) -> list[list[str]]:
    return [line.split() for line in margin_text(explanation).splitlines()]


def test_text_of_a_plain_ratio():
    lines = [" ".join(line) for line in lines_of(explain(Decision("base"), answer=1))]
    assert lines[:-2] == [
        "Who purrs?",
        "mode base, normalization none",
        "",
        "[0] the cat (chosen): score -3.000, probability 0.250",
        "token base negative positive score share",
        "' the' -1.000 -2.000 -0.500 -1.000 +0%",
        "' cat' -2.000 -5.000 -1.000 -2.000 -100%",
        "sum -3.000 -7.000 -1.500 -3.000 -100%",
        "",
        "[1] the dogs (right): score -5.000, probability 0.250",
        "token base negative positive score share",
        "' the' -1.500 -2.000 -0.750 -1.500 +0%",
        "' dog' -3.000 -1.000 -1.500 -3.000 +150%",
        "'s' -0.500 -1.000 -0.250 -0.500 +25%",
        "sum -5.000 -4.000 -2.500 -5.000 +175%",
        "",
        "[2] fish: score -4.000, probability 0.250",
        "token base negative positive score share",
        "' fish' -4.000 -1.000 -2.000 -4.000",
        "sum -4.000 -1.000 -2.000 -4.000",
        "",
    ]
    assert " ".join(lines[-2:]) == (
        "[0] is 2.000 ahead of the right, [1]. What decides most: ' dog' in [1] (+150%), "
        "' cat' in [0] (-100%), 's' in [1] (+25%)"
    )


def test_text_tells_of_lengths():
    explanation = explain(FittedDecision({"base": 1.0, "negative": -0.5, "chars": 0.25}))
    lines = lines_of(explanation)
    assert ["(length)", "1.750", "+54%"] in lines
    assert ["(length)", "1.000"] in lines, "neither the chosen one nor its rival"
    assert ["sum", "-3.000", "-7.000", "-1.500", "2.250", "+69%"] in lines
    said = " ".join(word for line in lines for word in line)
    assert said.endswith("(+77%), ' cat' in [0] (+15%), length (-8%)")


def test_long_tokens_are_cut():
    explanation = explain(Decision("base"))
    explanation.choices[0].tokens[:] = ["x" * 15, "y" * 16]
    text = margin_text(explanation)
    assert f"    '{'x' * 15}' " in text, "17 characters with their quotes"
    assert f"    '{'y' * 13}... " in text, "18"
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_three_parts_are_named():
    said = " ".join(margin_text(explain(Decision("base"), answer=1, negative=NEGATIVE)).split())
    assert said.count("%)") == 3
    base = [[-1.5, -1.0], [-3.0, -3.0, -0.5], [-4.0]]
    contexts = ("At", "In", "On")
    said = margin_text(explain(Decision("base"), answer=1, base=base, contexts=contexts))
    assert said.count("%)") == 3, "of five that are not 0"


@pytest.mark.parametrize(("value", "column"), [(0.5, "ahead"), (0.5625, "share")])
def test_parts_of_a_small_margin_are_told_in_points(value, column):
    """From ten times the margin on: here 5 of .5, and 5 of .5625."""
    base = [[-2.0, value - 3.0], [-2.0, -9.0, -0.5], [-5.0]]
    explanation = explain(Decision("base"), base=base)
    margin = margin_of(explanation)
    assert margin.value == value
    assert margin.column == column
    text = " ".join(margin_text(explanation).split())
    assert f"positive score {column} " in text
    assert ("ahead of the second, [2], nearly a tie. What" in text) == (column == "ahead")
    told = {"ahead": "+5.000", "share": "+889%"}[column]
    assert f"-5.000 {told} sum" in text
    assert f"most: ' fish' in [2] ({told})," in text
