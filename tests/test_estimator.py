"""The scikit-learn contract, and what is particular to this estimator."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from likra_lite import Item, LanguageModel, LikraClassifier, as_items
from likra_lite.datasets import load_demo
from likra_lite.engine.head import OutputMatrix
from likra_lite.errors import (
    AbstentionWarning,
    LikraError,
    ModelFolderError,
    OverlapWarning,
    RatioWarning,
)
from likra_lite.heads.folds import fold_of_items
from likra_lite.heads.output import fit_output_matrix
from likra_lite.scoring.modes import MODES

CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_estimator_repr",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_requires_y_none",
    "check_estimators_unfitted",
]

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")


@pytest.fixture(scope="module")
def fitted(model_folder, items) -> LikraClassifier:
    """A Likra with all heads. Do not change it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioWarning)
        return LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0).fit(items)


def answers(items: list[Item]) -> np.ndarray:
    return np.array([item.answer for item in items])


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learn_check(name, model_folder):
    check = getattr(estimator_checks, name)
    check("LikraClassifier", LikraClassifier(model_folder, adapter="output"))


def test_fit_leaves_parameters_and_items_alone(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra")
    before = classifier.get_params()
    copies = [Item(i.question, i.choices, i.answer, i.id) for i in items]
    assert classifier.fit(items) is classifier
    assert classifier.get_params() == before
    assert items == copies


def test_fit_twice_is_fit_once(model_folder, items, fitted):
    again = (
        LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0)
        .fit(items)
        .fit(items)
    )
    np.testing.assert_array_equal(again.predict_proba(items), fitted.predict_proba(items))
    other = clone(again).fit(items[:20])
    other.fit(items)
    np.testing.assert_array_equal(other.predict_proba(items), fitted.predict_proba(items))


def test_every_form_of_items_gives_the_same(model_folder, items, fitted):
    dicts = [
        {"question": i.question, "choices": list(i.choices), "answer": i.answer} for i in items
    ]
    expected = fitted.predict_proba(items)
    for X in (
        dicts,
        np.array(dicts, dtype=object),
        pd.DataFrame(dicts),
        np.array(items, dtype=object),
    ):
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)
        again = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0).fit(X)
        np.testing.assert_array_equal(again.predict_proba(items), expected)
    pairs = [(item.question, item.choices) for item in items]
    again = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0).fit(
        pairs, answers(items)
    )
    np.testing.assert_array_equal(again.predict_proba(pairs), expected)


def test_y_takes_precedence_over_the_items_answers(model_folder, items):
    y = np.zeros(len(items), int)
    classifier = LikraClassifier(model_folder, adapter="output", mode="sft").fit(items, y)
    assert classifier.held_out_y_.tolist() == y.tolist()


def test_predictions_are_consistent(items, fitted):
    proba = fitted.predict_proba(items)
    counts = np.array([len(item.choices) for item in items])
    assert fitted.classes_.tolist() == [0, 1, 2, 3, 4]
    assert proba.shape == (len(items), 5)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert (proba[np.arange(5) >= counts[:, None]] == 0.0).all(), "no choice, no probability"
    assert (proba[np.arange(5) < counts[:, None]] > 0.0).all()
    predictions = fitted.predict(items)
    assert predictions.tolist() == proba.argmax(axis=1).tolist()
    scores = fitted.score_choices(items)
    assert [len(s) for s in scores] == counts.tolist()
    assert [int(s.argmax()) for s in scores] == predictions.tolist()
    right = answers(items)
    assert fitted.score(items) == pytest.approx((predictions == right).mean())
    assert fitted.score(items, right) == fitted.score(items)


