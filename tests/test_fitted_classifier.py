"""A classifier with fitted weights, with heads and without: predictions, words, files."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.errors import ConvergenceWarning, LikraError, ModelFolderError, RatioWarning
from likra_lite.heads import output
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.fitted import FittedDecision
from likra_lite.scoring.margin import margin_of, margin_text
from likra_lite.scoring.weighing import fit_decision


@pytest.fixture(scope="module", params=["output", "none"])
def fitted(request, model_folder, items) -> LikraClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioWarning)
        return LikraClassifier(model_folder, adapter=request.param).fit(items)


def test_the_weights_are_those_of_the_held_out_items(fitted, items):
    decision = fitted.decision_
    assert decision == fit_decision(fitted.held_out_, fitted.held_out_y_)
    heads = {"base", "neutral"} | set(fitted.scorer_.fitted)
    assert set(decision.heads) == heads
    table = fitted.log_likelihoods(items)
    assert set(table.heads) == heads
    np.testing.assert_array_equal(fitted.predict(items), decision.predict(table))
    shares = fitted.predict_proba(items)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_without_heads_nothing_is_trained_and_every_item_counts(model_folder, items):
    classifier = LikraClassifier(model_folder, adapter="none").fit(items[:30])
    assert classifier.scorer_.fitted == {}
    assert len(classifier.negatives_) == 0
    assert len(classifier.held_out_) == classifier.n_items_ == 30
    both = LikraClassifier(model_folder, adapter="none").fit(items[:30], X_validation=items[30:])
    assert len(both.held_out_) == 48
    with pytest.raises(LikraError, match="mode 'sft' reads the positive head, but got adapter="):
        LikraClassifier(model_folder, adapter="none", mode="sft").fit(items)


def test_a_mode_can_be_set_after_the_fit(fitted, items, monkeypatch):
    table = fitted.log_likelihoods(items)
    monkeypatch.setattr(LanguageModel, "_open", lambda self: pytest.fail("a session was used"))
    expected = Decision("pmi", normalization="chars").predict(table)
    try:
        fitted.set_params(mode="pmi", normalization="chars")
        np.testing.assert_array_equal(fitted.predict(table), expected)
    finally:
        fitted.set_params(mode="auto", normalization="none")
    assert isinstance(fitted.decision_, FittedDecision)


def test_round_trip(fitted, items, tmp_path):
    fitted.save(tmp_path / "saved")
    again = LikraClassifier.load(tmp_path / "saved")
    assert again.decision_ == fitted.decision_
    np.testing.assert_array_equal(again.predict_proba(items), fitted.predict_proba(items))
    unseen = again.held_out_decision_.probabilities(again.held_out_)
    expected = fitted.held_out_decision_.probabilities(fitted.held_out_)
    np.testing.assert_allclose(unseen, expected)


def change_settings(folder, change):
    """Change what a folder says of its classifier, with checksums that fit."""
    manifest = read_manifest(folder)
    path = folder / "classifier.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    change(settings)
    path.write_text(json.dumps(settings), encoding="utf-8")
    write_manifest(folder, manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["decision"]["weights"].update(base=float("nan")),
        lambda s: s["decision"]["weights"].update(nonsense=1.0),
        lambda s: s["decision"].update(weights=None),
        lambda s: s.update(version=99),
        lambda s: s["rule"].update(nonsense=1),
        lambda s: s.update(decision={"mode": "likra", "alpha": float("inf")}),
    ],
)
def test_damaged_settings_are_an_error(fitted, tmp_path, change):
    fitted.save(tmp_path / "saved")
    change_settings(tmp_path / "saved", change)
    with pytest.raises(ModelFolderError, match=r"cannot be read|version 99"):
        LikraClassifier.load(tmp_path / "saved")


def test_what_auto_chose_in_folders_before_there_were_weights_stays(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    chosen = {"mode": "base", "alpha": 1.0, "normalization": "chars", "temperature": 3.0}

    def age(settings):
        del settings["version"], settings["rule"]
        settings["decision"] = chosen

    change_settings(tmp_path / "saved", age)
    again = LikraClassifier.load(tmp_path / "saved")
    assert again.decision_ == Decision(**chosen)
    assert (again.mode, again.normalization) == ("base", "chars")


def test_explanations_add_up_with_the_length(fitted, items):
    for item in items[:8]:
        explanation = fitted.explain(item)
        margin = margin_of(explanation)
        for choice, parts in zip(explanation.choices, margin.contributions, strict=True):
            total = parts.tokens.sum() + parts.length
            assert total == pytest.approx(choice.score, abs=1e-4)
        shares = sum(share.sum() for share in margin.shares.values())
        assert shares + sum(margin.length_shares.values()) == pytest.approx(1.0, abs=1e-3)
        text = margin_text(explanation)
        assert "(length)" in text
        assert str(fitted.decision_) in text.replace("\n", " ")


def test_sets_and_abstention_are_calibrated_on_unseen_items(fitted, items):
    unseen = fitted.held_out_decision_.probabilities(fitted.held_out_)
    right = np.sort(unseen[fitted.held_out_.offsets[:-1] + fitted.held_out_y_])
    least = right[48 - int(np.ceil(49 * 0.8))]
    sets = fitted.predict_set(items, coverage=0.8)
    shares = fitted.predict_proba(items)
    for row, kept in zip(shares, sets, strict=True):
        assert set(kept) == set(np.flatnonzero(row >= least)) | {int(np.argmax(row))}


def test_a_fit_that_stops_too_early_says_so(model_folder, items, monkeypatch):
    monkeypatch.setattr(output, "DEFAULT_PENALTY", 1.0)
    plain = output.fit_output_matrix
    monkeypatch.setattr(
        "likra_lite.heads.training_set.fit_output_matrix",
        lambda features, projection, penalty: plain(features, projection, 1.0, max_iter=1),
    )
    with pytest.warns(ConvergenceWarning, match="stopped after 1 steps, before its optimum"):
        LikraClassifier(model_folder, mode="base", cv=2).set_params(mode="sft").fit(items)


def test_a_failed_line_search_begins_anew_from_where_it_stands(monkeypatch):
    calls = []

    class Result:
        fun, message, nit, jac = 1.0, "ABNORMAL", 3, np.ones(2)

        def __init__(self, start, status):
            self.x, self.status = start + 1, status

    def search(value, start, **_):
        calls.append(start.copy())
        return Result(start, 2 if len(calls) < 2 else 0)

    monkeypatch.setattr(output, "minimize", search)
    found = output._optimum(lambda x: (0.0, x), 2, 10, 1e-5)
    assert [call.tolist() for call in calls] == [[0, 0], [1, 1]]
    assert found.tolist() == [2, 2]
