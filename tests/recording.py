"""Write ``recorded.json``: what tests know of checkpoints and PyTorch where it is not installed.

Run ``python tests/recording.py`` after a change of the checkpoints. Tests with PyTorch compare
its scores with those of the file.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import test_built
import test_gguf
from checkpoints import DRAWN_AS, RECORDED, save_drawn
from reference import pytorch_scores
from safetensors.numpy import load_file

from likra_lite import read_items

N_ITEMS = 8
KINDS = [
    *test_built.VARIANTS.values(),
    *test_gguf.VARIANTS.values(),
    test_gguf.NAMED_LAYERS,
    ("phi", {}),
]
HARMLESS = ("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")


def main() -> None:
    """Record the checkpoints of the families and of their variants."""
    items = read_items(Path(__file__).parents[1] / "examples" / "questions.jsonl")[:N_ITEMS]
    checkpoints = {}
    RECORDED.unlink(missing_ok=True)
    for kind, changes in KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = save_drawn(kind, Path(scratch), **changes)
            config = json.loads((folder / "config.json").read_text())
            tensors = load_file(folder / "model.safetensors")
            scores = iter(pytorch_scores(folder, items).round(5).tolist())
            checkpoints[(folder / DRAWN_AS).read_text()] = {
                "config": {name: config[name] for name in config if name not in HARMLESS},
                "shapes": {name: tensor.shape for name, tensor in sorted(tensors.items())},
                "scores": [[next(scores) for _ in item.choices] for item in items],
            }
    content = {"questions": [item.question for item in items], "checkpoints": checkpoints}
    lines = json.dumps(content, separators=(",", ":")).replace('"config":', '\n"config":')
    RECORDED.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
