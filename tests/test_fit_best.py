"""Heads of every kind, tried on the same held-out items: the best stay."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from likra_lite.cli.tables import trials_text

from likra_lite import LikraClassifier
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.manifest import LORA_GRADIENT
from likra_lite.heads import fit_best
from likra_lite.heads.lora_runs import held_out_places
from likra_lite.heads.recipe import LoraRecipe
from likra_lite.heads.trials import Trial, kept_trial
from likra_lite.scoring.decision import log_loss
from likra_lite.scoring.modes import FREE_HEADS, HEADS
from likra_lite.scoring.selection import DecisionRule

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")


@pytest.fixture(scope="module")
def fitted(model_folder, items):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LikraClassifier, "warn_if_worse", lambda self, stacklevel=2: None)
        return LikraClassifier(model_folder, cache=False).fit(items)


def test_every_kind_is_tried(fitted):
    assert {trial.adapter for trial in fitted.trials_} == {"none", "lora", "output"}
    assert fitted.adapter_ == kept_trial(fitted.trials_).adapter
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


def test_a_trial_tells_how_far_heads_are_ahead_of_none(fitted, model_folder, items):
    by_adapter = {trial.adapter: trial for trial in fitted.trials_}
    assert by_adapter["none"].gain is None
    table = {}
    for adapter in ("none", "lora"):
        alone = LikraClassifier(model_folder, adapter="lora", cache=False).fit(items)
        heads = FREE_HEADS if adapter == "none" else HEADS
        decision = DecisionRule("auto", heads=heads).cross_fit(alone.held_out_, alone.held_out_y_)
        scores = decision.scores(alone.held_out_) / decision.temperature
        table[adapter] = log_loss(scores, alone.held_out_.offsets, alone.held_out_y_)
    paired = table["none"] - table["lora"]
    lora = by_adapter["lora"]
    assert lora.gain == pytest.approx(by_adapter["none"].loss - lora.loss)
    assert lora.gain == pytest.approx(paired.mean())
    assert lora.gain_error == pytest.approx(paired.std() / np.sqrt(len(paired)))


@pytest.mark.parametrize(
    ("gain", "error", "kept"),
    [(0.1, 0.2, "lora"), (-0.39, 0.2, "lora"), (-0.41, 0.2, "none"), (None, None, "lora")],
)
def test_no_heads_stay_only_if_they_are_clearly_better(gain, error, kept):
    none = Trial("none", 1.0, 0.5, 0.1, 13)
    lora = Trial("lora", 1.0 - (gain or 0.0), 0.5, 0.1, 13, gain, error)
    worse = Trial("output", 3.0, 0.9, 0.1, 13, -2.0, 2.0)
    trials = [lora, worse] if gain is None else [none, lora, worse]
    assert kept_trial(trials).adapter == kept
    told = trials_text(trials)
    (line,) = [line for line in told.splitlines() if line.endswith("kept")]
    assert line.startswith(kept)
    assert ("clearly better: 0.390 +- 0.200 nats" in told) == (gain == -0.39)


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
    assert fitted.adapter_ == "none"
    assert {trial.adapter for trial in fitted.trials_} == {"none"}
    fitted = LikraClassifier(model_folder, mode="likra", cache=False).fit(items[:3])
    assert {trial.adapter for trial in fitted.trials_} == {"lora", "output"}
