"""A score does not depend on what else is scored."""

from __future__ import annotations

import numpy as np
import pytest

from likra_lite import Item, LanguageModel, read_items
from likra_lite.engine.head import OutputMatrix
from likra_lite.engine.trees import TokenTree
from likra_lite.errors import LikraError, TruncationWarning
from likra_lite.prompts import Prompt, as_prompt
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.scorer import ChoiceScorer


def scorer_with_heads(folder) -> ChoiceScorer:
    model = LanguageModel(folder)
    rng = np.random.default_rng(0)
    size = model.hidden_size
    fitted = {
        head: OutputMatrix(rng.normal(scale=0.02, size=(size, size)).astype(np.float32))
        for head in ("positive", "negative")
    }
    return ChoiceScorer(model, as_prompt("question"), fitted)


def assert_independent(scorer: ChoiceScorer, items: list[Item]) -> None:
    whole = scorer.table(items)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(items))
    variants = [
        (order, scorer.table([items[i] for i in order])),
        (order[: len(items) // 3], scorer.table([items[i] for i in order[: len(items) // 3]])),
        (np.array([5]), scorer.table([items[5]])),
    ]
    for budget in (1, 100, 4096):
        trees, _ = scorer.model.encoder.trees(scorer.pairs(items))
        features = scorer.model.features(trees, token_budget=budget)
        scores = scorer.model.log_likelihoods(features, [None])[0]
        np.testing.assert_allclose(scores, whole.heads["base"], atol=1e-4)
    for chosen, table in variants:
        expected = whole.take(chosen)
        for head, column in expected.heads.items():
            np.testing.assert_allclose(table.heads[head], column, atol=1e-4, err_msg=head)
        for mode in ("base", "pmi", "likra"):
            decision = Decision(mode)
            assert decision.predict(table).tolist() == decision.predict(expected).tolist()


def test_scores_do_not_depend_on_batch_order_or_subset(model_folder, items):
    assert_independent(scorer_with_heads(model_folder), items)


def test_scores_do_not_depend_on_batch_order_or_subset_on_arc_easy(tinystories, shared_data):
    items = read_items(shared_data / "arc_easy" / "official" / "test.jsonl")[:200]
    assert_independent(scorer_with_heads(tinystories), items)


def test_head_equals_a_softmax_in_numpy(model, items):
    rng = np.random.default_rng(0)
    size = model.hidden_size
    deltas = rng.normal(scale=0.1, size=(3, size, size)).astype(np.float32)
    trees, _ = model.encoder.trees(ChoiceScorer(model, as_prompt("question")).pairs(items[:5]))
    features = model.features(trees)
    result = model.token_log_probs(features, [OutputMatrix(delta) for delta in deltas])
    weight = model.projection.weight.astype(float)
    for k, delta in enumerate(deltas):
        hidden = features.hidden.astype(float)
        logits = (hidden + hidden @ delta) @ weight.T
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(result[k], logits[features.rows, features.targets], atol=1e-4)


def test_small_head_chunks_change_nothing(model, items, monkeypatch):
    trees, _ = model.encoder.trees(ChoiceScorer(model, as_prompt("question")).pairs(items))
    features = model.features(trees)
    expected = model.token_log_probs(features, [None])
    monkeypatch.setattr("likra_lite.engine.onnx.LOGIT_BYTES", 4 * 400 * 3)
    np.testing.assert_allclose(model.token_log_probs(features, [None]), expected, atol=1e-5)


def test_streaming_in_chunks_equals_one_table(model, items, monkeypatch):
    scorer = ChoiceScorer(model, as_prompt("question"))
    expected = scorer.table(items)
    monkeypatch.setattr("likra_lite.scoring.chunk.MOST", 7)
    monkeypatch.setattr("likra_lite.scoring.chunk.LEAST", 7)
    parts = list(scorer.stream(iter(items)))
    assert [len(part.items) for part in parts] == [7] * 6 + [6]
    table = scorer.table(items)
    for head, column in expected.heads.items():
        np.testing.assert_allclose(table.heads[head], column, atol=1e-5)
    for name in ("n_tokens", "n_chars", "n_bytes", "offsets"):
        np.testing.assert_array_equal(getattr(table, name), getattr(expected, name))


def test_lengths(model):
    item = Item("Which?", ("naïve café", "tea"))
    table = ChoiceScorer(model, as_prompt("question")).table([item], ["base"])
    assert table.n_chars.tolist() == [10, 3]
    assert table.n_bytes.tolist() == [12, 3]
    encode = model.encoder.tokenizer.encode
    context = encode("\n\nQuestion: Which?\nAnswer:").ids
    whole = [encode(f"\n\nQuestion: Which?\nAnswer: {choice}").ids for choice in item.choices]
    assert table.n_tokens.tolist() == [len(ids) - len(context) for ids in whole]


def test_neutral_is_the_answer_without_the_question(model, items):
    scorer = ChoiceScorer(model, Prompt("Q: {question} A:"))
    assert scorer.prompt.neutral_context == " A:"
    table = scorer.table(items[:3])
    for item, values in zip(items[:3], table.split(table.heads["neutral"]), strict=True):
        pairs = [(" A:", [" " + choice for choice in item.choices])]
        trees, _ = model.encoder.trees(pairs)
        expected = model.log_likelihoods(model.features(trees), [None])[0]
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_features_take_equals_scoring_the_chosen_continuations(model):
    trees = [TokenTree([3, 4, 5], [[6, 7], [8], [6, 9, 10]]), TokenTree([3], [[4, 4]])]
    features = model.features(trees)
    whole = model.log_likelihoods(features, [None])[0]
    chosen = np.array([3, 0, 2])
    part = model.log_likelihoods(features.take(chosen), [None])[0]
    np.testing.assert_allclose(part, whole[chosen], atol=1e-5)


def test_truncation_warns_once_with_the_count(model):
    items = [Item("the soil " * 2000, ("water", "ice")), Item("Short?", ("yes", "no"))]
    with pytest.warns(TruncationWarning, match=r"1 of 2 contexts exceed the model's 1024 tokens"):
        ChoiceScorer(model, as_prompt("question")).table(items, ["base"])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("no question here", "with {question} once"),
        ("{question} {question}", "with {question} once"),
        ("{question} {other}", "with {question} once"),
        ("{question", "is not a template"),
        ("", "with {question} once"),
        ("{question:s} A:", "take no format"),
        ("{question!s} A:", "take no format"),
        (7, "type int"),
    ],
)
def test_bad_prompts(template, message):
    with pytest.raises(LikraError, match=message):
        as_prompt(template)


