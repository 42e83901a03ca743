"""What is read of a checkpoint besides its weights: the tokenizer, and where all of it is."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from checkpoints import TEXT, WITH_PYTORCH, needs_pytorch, save_drawn, save_tokenizer

from likra_lite.errors import ExportError
from likra_lite.export import export_model
from likra_lite.export.checkpoint.config_file import ConfigFile
from likra_lite.export.checkpoint.sources import find_checkpoint
from likra_lite.export.checkpoint.tokenizer_files import TokenizerFiles

ADDED = {"__type": "AddedToken", "content": "</s>", "lstrip": False, "normalized": False}
# Model type, whether tokenizer.json begins texts itself, and tokenizer_config.json.
RULES: list[tuple[str, bool, dict[str, Any]]] = [
    ("llama", False, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}),
    ("llama", True, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}),
    ("llama", True, {"tokenizer_class": "PreTrainedTokenizer", "eos_token": "</s>"}),
    ("gpt_neox", False, {"tokenizer_class": "GPTNeoXTokenizer", "bos_token": "<s>"}),
    ("gpt2", False, {"tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>"}),
    ("opt", True, {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>"}),
    ("qwen2", False, {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "</s>",
                      "add_bos_token": True}),
]  # fmt: skip
# Where tokenizer.json and the settings say different things, transformers 4 followed the settings,
# for which checkpoints were published, and 5 does not.
CONTRADICTIONS: list[tuple[str, bool, dict[str, Any]]] = [
    ("llama", False, {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"}),
    ("llama", True, {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}),
    ("llama", False, {"tokenizer_class": "LlamaTokenizer", "bos_token": ADDED}),
    ("mistral", False, {"add_bos_token": True}),
    ("gemma2", False, {"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>"}),
    ("gpt_neox", False, {"tokenizer_class": "GPTNeoXTokenizerFast", "add_bos_token": True,
                         "bos_token": "<s>"}),
    ("qwen2", False, {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None,
                      "eos_token": "</s>", "add_prefix_space": True}),
]  # fmt: skip


def files(folder: Path, model_type: str, prepend_bos: bool, settings: dict[str, Any]) -> ConfigFile:
    """Write a tokenizer with its settings, and return the model's."""
    save_tokenizer(folder, prepend_bos=prepend_bos)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = {"model_type": model_type}
    (folder / "config.json").write_text(json.dumps(config))
    return ConfigFile(config)


def rules() -> list[Any]:
    newer = WITH_PYTORCH and int(version("transformers").partition(".")[0]) >= 5
    older = pytest.mark.skipif(newer, reason="transformers 4 does so")
    return [*RULES, *(pytest.param(*rule, marks=older) for rule in CONTRADICTIONS)]


