"""Damaged model folders: the same scores as the whole one, or one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random

from damage import damage_bytes, damage_json
from runs import Tally, records, run, same

ITEMS = "handwritten"


def _special(path: Path, random: Random) -> None:
    path.unlink()
    kind = random.choice(["pipe", "device", "folder", "nowhere", "loop", "gone"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(random.choice(["/dev/zero", "/dev/null", "/dev/tty"]))
    elif kind == "folder":
        path.mkdir()
    elif kind == "nowhere":
        path.symlink_to(path.with_name("nowhere"))
    elif kind == "loop":
        path.symlink_to(path)


def _relist(folder: Path) -> None:
    """Write the checksums anew, as who means harm can."""
    path = folder / "likra.json"
    try:
        content = json.loads(path.read_bytes())
        for name in content["files"]:
            found = (folder / name).read_bytes()
            content["files"][name] = {
                "sha256": hashlib.sha256(found).hexdigest(),
                "bytes": len(found),
            }
        path.write_text(json.dumps(content))
    except (OSError, ValueError, KeyError, TypeError):
        return


def _damage(folder: Path, random: Random) -> tuple[str, bool]:
    """Damage a folder; return how, and whether its checksums were written anew."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = random.choice([*files, folder / "likra.json", folder / "classifier.json"])
    kind = random.choice(["bytes", "bytes", "special", "swap", "json", "json", "extra"])
    relisted = random.random() < 0.4 and path.name not in ("likra.json", "trunk.onnx")
    if kind == "special":
        _special(path, random)
        relisted = False
    elif kind == "swap":
        other = random.choice(files)
        contents = path.read_bytes(), other.read_bytes()
        other.write_bytes(contents[0])
        path.write_bytes(contents[1])
    elif kind == "json" and path.suffix == ".json" and path.name != "tokenizer.json":
        path.write_text(json.dumps(damage_json(json.loads(path.read_bytes()), random)))
    elif kind == "extra":
        path = folder / random.choice(["notes.txt", "heads/other.safetensors", "a/b"])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.randbytes(100))
    else:
        path.write_bytes(damage_bytes(path.read_bytes(), random))
    if relisted:
        _relist(folder)
    return f"{kind} {path.relative_to(folder)}{' relisted' * relisted}", relisted


def fuzz_folders(count: int, random: Random, folder: Path) -> Tally:
    """Damage so many copies of a fitted folder."""
    tally = Tally("model folders")
    whole, out = folder / "whole", folder / "out.jsonl"
    fit = ["fit", "demo", "--limit", "24", "--cv", "2", "--adapter", "output", "--out", whole]
    assert run(fit).status == 0
    score = ["score", ITEMS, "--coverage", "0.8", "--out", out, "--model"]
    assert run([*score, whole]).status == 0
    expected = records(out)
    for number in range(count):
        damaged = folder / f"damaged{number}"
        shutil.copytree(whole, damaged)
        how, relisted = _damage(damaged, random)
        out.unlink(missing_ok=True)
        command = random.choice(["score", "score", "score", "evaluate", "inspect", "fit"])
        if command == "score":
            outcome = run([*score, damaged])
        elif command == "fit":
            again = [*fit[:-1], folder / "again", "--model", damaged]
            outcome = run(again)
            shutil.rmtree(folder / "again", ignore_errors=True)
        else:
            outcome = run([command, ITEMS, "--model", damaged])
        if tally.add(f"{damaged.name} {how} ({command})", outcome) and command == "score":
            try:
                found = records(out)
                if not relisted and not same(found, expected, 0.0):
                    tally.fault("difference", f"{damaged.name} {how}")
            except (ValueError, KeyError) as error:
                tally.fault("difference", f"{damaged.name} {how}: {error}")
        if damaged.name not in str(tally.problems):
            shutil.rmtree(damaged, ignore_errors=True)
    return tally
