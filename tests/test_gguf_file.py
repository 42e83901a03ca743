"""GGUF files: what is written is read, by the ``gguf`` package's own reader too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize
from gguf_files import write_gguf

from likra_lite.errors import ExportError
from likra_lite.export.gguf.gguf_file import GgufFile

TOKENIZER = {"model": "gpt2", "tokens": ["a", "Ġb", "ç"], "scores": [0.5, -1.0, 2.0]}
SETTINGS = {"block_count": 3, "attention.layer_norm_rms_epsilon": 1e-5, "causal": True}


def test_metadata(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", TOKENIZER, SETTINGS)
    metadata = GgufFile.open(path).metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["llama.block_count"] == 3
    assert metadata["llama.attention.layer_norm_rms_epsilon"] == 1e-5  # not its nearest float32
    assert metadata["llama.causal"] is True
    assert metadata["tokenizer.ggml.tokens"] == TOKENIZER["tokens"]
    np.testing.assert_array_equal(metadata["tokenizer.ggml.scores"], TOKENIZER["scores"])


@pytest.mark.parametrize("kind", GGMLQuantizationType, ids=lambda kind: kind.name)
def test_every_quantisation(kind: GGMLQuantizationType, tmp_path: Path) -> None:
    """Either as the package undoes it, or refused by name."""
    block, block_bytes = GGML_QUANT_SIZES[kind]
    stored = np.random.default_rng(0).integers(0, 120, (3, 2 * block_bytes), dtype=np.uint8)
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("first", np.ones(5, np.float32))
    writer.add_tensor("w", stored, raw_shape=stored.shape, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = GgufFile.open(tmp_path / "m.gguf")
    np.testing.assert_array_equal(file.read("first"), np.ones(5))
    assert file.tensors["w"].shape == (3, 2 * block)
    try:
        expected = dequantize(GGUFReader(tmp_path / "m.gguf").tensors[1].data, kind)
    except NotImplementedError:
        with pytest.raises(ExportError, match=f"w has quantisation {kind.name}, which cannot"):
            file.read("w")
        return
    got = file.read("w")
    assert got.dtype == np.float32
    assert got.shape == (3, 2 * block)
    np.testing.assert_array_equal(got, expected.astype(np.float32))


def test_unknown_quantisation(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", {}, tensors={"w": np.ones(4, np.float32)})
    content = bytearray(path.read_bytes())
    place = content.index(b"w" + (1).to_bytes(4, "little")) + 1 + 4 + 8
    content[place : place + 4] = (999).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ExportError, match="w has quantisation 999, which is not known"):
        GgufFile.open(path).read("w")


@pytest.mark.parametrize("kept", [0, 3, 20, 100, 200, -1])
def test_damaged_file(kept: int, tmp_path: Path) -> None:
    path = write_gguf(
        tmp_path / "m.gguf", "llama", TOKENIZER, SETTINGS, {"w": np.ones(4, np.float32)}
    )
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:kept])
    with pytest.raises(ExportError, match=r"m\.gguf") as caught:
        GgufFile.open(path).read("w")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (b"{}", "does not begin with the letters GGUF"),
        (b"GGUF\x00\x00\x00\x03", "big-endian"),
        (b"GGUF\x01\x00\x00\x00", "version 1 is not understood"),
    ],
)
def test_other_file(begins: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(begins + bytes(100))
    with pytest.raises(ExportError, match=message):
        GgufFile.open(tmp_path / "m.gguf")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot read .*m\.gguf"):
        GgufFile.open(tmp_path / "m.gguf")


def test_one_part_of_several(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m-00001-of-00003.gguf", "llama")
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ExportError, match="one of 3 parts of a model; join them first"):
        GgufFile.open(tmp_path / "m-00001-of-00003.gguf")