@needs_pytorch
@pytest.mark.parametrize(("model_type", "prepend_bos", "settings"), rules())
def test_tokenizer_is_what_transformers_makes_of_it(model_type, prepend_bos, settings, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    config = files(tmp_path, model_type, prepend_bos, settings)
    read = TokenizerFiles(tmp_path, config)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer = Tokenizer.from_str(read.json)
    for text in TEXT:
        bare = expected(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.encode(text, add_special_tokens=False).ids == bare
        assert [*read.prefix, *bare] == expected(text)["input_ids"]
    empty = expected.bos_token_id if expected.bos_token_id is not None else expected.eos_token_id
    assert read.empty == empty


@needs_pytorch
@pytest.mark.parametrize("add_bos_token", [False, True])
def test_vocabulary_and_merges_are_enough(add_bos_token, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_bos_token": add_bos_token,
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
    }
    config = files(tmp_path, "opt", False, settings)
    content = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(content["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in content["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (tmp_path / "tokenizer.json").unlink()
    read = TokenizerFiles(tmp_path, config)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer = Tokenizer.from_str(read.json)
    for text in [*TEXT, "é</s> a\n\n b"]:
        assert [*read.prefix, *tokenizer.encode(text, add_special_tokens=False).ids] == expected(
            text
        )["input_ids"]
    assert read.prefix == ((1,) if add_bos_token else ())


def test_sentencepiece_model_alone_says_what_to_do(tmp_path):
    checkpoint = save_drawn("llama", tmp_path / "checkpoint")
    (checkpoint / "tokenizer.json").rename(checkpoint / "tokenizer.model")
    with pytest.raises(ExportError, match=r"tokenizer\.model but no tokenizer\.json; write one"):
        export_model(checkpoint, tmp_path / "model", exporter="built")


def test_no_token_for_an_empty_text(tmp_path):
    config = files(tmp_path, "qwen2", False, {"tokenizer_class": "Qwen2Tokenizer"})
    with pytest.raises(ExportError, match="neither a bos nor an eos token"):
        TokenizerFiles(tmp_path, config)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the network: files are had from a folder, and counted."""
    import huggingface_hub.constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    source, cache = save_drawn("llama", tmp_path / "source"), tmp_path / COMMIT
    fetched: list[str] = []

    def model_info(self, model, revision=None):
        siblings = [SimpleNamespace(rfilename=path.name) for path in source.iterdir()]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(model, *, revision, allow_patterns, local_files_only):
        if local_files_only and not cache.exists():
            raise LocalEntryNotFoundError("not here")
        if local_files_only:
            return str(cache)
        assert (model, revision, local_files_only) == ("likra/tiny", COMMIT, False)
        cache.mkdir(exist_ok=True)
        for name in allow_patterns:
            shutil.copy(source / name, cache / name)
            fetched.append(name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return SimpleNamespace(source=source, fetched=fetched)


def test_model_of_the_hub(hub, tmp_path):
    (hub.source / "consolidated.safetensors").write_bytes(b"the same again")
    manifest = export_model("likra/tiny", tmp_path / "model", exporter="built")
    assert manifest.base_model["id"] == "likra/tiny"
    assert manifest.base_model["revision"] == COMMIT
    assert sorted({*hub.fetched, "special_tokens_map.json"}) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",  # which newer transformers do not write
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_weights_of_what_is_not_understood_are_not_fetched(hub, tmp_path):
    config = json.loads((hub.source / "config.json").read_text())
    (hub.source / "config.json").write_text(json.dumps(config | {"attention_sinks": True}))
    with pytest.raises(ExportError, match="attention_sinks"):
        export_model("likra/tiny", tmp_path / "model", exporter="built")
    assert "model.safetensors" not in hub.fetched


def test_without_a_connection_the_cache_does(hub, tmp_path, monkeypatch):
    import huggingface_hub.constants

    export_model("likra/tiny", tmp_path / "model", exporter="built")
    fetched = len(hub.fetched)

    def fail(self, model, revision=None):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    manifest = export_model("likra/tiny", tmp_path / "model", exporter="built")
    assert manifest.base_model["revision"] == COMMIT
    assert len(hub.fetched) == fetched


def unreachable() -> Exception:
    """Return what comes of a connection that fails, with its cause inside."""
    error = RuntimeError("HTTPSConnectionPool(host='huggingface.co', port=443): and so on")
    error.__cause__ = ConnectionError("no route\nto host")
    return error


def hub_errors() -> list[tuple[Exception, str]]:
    from huggingface_hub import errors

    def refusal(kind: type[Exception]) -> Exception:
        error = kind.__new__(kind)
        Exception.__init__(error, "a long story\nin several lines")
        return error

    return [
        (refusal(errors.GatedRepoError), "it is gated; accept its terms on https://hugg"),
        (refusal(errors.RepositoryNotFoundError), "there is no such model, or it is private"),
        (refusal(errors.RevisionNotFoundError), "it has no such revision"),
        (refusal(errors.OfflineModeIsEnabled), "not in the local cache.*; where there is network"),
        (refusal(errors.HfHubHTTPError), "a long story; where there is network"),
        (
            unreachable(),
            r"the hub cannot be reached \(no route\); where there is network, run: hf download "
            "likra/tiny --revision v2 --local-dir DIR, bring DIR here .* or give a GGUF file",
        ),
    ]


@pytest.mark.parametrize(("error", "message"), hub_errors())
def test_trouble_with_the_hub_is_told_in_one_line(hub, error, message, monkeypatch):
    import huggingface_hub.constants

    def fail(self, model, revision=None):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    with pytest.raises(ExportError, match=message) as caught:
        find_checkpoint("likra/tiny", "v2")
    assert "\n" not in str(caught.value)
    assert "likra/tiny (revision v2)" in str(caught.value)


def test_offline_and_not_in_the_cache(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ExportError, match=r"cannot load likra/tiny, .* not in the local cache"):
        find_checkpoint("likra/tiny")
