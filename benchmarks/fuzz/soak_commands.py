"""What the soak runs: the shared items and models, and the commands that are drawn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from checkpoint import write_checkpoint
from runs import run

from likra_lite.datasets.demo import bundled_model, load_demo

SHARED = "../../shared"  # from where commands run: what several of them write to at once
RANGES = {
    "short": (0, 40),
    "part": (20, 30),  # of both files around it
    "long": (0, 300),  # more than is scored together
    # No two of these overlap: hidden states are cached question by question.
    "none": (300, 324),
    "output": (324, 348),
    "lora": (348, 362),
    "curve": (362, 394),
    "test": (394, 414),
}


@dataclass(frozen=True)
class Command:
    """A command of the soak.

    Attributes
    ----------
    kind : str
        By which commands are counted.
    words : tuple of str
        Relative paths are of the folder where it runs.
    out : str or None
        What it writes.
    """

    kind: str
    words: tuple[str, ...]
    out: str | None = None

    @property
    def is_shared(self) -> bool:
        """Whether others write to the same place."""
        return self.out is not None and self.out.startswith(SHARED)

    def __str__(self) -> str:
        return " ".join(self.words)


def prepare(folder: Path) -> list[Command]:
    """Write items and models, and return the commands that read them."""
    items = {name: folder / f"{name}.jsonl" for name in RANGES}
    rows = load_demo("train").items
    for name, (start, stop) in RANGES.items():
        lines = [
            {"id": f"n{number}", "question": item.question, "choices": list(item.choices)}
            | {"answer": item.answer}
            for number, item in enumerate(rows[start:stop], start)
        ]
        items[name].write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoint = write_checkpoint(folder / "checkpoint")
    models = {name: folder / name for name in ("fitted", "adapted", "tiny", "int8")}
    made = [
        ["fit", items["output"], "--adapter", "output", "--out", models["fitted"]],
        ["fit", items["lora"], "--adapter", "lora", "--out", models["adapted"]],
        ["export", checkpoint, "--out", models["tiny"]],
        ["quantize", bundled_model(), "--out", models["int8"]],
    ]
    for words in made:
        outcome = run(words, LIKRA_LITE_CACHE="off")
        assert outcome.status == 0, outcome.err
    return [
        *_reading(items, {"bundled": bundled_model(), **models}),
        *_writing(items, checkpoint, models["tiny"], ""),
        *_writing(items, checkpoint, models["tiny"], f"{SHARED}/"),
    ]


def _reading(items: dict[str, Path], models: dict[str, Path]) -> list[Command]:
    """Return the commands that write no folder."""
    found = []
    options = ("--threads", "1")
    for name, model in models.items():
        for questions, out in (
            ("short", "scores.jsonl"),
            ("part", "scores.csv"),
            ("long", "scores.csv"),
        ):
            words = ("score", str(items[questions]), "--model", str(model), *options, "--out", out)
            jobs = ("--jobs", "2") if questions == "long" else ()
            found.append(Command("score", (*words, *jobs), out))
        short, part = (str(items[questions]) for questions in ("short", "part"))
        of_model = ("--model", str(model), *options)
        found.append(Command("evaluate", ("evaluate", short, *of_model, "--limit", "12")))
        found.append(Command("evaluate", ("evaluate", part, *of_model, "--json", "--jobs", "2")))
        found.append(Command("inspect", ("inspect", short, *of_model, "--index", "7")))
        if name in ("fitted", "adapted"):
            compare = ("compare", str(model), "--items", short, *options)
            found.append(Command("compare", compare))
    found += [Command("inspect-file", ("inspect-file", str(items[n]))) for n in ("short", "long")]
    return found


def _writing(items: dict[str, Path], checkpoint: Path, tiny: Path, place: str) -> list[Command]:
    """Return the commands that write folders, and a file of scores, all in one place."""
    found = []

    def add(kind: str, out: str, *words: str) -> None:
        found.append(Command(kind, (*words, "--out", place + out), place + out))

    for adapter, seed in product(("none", "output", "lora"), ("0", "1")):
        learned = ("--adapter", adapter, "--seed", seed, "--threads", "1")
        add(f"fit {adapter}", "fit", "fit", str(items[adapter]), *learned)
    add("fit none", "fit", "fit", str(items["none"]), "--adapter", "none", "--model", str(tiny))
    add("export", "folder", "export", str(checkpoint))
    add("export", "folder", "export", str(checkpoint), "--precision", "int8")
    add("quantize", "folder", "quantize", str(bundled_model()))
    add("quantize", "folder", "quantize", str(tiny), "--items", str(items["short"]))
    if place:
        for questions in ("short", "long"):
            add("score", "scores.jsonl", "score", str(items[questions]), "--threads", "1")
        return found
    curve = ("curve", str(items["curve"]), "--test", str(items["test"]), "--threads", "1")
    for sizes, jobs in (("2,8", "1"), ("4,8", "2")):
        add("curve", "curve", *curve, "--sizes", sizes, "--draws", "2", "--jobs", jobs)
    return found