def test_not_fitted(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output")
    for call in (
        classifier.predict,
        classifier.predict_proba,
        classifier.score_choices,
        classifier.log_likelihoods,
        classifier.predict_set,
        classifier.predict_or_abstain,
        lambda X: classifier.explain(X[0]),
        lambda X: classifier.save("anywhere"),
    ):
        with pytest.raises(NotFittedError):
            call(items)


@pytest.mark.parametrize("mode", MODES)
def test_modes_score_by_their_formula(mode, model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode=mode, alpha=0.7).fit(
        items[:16]
    )
    table = classifier.log_likelihoods(items)
    heads = table.heads
    expected = {
        "base": lambda: heads["base"],
        "pmi": lambda: heads["base"] - heads["neutral"],
        "sft": lambda: heads["positive"],
        "likra": lambda: heads["positive"] - 0.7 * heads["negative"],
        "base-likra": lambda: heads["base"] - 0.7 * heads["negative"],
        "pos-base": lambda: heads["positive"] - heads["base"],
    }[mode]()
    np.testing.assert_allclose(np.concatenate(classifier.score_choices(items)), expected, atol=1e-4)
    fitted_heads = {"sft": 1, "pos-base": 1, "base-likra": 1, "likra": 2}
    assert len(classifier.scorer_.fitted) == fitted_heads.get(mode, 0)


def test_likra_learns_what_is_wrong(model_folder):
    """Wrong answers are of one kind and right ones of another: Likra finds it, base cannot."""
    things = [
        "roots",
        "soil",
        "honey",
        "wax",
        "spoons",
        "nails",
        "cups",
        "ice",
        "window",
        "teacher",
    ]
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[Item]:
        drawn = []
        for _ in range(count):
            one, two = rng.choice(things, 2, replace=False)
            choices = [f"the {one} is trouble", f"water from the {two}"]
            answer = int(rng.integers(2))
            drawn.append(Item(f"What about {one}?", choices[:: 1 if answer else -1], answer))
        return drawn

    train, test = draw(60), draw(60)
    base = LikraClassifier(model_folder, mode="base").fit(train)
    likra = LikraClassifier(
        model_folder, adapter="output", mode="likra", alpha=1.0, penalty=200.0
    ).fit(train)
    auto = LikraClassifier(model_folder, adapter="output", penalty=200.0).fit(train)
    assert likra.score(test) > 0.9
    assert auto.score(test) >= max(0.9, base.score(test))
    assert auto.decision_.per_nat["positive"] > 0, "the heads have their say"


def test_alpha_and_normalization_change_without_a_forward_pass(model_folder, items, monkeypatch):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0).fit(items)
    table = classifier.log_likelihoods(items)
    monkeypatch.setattr(LanguageModel, "_open", lambda self: pytest.fail("a session was used"))
    first = classifier.predict_proba(table)
    classifier.set_params(alpha=0.3)
    second = classifier.predict_proba(table)
    assert not np.allclose(first, second)
    classifier.set_params(alpha=1.0, normalization="chars")
    scores = np.concatenate(classifier.score_choices(table))
    heads = table.heads
    np.testing.assert_allclose(scores, (heads["positive"] - heads["negative"]) / table.n_chars)
    classifier.set_params(mode="base-likra", normalization="none")
    scores = np.concatenate(classifier.score_choices(table))
    np.testing.assert_allclose(scores, heads["base"] - heads["negative"])
    classifier.set_params(alpha="auto")
    assert classifier.decision_.mode == "base-likra"


def test_changing_to_a_mode_that_was_not_fitted(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="sft").fit(items)
    with pytest.raises(LikraError, match="no 'negative' head"):
        classifier.set_params(mode="likra").predict(items)


