"""Model folders with heads: round trips, and what damaged ones say."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.engine.folder_writing import atomic_folder
from likra_lite.errors import LikraError, ModelFolderError

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")


@pytest.fixture(scope="module")
def fitted(model_folder, items) -> LikraClassifier:
    return LikraClassifier(
        model_folder, adapter="output", alpha=0.8, mode="likra", negatives="other"
    ).fit(items)


def test_round_trip_gives_identical_scores_and_settings(fitted, items, tmp_path):
    fitted.save(tmp_path / "saved")
    again = LikraClassifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict_proba(items), fitted.predict_proba(items))
    assert {k: v for k, v in again.get_params().items() if k != "model"} == {
        k: v for k, v in fitted.get_params().items() if k != "model"
    }
    assert again.decision_ == fitted.decision_
    np.testing.assert_array_equal(again.negatives_.source, fitted.negatives_.source)
    np.testing.assert_array_equal(again.classes_, fitted.classes_)
    again.set_params(alpha=0.1)
    fitted_elsewhere = LikraClassifier.load(tmp_path / "saved").set_params(alpha=0.1)
    assert again.decision_ == fitted_elsewhere.decision_


def test_saved_folder_does_not_need_the_original(model_folder, items, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    classifier = LikraClassifier(tmp_path / "model", adapter="output", mode="sft").fit(items)
    expected = classifier.predict_proba(items)
    classifier.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "model")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = LikraClassifier.load(tmp_path / "moved")
    np.testing.assert_array_equal(again.predict_proba(items), expected)


def test_saving_over_an_existing_folder_and_over_its_own(fitted, items, tmp_path):
    fitted.save(tmp_path / "saved")
    again = LikraClassifier.load(tmp_path / "saved")
    expected = again.predict_proba(items)
    again.save(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    once_more = LikraClassifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(once_more.predict_proba(items), expected)


def test_no_pickle_in_the_folder(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    suffixes = {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".onnx", ".safetensors"}


def test_a_folder_without_heads(model_folder):
    with pytest.raises(ModelFolderError, match="has no fitted heads"):
        LikraClassifier.load(model_folder)


@pytest.fixture
def saved(fitted, tmp_path):
    """A saved classifier whose files may be damaged: none is linked to the original."""
    fitted.save(tmp_path / "linked")
    shutil.copytree(tmp_path / "linked", tmp_path / "saved")
    return tmp_path / "saved"


def test_a_flipped_byte_is_noticed_in_every_file(saved):
    for path in sorted(p for p in saved.rglob("*") if p.is_file() and p.name != "likra.json"):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(ModelFolderError, match=f"{path.name} differs from its checksum"):
            LikraClassifier.load(saved).scorer_.model.projection.weight.sum()
        path.write_bytes(content)
    LikraClassifier.load(saved)


def test_missing_and_short_files(saved):
    weights = saved / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-10])
    with pytest.raises(ModelFolderError, match=r"weights.safetensors has \d+ bytes, expected \d+"):
        LanguageModel(saved)
    weights.unlink()
    with pytest.raises(ModelFolderError, match=r"weights.safetensors is missing"):
        LanguageModel(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c | {"format_version": 99}, "format version 99 .* upgrade likra-lite"),
        (lambda c: {k: v for k, v in c.items() if k != "head"}, "is incomplete"),
        (lambda c: {k: v for k, v in c.items() if k != "format_version"}, "cannot be read"),
        (lambda c: c | {"surprise": 1}, "is incomplete"),
    ],
)
def test_damaged_manifest(saved, change, message):
    path = saved / "likra.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ModelFolderError, match=message):
        LanguageModel(saved)


def test_manifest_that_is_no_json(saved):
    (saved / "likra.json").write_text("{")
    with pytest.raises(ModelFolderError, match="cannot be read"):
        LanguageModel(saved)


def test_failure_while_saving_leaves_nothing(fitted, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("likra_lite.heads.saving.write_manifest", full)
    with pytest.raises(LikraError, match=r"cannot write .*saved: No space left on device"):
        fitted.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_model_folder_made_of_links_as_in_a_hub_cache(model_folder, items, tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for path in model_folder.iterdir():
        shutil.copy(path, tmp_path / "blobs" / path.name)
        (tmp_path / "snapshot" / path.name).symlink_to(f"../blobs/{path.name}")
    classifier = LikraClassifier(tmp_path / "snapshot", adapter="output", mode="sft").fit(items)
    classifier.save(tmp_path / "elsewhere" / "saved")
    again = LikraClassifier.load(tmp_path / "elsewhere" / "saved")
    np.testing.assert_array_equal(again.predict_proba(items), classifier.predict_proba(items))


def test_heads_are_not_saved_with_another_model(model_folder, items, tmp_path):
    from checkpoints import save_checkpoint

    from likra_lite.export import export_model

    shutil.copytree(model_folder, tmp_path / "model")
    classifier = LikraClassifier(tmp_path / "model", adapter="output", mode="sft").fit(items)
    export_model(save_checkpoint("gpt2", tmp_path / "checkpoint"), tmp_path / "model")
    with pytest.raises(ModelFolderError, match="has been replaced by another model"):
        classifier.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=r"trunk.onnx is gone; fit again"):
        classifier.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_the_decision_is_kept_as_it_was(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "saved")
    monkeypatch.setattr(
        "likra_lite.scoring.selection.fit_decision",
        lambda *_: pytest.fail("the choice was made again"),
    )
    assert LikraClassifier.load(tmp_path / "saved").decision_ == fitted.decision_


def test_files_of_others_in_a_model_folder_are_kept(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    (tmp_path / "saved" / "notes.txt").write_text("mine")
    with pytest.raises(LikraError, match=r"holds notes.txt, which is no part of a model folder"):
        fitted.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "notes.txt").read_text() == "mine"


def test_interrupted_replacement_puts_the_old_folder_back(fitted, tmp_path, monkeypatch):
    """Where two folders cannot be exchanged at once."""
    from pathlib import Path

    fitted.save(tmp_path / "saved")
    rename = Path.rename

    def interrupt(self, target):
        if Path(target).name == "saved" and not self.name.endswith("replaced"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    monkeypatch.setattr("likra_lite.engine.folder_writing.exchange", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        fitted.save(tmp_path / "saved")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    LikraClassifier.load(tmp_path / "saved")


def test_a_folder_that_a_kill_left_aside_is_put_back(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / ".saved.likra-lite-replaced")
    with pytest.raises(LikraError, match="nothing is written"), atomic_folder(tmp_path / "saved"):
        raise LikraError("nothing is written")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    LikraClassifier.load(tmp_path / "saved")
