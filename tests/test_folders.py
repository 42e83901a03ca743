"""Model folders of others, damaged ones, and ones that change while they are in use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import run

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.datasets.demo import bundled_model
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.head import Lora, OutputMatrix
from likra_lite.errors import ModelFolderError

pytestmark = pytest.mark.filterwarnings("ignore::likra_lite.errors.RatioWarning")


@pytest.fixture(scope="module")
def first_items(items):
    return items[:16]


@pytest.fixture(scope="module")
def original(first_items, tmp_path_factory) -> Path:
    """A fitted folder. Read only."""
    folder = tmp_path_factory.mktemp("fitted") / "fitted"
    LikraClassifier(adapter="output", mode="likra", alpha=0.9, cv=2).fit(first_items).save(folder)
    return folder


@pytest.fixture
def fitted(original, tmp_path) -> Path:
    shutil.copytree(original, tmp_path / "fitted")
    return tmp_path / "fitted"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model folder without heads."""
    shutil.copytree(bundled_model(), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def other(tmp_path) -> Path:
    """A model folder with other weights."""
    shutil.copytree(bundled_model(), tmp_path / "other")
    weights = tmp_path / "other" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    values = np.frombuffer(content[-400_000:], np.float32) * np.float32(1.5)
    content[-400_000:] = values.tobytes()
    weights.write_bytes(content)
    relist(tmp_path / "other")
    return tmp_path / "other"


def relist(folder: Path, **changes: object) -> None:
    """Write the manifest anew, as who means harm can too."""
    path = folder / "likra.json"
    facts = json.loads(path.read_text()) | {"files": read_manifest(bundled_model()).files}
    path.write_text(json.dumps(facts))
    for name in list(facts["files"]):
        if not (folder / name).is_file():
            facts["files"].pop(name)
    try:
        manifest = read_manifest(folder)
    except ModelFolderError:
        manifest = read_manifest(bundled_model())
    write_manifest(folder, manifest)
    if changes:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "likra.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


NAMES = ["../outside", "/etc/hostname", "a/../../outside", "a//b", "./a", "", ".", "C:\\a", "C:a",
         "a\\b", "a\nb", "likra.json", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_none_of_files_in_the_folder(name, folder):
    edit(folder, lambda content: content["files"].update({name: {"sha256": "", "bytes": 0}}))
    with pytest.raises(ModelFolderError, match="which is no file of its folder") as caught:
        read_manifest(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "positive/../x", "neutral", "", 7])
def test_names_of_heads_are_no_paths(name, fitted):
    settings = json.loads((fitted / "classifier.json").read_text())
    settings["heads"] = [name]
    (fitted / "classifier.json").write_text(json.dumps(settings))
    relist(fitted)
    with pytest.raises(ModelFolderError, match=r"got head=.*; expected one of"):
        LikraClassifier.load(fitted)


def test_heads_of_other_names_are_not_written(original, tmp_path):
    classifier = LikraClassifier.load(original)
    matrix = classifier.scorer_.fitted["positive"]
    classifier.scorer_.fitted["../../escaped"] = matrix
    with pytest.raises(ValueError, match=r"got head='\.\./\.\./escaped'"):
        classifier.save(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


SPECIAL = {
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["trunk.onnx", "tokenizer.json", "likra.json"])
def test_what_is_no_regular_file_is_refused_at_once(name, kind, folder):
    (folder / name).unlink()
    SPECIAL[kind](folder / name)
    with pytest.raises(ModelFolderError, match=r"is no regular file|has no likra.json"):
        LanguageModel(folder)


def test_files_that_are_not_listed_are_not_used(fitted, folder, first_items, capsys):
    """Heads of one model beside another."""
    for name in ("classifier.json", "held_out.safetensors", "negatives.safetensors"):
        shutil.copy(fitted / name, folder / name)
    shutil.copytree(fitted / "heads", folder / "heads")
    with pytest.raises(ModelFolderError, match=r"classifier.json is not listed in likra.json"):
        LikraClassifier.load(folder)
    status, out, err = run("score", "demo", "--model", folder, capsys=capsys)
    assert (status, out, err.count("\n")) == (1, "", 1)
    edit(fitted, lambda content: content["files"].pop("heads/negative.safetensors"))
    with pytest.raises(ModelFolderError, match=r"does not list heads/negative.safetensors"):
        LikraClassifier.load(fitted)


@pytest.mark.parametrize("name", [None, "heads/negative.safetensors", "held_out.safetensors"])
def test_heads_belong_to_the_model_that_they_were_fitted_on(name, fitted, other, first_items):
    """Even where the manifest lists them; all of a fitted folder, or one file."""
    if name is None:
        for path in fitted.rglob("*"):
            relative = path.relative_to(fitted)
            if path.is_file() and not (other / relative).exists():
                (other / relative).parent.mkdir(exist_ok=True)
                shutil.copy(path, other / relative)
        relist(other)
        target = other
    else:
        elsewhere = LikraClassifier(other, adapter="output", mode="likra", alpha=0.9, cv=2).fit(
            first_items
        )
        elsewhere.save(other.parent / "elsewhere")
        shutil.copy(other.parent / "elsewhere" / name, fitted / name)
        relist(fitted)
        target = fitted
    with pytest.raises(ModelFolderError, match=r"was fitted on another model than the one in its"):
        LikraClassifier.load(target)


def test_a_head_of_another_size(fitted):
    from safetensors.numpy import save_file

    save_file({"delta": np.zeros((3, 3), np.float32)}, fitted / "heads" / "positive.safetensors")
    relist(fitted)
    with pytest.raises(ModelFolderError, match=r"positive.safetensors has shape \(3, 3\)"):
        LikraClassifier.load(fitted)


def test_overwriting_a_fitted_folder_in_place_leaves_the_model_alone(folder, first_items):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    LikraClassifier(folder, adapter="none").fit(first_items).save(folder.parent / "fitted")
    for path in (folder.parent / "fitted").iterdir():
        path.write_bytes(b"gone")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "linked", [["weights.safetensors"], ["trunk.onnx", "tokenizer.json"], None]
)
def test_links_of_the_user(linked, folder, first_items, tmp_path):
    """Weights on another disk, a hub snapshot, and a link to the folder itself."""
    expected = LikraClassifier(adapter="none", cv=2).fit(first_items).score_choices(first_items)
    if linked is None:
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    else:
        (tmp_path / "far").mkdir()
        for name in linked:
            (folder / name).rename(tmp_path / "far" / name)
            (folder / name).symlink_to(tmp_path / "far" / name)
    found = LikraClassifier(folder, adapter="none", cv=2).fit(first_items)
    for one, two in zip(found.score_choices(first_items), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    found.save(tmp_path / "saved")
    assert not any(path.is_symlink() for path in (tmp_path / "saved").rglob("*"))


def test_a_graph_that_reads_another_file(folder):
    shutil.copy(folder / "weights.safetensors", folder / "more.bin")
    graph = onnx.load(folder / "trunk.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "more.bin"
    onnx.save(graph, folder / "trunk.onnx")
    relist(folder)
    with pytest.raises(ModelFolderError, match=r"trunk.onnx reads 'more.bin'; the graphs of a"):
        LanguageModel(folder).features(LanguageModel(folder).encoder.trees([("a", ["b"])])[0])


@pytest.mark.parametrize("other", ["head.onnx", "adapted.onnx"])
def test_a_graph_in_the_place_of_another(other, folder):
    shutil.copy(folder / "gradient.onnx", folder / other)
    relist(folder)
    model = LanguageModel(folder, 1)
    trees = model.encoder.trees([("a", ["b"])])[0]
    with pytest.raises(ModelFolderError, match=r"onnx takes delta, hidden, .*, expected"):
        model.read_and_score(trees, [None if other == "head.onnx" else Lora({})])


def test_a_graph_that_is_none(folder):
    (folder / "trunk.onnx").write_bytes(b"no graph")
    relist(folder)
    with pytest.raises(ModelFolderError, match=r"trunk.onnx is no ONNX graph"):
        LanguageModel(folder).features(LanguageModel(folder).encoder.trees([("a", ["b"])])[0])


@pytest.mark.parametrize("used", [False, True])
def test_a_model_opened_before_its_folder_was_replaced(used, folder, other, first_items):
    """No old session ever meets a new tokenizer, a new graph or new heads."""
    model = LanguageModel(folder, 1)
    scorer_of = LikraClassifier(model, adapter="none", cv=2)
    if used:
        expected = scorer_of.fit(first_items).score_choices(first_items)
        late = LanguageModel(folder, 1)  # its tokenizer is not read yet
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    if used:
        for one, two in zip(scorer_of.score_choices(first_items), expected, strict=True):
            np.testing.assert_array_equal(one, two)
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_text(tokenizer.read_text() + " ")
        relist(folder)
        with pytest.raises(ModelFolderError, match="has been replaced by another model"):
            _ = late.encoder
    else:
        with pytest.raises(ModelFolderError, match="has been replaced by another model"):
            scorer_of.fit(first_items)


def test_opening_while_the_folder_is_replaced(folder, other, monkeypatch):
    """The manifest is read again if the files were exchanged behind it."""
    from likra_lite.engine import folder as module

    parse, calls = module.parse_manifest, []

    def parse_and_replace(path: Path, text: bytes):
        manifest = parse(path, text)
        if not calls:
            shutil.rmtree(folder)
            shutil.copytree(other, folder)
        calls.append(manifest)
        return manifest

    monkeypatch.setattr(module, "parse_manifest", parse_and_replace)
    manifest = read_manifest(folder)
    assert len(calls) == 2
    assert manifest.files == json.loads((other / "likra.json").read_text())["files"]


BROKEN = {
    "hidden_size": ["128", 0, -1, None, 1.5, True],
    "max_length": ["long", 0],
    "base_model": [None, [], {}, {"id": 7, "architecture": "x"}],
    "head": [{}, {"weight": 3, "logit_scale": 1.0}, {"weight": "x", "logit_scale": "1"}],
    "tokens": [None, {"prefix": 0, "empty": 0}, {"prefix": ["a"], "empty": 0}, {"prefix": []}],
    "prompt": [None, 7, []],
    "chat": ["{{", 7],
    "files": [None, [], {}, {"trunk.onnx": 7}, {"trunk.onnx": {"sha256": 7, "bytes": 0}}],
    "precision": [8],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in BROKEN.items() for v in vs])
def test_manifest_with_values_of_other_kinds(field, value, folder):
    edit(folder, lambda content: content.update({field: value}))
    with pytest.raises(ModelFolderError, match="is incomplete") as caught:
        LanguageModel(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 100_000, "7", "[]", "\xff", "", " " * (2**24 + 1)])
def test_manifests_that_are_none(text, folder):
    (folder / "likra.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"cannot be read|too large"):
        LanguageModel(folder)


def test_output_matrices_keep_their_names(original):
    assert isinstance(LikraClassifier.load(original).scorer_.fitted["negative"], OutputMatrix)
