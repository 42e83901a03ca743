"""Heads of every kind, tried on the same held-out items: the best stay."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from likra_lite import LikraClassifier
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.manifest import LORA_GRADIENT
from likra_lite.heads import fit_best
from likra_lite.heads.lora_runs import held_out_places
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.scoring.decision import log_loss

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")


@pytest.fixture(scope="module")
def fitted(model_folder, items):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LikraClassifier, "warn_if_worse", lambda self, stacklevel=2: None)
        return LikraClassifier(model_folder, cache=False).fit(items)


def test_every_kind_is_tried(fitted):
    assert {trial.adapter for trial in fitted.trials_} == {"none", "lora", "output"}
    best = min(fitted.trials_, key=lambda trial: trial.loss)
    assert fitted.adapter_ == best.adapter
    assert (fitted.adapter_ == "none") == (fitted.scorer_.fitted == {})


@pytest.mark.parametrize("adapter", ["lora", "output"])
def test_a_trial_tells_what_that_kind_gives_alone(adapter, fitted, model_folder, items):
    """On the items that LoRA is not trained on; no head has seen them."""
    alone = LikraClassifier(model_folder, adapter=adapter, cache=False).fit(items)
    table, y = alone.held_out_, alone.held_out_y_
    if adapter == "output":
        places = held_out_places(items, 0)
        table, y = table.take(places), y[places]
        alone.held_out_, alone.held_out_y_ = table, y
        del alone._decided, alone._cross_fitted
    unseen = alone.held_out_decision_
    (trial,) = [trial for trial in fitted.trials_ if trial.adapter == adapter]
    assert trial.n_items == len(y) == len(held_out_places(items, 0))
    assert trial.accuracy == np.mean(unseen.predict(table) == y)
    scores = unseen.scores(table) / unseen.temperature
    assert trial.loss == pytest.approx(np.mean(log_loss(scores, table.offsets, y)))


def test_what_was_tried_is_kept_with_the_model(fitted, tmp_path):
    fitted.save(tmp_path / "fitted")
    again = LikraClassifier.load(tmp_path / "fitted")
    assert again.trials_ == fitted.trials_
    assert again.adapter_ == fitted.adapter_
    assert again.adapter == "auto"


def test_without_the_graph_of_the_gradient(model_folder, items, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    manifest = read_manifest(folder)
    (folder / LORA_GRADIENT).unlink()
    write_manifest(folder, manifest)
    fitted = LikraClassifier(folder, cache=False).fit(items)
    assert [trial.adapter for trial in fitted.trials_] == ["none", "output"]
    assert fitted.trials_[0].n_items == 48, "output matrices are cross-fitted"


def test_what_costs_too_much_is_not_tried(model_folder, items, monkeypatch):
    monkeypatch.setattr(fit_best, "CHEAP", 0.0)
    monkeypatch.setattr(fit_best, "AFFORDABLE", 0.0)
    fitted = LikraClassifier(model_folder, cache=False).fit(items)
    assert fitted.trials_ == ()
    assert fitted.adapter_ == "none"
    # A mode that reads heads needs some.
    fitted = LikraClassifier(model_folder, mode="sft", cache=False).fit(items)
    assert [trial.adapter for trial in fitted.trials_] == ["output"]


def test_modes_without_heads_and_recipes_leave_no_choice(model_folder, items):
    assert LikraClassifier(model_folder, mode="pmi").fit(items).adapter_ == "none"
    recipe = LoraRecipe(learning_rate=1e-3)
    fitted = LikraClassifier(model_folder, recipe=recipe, mode="sft", cache=False).fit(items[:20])
    assert fitted.adapter_ == "lora"
    assert fitted.trials_ == ()


def test_few_items_fit_no_heads_unless_a_mode_reads_them(model_folder, items):
    fitted = LikraClassifier(model_folder, cache=False).fit(items[:39])
    assert (fitted.adapter_, fitted.trials_) == ("none", ())
    fitted = LikraClassifier(model_folder, mode="likra", cache=False).fit(items[:3])
    assert {trial.adapter for trial in fitted.trials_} == {"lora", "output"}