def test_held_out_scores_come_from_heads_that_have_not_seen_the_item(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", cv=3).fit(items)
    folds = fold_of_items(items, 3, 0)
    outside = np.flatnonzero(folds != 1)
    alone = LikraClassifier(model_folder, adapter="output", mode="sft").fit(
        [items[i] for i in outside]
    )
    inside = np.flatnonzero(folds == 1)
    expected = alone.log_likelihoods([items[i] for i in inside]).heads["positive"]
    found = classifier.held_out_.take(inside).heads["positive"]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("negatives", ["own", "other"])
def test_held_out_negatives_are_not_trained_on(negatives, model_folder, items):
    """Neither a held-out item's negatives nor, as a negative of another, its right answer."""
    classifier = LikraClassifier(
        model_folder, adapter="output", mode="base-likra", negatives=negatives, n_negatives=2, cv=2
    ).fit(items)
    scorer, drawn = classifier.scorer_, classifier.negatives_
    folds = fold_of_items(items, 2, 0)
    for fold in (0, 1):
        inside = np.flatnonzero(folds == fold)
        kept = [
            (items[i], items[j].choices[c])
            for i, j, c in zip(drawn.item, drawn.source, drawn.choice, strict=True)
            if folds[i] != fold and folds[j] != fold
        ]
        assert len(kept) < (folds[drawn.item] != fold).sum() or negatives == "own"
        pairs = [(scorer.prompt.context(item), [" " + text]) for item, text in kept]
        features = scorer.model.features(scorer.model.encoder.trees(pairs)[0])
        matrix = fit_output_matrix(features, scorer.model.projection)
        held_out = scorer.pair_scorer.features(scorer.pairs([items[i] for i in inside])).features
        expected = scorer.model.log_likelihoods(held_out, [OutputMatrix(matrix)])[0]
        found = classifier.held_out_.take(inside).heads["negative"]
        np.testing.assert_allclose(found, expected, atol=2e-2)


def test_a_borrowed_answer_does_not_cut_the_context_of_the_item(model_folder):
    long = Item("the soil " * 480, ("water", "ice"), 0)
    answer = "the roots take in water from the soil " * 8
    others = [Item(f"What {i}?", (answer + str(i), f"wax {i}"), 0) for i in range(9)]
    trained = {}
    for negatives in ("own", "other"):
        classifier = LikraClassifier(
            model_folder, adapter="output", mode="base-likra", negatives=negatives, cv=2
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            classifier.fit([long, *others])
        trained[negatives] = classifier.held_out_.heads["base"][:2]
    np.testing.assert_allclose(trained["own"], trained["other"], atol=1e-4)


def test_related_items_share_a_fold():
    rng = np.random.default_rng(0)
    items = [Item(f"q{i}", (f"a{i // 2}", f"b{i // 2}"), i % 2) for i in range(40)]
    items += [Item(f"same {i % 5}", (f"x{i}", f"y{i}"), 0) for i in range(20)]
    items += [Item(f"yes or no {i}", ("yes", "no"), 0) for i in range(30)]
    items = [items[i] for i in rng.permutation(len(items))]
    folds = fold_of_items(items, 5, 0)
    for one, other in itertools.combinations(range(len(items)), 2):
        twins = items[one].choices == items[other].choices and items[one].choices[0] != "yes"
        if twins or items[one].question == items[other].question:
            assert folds[one] == folds[other]
    common = {folds[i] for i, item in enumerate(items) if item.choices[0] == "yes"}
    assert common == {0, 1, 2, 3, 4}, "yes and no relate nothing"
    everything = fold_of_items([Item("same", (f"x{i}", "y"), 0) for i in range(10)], 5, 0)
    assert set(everything) == {0, 1, 2, 3, 4}, "a single group is no group"


def test_a_fit_that_fails_leaves_the_last_one_whole(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra").fit(items)
    before = classifier.predict_proba(items)
    with pytest.raises(LikraError, match="has no answer"):
        classifier.fit(items[:10], X_validation=[("Why?", ["a", "b"])] * 2)
    np.testing.assert_array_equal(classifier.predict_proba(items), before)
    assert classifier.n_items_ == len(items)


def test_negatives_are_not_drawn_where_none_are_needed(model_folder):
    items = [Item(f"Is it {i}?", ("yes", "no"), i % 2) for i in range(6)]
    classifier = LikraClassifier(model_folder, adapter="output", mode="sft", negatives="other").fit(
        items
    )
    assert len(classifier.negatives_) == 0


def test_validation_items_that_are_training_items(model_folder, items):
    with pytest.warns(OverlapWarning, match="4 of 10 held-out items are training items too"):
        LikraClassifier(model_folder, adapter="output", mode="sft").fit(
            items[:30], X_validation=items[26:36]
        )


def test_score_of_a_generator_and_of_a_table(items, fitted):
    assert fitted.score(item for item in items) == fitted.score(items)
    table = fitted.log_likelihoods(items)
    assert fitted.score(table, answers(items)) == pytest.approx(fitted.score(items))
    with pytest.raises(LikraError, match="hold no answers; pass y"):
        fitted.score(table)


def test_concurrent_fits_find_the_same_heads(model_folder, items):
    fits = [
        joblib.delayed(LikraClassifier(model_folder, adapter="output", mode="sft").fit)(items)
        for _ in range(3)
    ]
    first, *others = joblib.Parallel(n_jobs=3, backend="threading")(fits)
    for other in others:
        np.testing.assert_array_equal(
            other.scorer_.fitted["positive"].matrix, first.scorer_.fitted["positive"].matrix
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_worker_opens_its_own_sessions(model_folder, items, fitted, monkeypatch):
    monkeypatch.setattr("likra_lite.engine.sessions.MAX_OPEN", 1)
    expected = fitted.predict(items).tolist()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply_async(fitted.predict, (items,)).get(timeout=60)
    assert found.tolist() == expected


def test_validation_items_replace_cross_fitting(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra").fit(
        items[:30], X_validation=items[30:]
    )
    assert classifier.held_out_y_.tolist() == answers(items[30:]).tolist()
    table = classifier.log_likelihoods(items[30:])
    np.testing.assert_allclose(
        classifier.held_out_.heads["positive"], table.heads["positive"], atol=1e-4
    )


@pytest.mark.parametrize("negatives", ["own", "all", "hardest", "easiest", "other"])
def test_kinds_of_negatives(negatives, model_folder, items):
    classifier = LikraClassifier(
        model_folder,
        adapter="output",
        mode="base-likra",
        negatives=negatives,
        n_negatives=2,
        contamination=0.1,
    ).fit(items)
    assert len(classifier.negatives_) >= len(items)
    assert classifier.predict(items).shape == (len(items),)


def test_penalty_auto_keeps_the_best_of_its_grid(model_folder, items):
    classifier = LikraClassifier(
        model_folder, adapter="output", mode="likra", alpha=1.0, penalty="auto"
    ).fit(items)
    assert classifier.penalty_ in (1e4, 1e5, 1e6)
    from likra_lite.scoring.decision import log_loss

    losses = {}
    for penalty in (1e4, 1e5, 1e6):
        single = LikraClassifier(
            model_folder, adapter="output", mode="likra", alpha=1.0, penalty=penalty
        ).fit(items)
        decision, table = single.decision_, single.held_out_
        scores = decision.scores(table) / decision.temperature
        losses[penalty] = log_loss(scores, table.offsets, answers(items)).mean()
    assert losses[classifier.penalty_] == min(losses.values())


def test_warning_when_the_ratio_is_worse_than_base(model_folder, items):
    base = LikraClassifier(model_folder, mode="base").fit(items)
    wrong = 1 - base.predict([(i.question, i.choices[:2]) for i in items])
    flipped = [
        Item(i.question, i.choices[:2], int(1 - w)) for i, w in zip(items, wrong, strict=True)
    ]
    with pytest.warns(
        RatioWarning, match=r"'sft' does worse than the base model on held-out items"
    ):
        LikraClassifier(model_folder, adapter="output", mode="sft", penalty=40.0).fit(flipped)


def test_explain_adds_up(items, fitted):
    explanation = fitted.explain(items[0])
    table = fitted.log_likelihoods(items[:1])
    for index, choice in enumerate(explanation.choices):
        assert "".join(choice.tokens) == " " + items[0].choices[index]
        for head, values in choice.log_probs.items():
            assert values.sum() == pytest.approx(table.heads[head][index], abs=1e-4)
        assert choice.score == pytest.approx(fitted.score_choices(items[:1])[0][index], abs=1e-4)
    assert sum(choice.probability for choice in explanation.choices) == pytest.approx(1.0)
    shown = str(explanation)
    assert items[0].question in shown
    assert "predicted" in shown
    assert "mode likra, alpha 1" in shown
    assert "positive  negative\n" in shown, "the heads in force, and no others"
    pmi = LikraClassifier(fitted.model, mode="pmi").fit(items).explain(items[0])
    for choice in pmi.choices:
        values = choice.log_likelihoods
        assert choice.score == pytest.approx(values["base"] - values["neutral"], abs=1e-4)
    assert "neutral" in str(pmi)


def test_grid_search_over_alpha_and_normalization(model_folder, items):
    grid = {"alpha": [0.5, 1.0], "normalization": ["none", "chars"]}
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", n_choices=5)
    search = GridSearchCV(classifier, grid, cv=2).fit(items, answers(items))
    assert set(search.best_params_) == {"alpha", "normalization"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_cross_val_score_and_pipeline(model_folder, items):
    pipeline = Pipeline(
        [
            ("shout", FunctionTransformer(lambda X: [(i.question.upper(), i.choices) for i in X])),
            ("likra", LikraClassifier(model_folder, adapter="output", mode="likra", n_choices=5)),
        ]
    )
    scores = cross_val_score(pipeline, items, answers(items), cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_calibration_with_two_to_five_choices(model_folder, items):
    calibrated = CalibratedClassifierCV(
        LikraClassifier(model_folder, adapter="output", mode="likra", n_choices=5),
        method="temperature",
        cv=2,
    )
    y = answers(items)
    assert set(y) == {0, 1, 2, 3, 4}
    proba = calibrated.fit(items, y).predict_proba(items)
    assert proba.shape == (len(items), 5)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    counts = np.array([len(item.choices) for item in items])
    # scikit-learn replaces 0 by the smallest number it can take the logarithm of.
    assert proba[np.arange(5) >= counts[:, None]].max() < 0.05
    assert (proba.argmax(axis=1) < counts).all()


@pytest.mark.parametrize("dump", [pickle.dumps, None], ids=["pickle", "joblib"])
def test_pickle_round_trip(dump, items, fitted, tmp_path):
    if dump is None:
        joblib.dump(fitted, tmp_path / "classifier")
        again = joblib.load(tmp_path / "classifier")
    else:
        content = dump(fitted)
        assert len(content) < 200_000, "the language model is not inside"
        again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict_proba(items), fitted.predict_proba(items))


def test_pickle_of_a_model_that_changed(tmp_path, model_folder, items):
    import shutil

    from checkpoints import save_checkpoint

    from likra_lite.export import export_model

    shutil.copytree(model_folder, tmp_path / "model")
    content = pickle.dumps(LanguageModel(tmp_path / "model"))
    export_model(save_checkpoint("gpt2", tmp_path / "checkpoint"), tmp_path / "model")
    with pytest.raises(ModelFolderError, match="another model than the one that was pickled"):
        pickle.loads(content)


def test_parallel_workers_open_their_own_session(items, fitted):
    halves = joblib.Parallel(n_jobs=2)(
        joblib.delayed(fitted.predict)(part) for part in (items[:24], items[24:])
    )
    assert np.concatenate(halves).tolist() == fitted.predict(items).tolist()


def test_more_choices_than_classes(model_folder, items):
    few = [item for item in items if len(item.choices) <= 3]
    classifier = LikraClassifier(model_folder, adapter="output", mode="sft").fit(few)
    assert len(classifier.classes_) == 3
    wide = [Item("Which?", tuple("abcde"))]
    assert classifier.predict(wide).shape == (1,)
    with pytest.raises(LikraError, match=r"item 0 has 5 choices .* fit with n_choices=5"):
        classifier.predict_proba(wide)


def test_a_language_model_may_be_given_opened(model, items):
    classifier = LikraClassifier(model, adapter="output", mode="likra").fit(items)
    assert classifier.scorer_.model is model
    assert clone(classifier).model is not None


def test_as_items_is_the_same_for_a_list_of_items(items):
    assert as_items(items) == items


def test_an_empty_name_is_not_the_bundled_model(items):
    with pytest.raises(LikraError, match=r"has no likra\.json"):
        LikraClassifier("").fit(items)
    with pytest.raises(LikraError, match="got a model of type int"):
        LikraClassifier(3).fit(items)


@pytest.mark.parametrize("name", ["prompt", "answer_delimiter"])
def test_a_prompt_is_a_string(name, model_folder, items):
    with pytest.raises(LikraError, match=f"got a {name} of type int; expected a string"):
        LikraClassifier(model_folder, adapter="output", **{name: 3}).fit(items)


def test_sets_hold_held_out_answers_as_often_as_asked(items, fitted):
    for coverage in (0.5, 0.8, 0.95):
        sets = fitted.predict_set(fitted.held_out_, coverage)
        held = [y in chosen for y, chosen in zip(fitted.held_out_y_, sets, strict=True)]
        assert sum(held) >= np.ceil(49 * coverage), "the quantile is one of these items"
        predictions = fitted.predict(fitted.held_out_)
        assert [chosen[0] for chosen in sets] == predictions.tolist()
    new = fitted.predict_set(items[:3], 0.95)
    for each, item in zip(new, items[:3], strict=True):
        assert set(each) <= set(range(len(item.choices)))
    with pytest.raises(LikraError, match=r"got coverage=0.99 but 48 held-out items; it needs at"):
        fitted.predict_set(items, 0.99)


def test_sets_and_abstention_follow_the_decision_in_force(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="output", mode="likra", alpha=1.0).fit(items)
    first = classifier.predict_set(classifier.held_out_, 0.6)
    classifier.set_params(alpha=0.1)
    second = classifier.predict_set(classifier.held_out_, 0.6)
    assert [each.tolist() for each in first] != [each.tolist() for each in second]


def test_coverage_and_abstention_on_the_demo():
    """Heads fitted on the demo's training items; the promises hold on its test items."""
    train, test = load_demo("train"), load_demo("test")
    classifier = LikraClassifier(adapter="output", mode="likra", alpha=0.9, cv=2).fit(
        train.items[:300]
    )
    table = classifier.log_likelihoods(test.items[:500])
    y = test.y[:500]
    sets = classifier.predict_set(table, 0.95)
    assert np.mean([right in each for right, each in zip(y, sets, strict=True)]) > 0.93
    answers = classifier.predict_or_abstain(table, error_rate=0.05)
    given = answers >= 0
    assert 0.5 < given.mean() < 1.0
    assert np.mean(answers[given] != y[given]) <= 0.05
    np.testing.assert_array_equal(answers[given], classifier.predict(table)[given])
    assert np.mean(classifier.predict(table) != y) > 0.05, "some had to be left out"


def test_every_item_is_abstained_from_where_nothing_is_certain(items, fitted):
    with pytest.warns(AbstentionWarning, match="48 held-out items"):
        answers = fitted.predict_or_abstain(items, error_rate=0.05, confidence=0.9)
    assert answers.tolist() == [-1] * len(items)
    with pytest.raises(LikraError, match="got error_rate=2; expected a share"):
        fitted.predict_or_abstain(items, error_rate=2)