def test_examples_stand_before_the_template():
    items = [Item("Why {so}?", ("a", "b"), 1), Item("Who?", ("c", "d"), 0)]
    asked = Item("What?", ("e", "f"))
    shown = as_prompt("question").with_examples(items)
    assert shown.context(asked) == (
        "\n\nQuestion: Why {so}?\nAnswer: b"
        "\n\nQuestion: Who?\nAnswer: c"
        "\n\nQuestion: What?\nAnswer:"
    )
    assert shown.neutral_context == as_prompt("question").neutral_context
    told = as_prompt("completion").with_examples(items[:1])
    assert told.context(asked) == "\n\nWhy {so}? b\n\nWhat?"
    with pytest.raises(LikraError, match="has no answer"):
        shown.with_examples([asked])


def test_passages_stand_before_their_own_question():
    examples = [Item("Who?", ("c", "d"), 0, context="It rained.")]
    asked = Item("What?", ("e", "f"), context="It snowed.")
    assert as_prompt("question").with_examples(examples).context(asked) == (
        "\n\nIt rained.\n\nQuestion: Who?\nAnswer: c\n\nIt snowed.\n\nQuestion: What?\nAnswer:"
    )
    assert as_prompt("completion").with_examples(examples).context(asked) == (
        "\n\nIt rained. Who? c\n\nIt snowed. What?"
    )
    assert Prompt("\n{context}\nQ: {question}").with_examples(examples).context(asked) == (
        "\nIt rained.\nQ: Who? c\nIt snowed.\nQ: What?"
    )


def test_context_stands_before_the_question_or_where_the_template_says():
    item = Item("Why {so}?", ("a", "b"), context="It rained.")
    assert as_prompt("completion").context(item) == "It rained. Why {so}?"
    assert Prompt("\nQ: {question}").context(item) == "It rained.\nQ: Why {so}?"
    assert Prompt("{{x}} {question} {{y}}").neutral_context == " {y}"
    assert Prompt("[{context}] {question}").context(item) == "[It rained.] Why {so}?"


def test_letters_stand_for_the_choices():
    asked = Item("Who?", ["a cat", "a dog", "a hen"], 2)
    prompt = as_prompt("letters")
    shown = "\n\nQuestion: Who?\nA. a cat\nB. a dog\nC. a hen\nAnswer:"
    assert prompt.context(asked) == shown
    assert prompt.continuations(asked.choices) == [" A", " B", " C"]
    assert prompt.with_examples([asked]).context(asked) == f"{shown} C{shown}"
    with pytest.raises(LikraError, match="have no letter"):
        prompt.borrowed(asked, "a fox")
    many = prompt.continuations(["x"] * 28)
    assert many[25:] == [" Z", " AA", " AB"]
