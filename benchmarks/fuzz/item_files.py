"""Damaged files of items: each is read, scored or fitted on, or refused in one clear line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any

from damage import damage_json, damage_text
from runs import Tally, records, run

COMMANDS = [
    ["inspect-file"],
    ["score"],
    ["score"],
    ["score"],
    ["evaluate"],
    ["fit", "--adapter", "none"],
]
OPTIONS = [[], [], [], [], ["--delimiter", ";"], ["--encoding", "latin-1"], ["--answers", "1"]]


def _plain(number: int) -> dict[str, Any]:
    return {
        "id": f"n{number}",
        "question": f"Who keeps the {['boat', 'bell', 'mill', 'lamp'][number % 4]}?",
        "choices": [f"the {name} {number}" for name in ("miller", "fisher", "smith", "monk")],
        "answer": number % 4,
    }


def _layouts() -> dict[str, list[dict[str, Any]]]:
    """Return the same items in some of the layouts that are known."""
    plain = [_plain(number) for number in range(20)]
    return {
        "plain": plain,
        "letters": [{**each, "answer": "ABCD"[each["answer"]]} for each in plain],
        "texts": [{**each, "answer": each["choices"][each["answer"]]} for each in plain],
        "arc": [
            {
                "id": each["id"],
                "question": each["question"],
                "choices": {"text": each["choices"], "label": list("ABCD")},
                "answerKey": "ABCD"[each["answer"]],
            }
            for each in plain
        ],
        "columns": [
            {
                "question": each["question"],
                **dict(zip("ABCD", each["choices"], strict=True)),
                "answer": "ABCD"[each["answer"]],
            }
            for each in plain
        ],
        "context": [{**each, "context": "The harbour town."} for each in plain],
        "hellaswag": [
            {"ctx": each["question"], "endings": each["choices"], "label": str(each["answer"])}
            for each in plain
        ],
        "contexts": [
            {"choices": each["choices"][:2], "contexts": ["At", "In"], "answer": 0}
            for each in plain
        ],
    }


def _table(rows: list[dict[str, Any]], delimiter: str) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _file(rows: list[dict[str, Any]], random: Random) -> tuple[str, str]:
    """Return an ending and a text."""
    flat = [
        {key: _cell(value) for key, value in row.items()} for row in rows if isinstance(row, dict)
    ]
    kind = random.choice([".jsonl", ".jsonl", ".json", ".csv", ".tsv", ".ndjson"])
    if kind in (".csv", ".tsv") and flat:
        header = list(dict.fromkeys(key for row in flat for key in row))
        whole = [{key: row.get(key, "") for key in header} for row in flat]
        return kind, _table(
            whole, random.choice(",;|") if kind == ".csv" else "\t"
        ) if header else ""
    if kind == ".json":
        return kind, json.dumps(rows if random.random() < 0.7 else {"data": rows}, indent=1)
    return ".jsonl", "".join(json.dumps(row) + "\n" for row in rows)


def _cell(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return text.encode("utf-8", "replace").decode()


def fuzz_item_files(count: int, random: Random, folder: Path) -> Tally:
    """Damage so many files."""
    tally = Tally("item files")
    layouts = _layouts()
    for number in range(count):
        rows = layouts[random.choice(sorted(layouts))]
        inner = random.random() < 0.5
        if inner:
            rows = damage_json(rows, random)
            rows = rows if isinstance(rows, list) else [rows]
        ending, text = _file(rows, random)
        content = damage_text(text, random) if not inner or random.random() < 0.2 else text.encode()
        path = folder / f"items{number}{ending}"
        path.write_bytes(content)
        command, options = random.choice(COMMANDS), random.choice(OPTIONS)
        out = folder / f"out{number}"
        target = [] if command[0] in ("inspect-file", "evaluate") else ["--out", out]
        outcome = run([command[0], path, *command[1:], *options, *target])
        case = f"{path.name} {' '.join([*command, *options])}"
        if tally.add(case, outcome) and command[0] == "score":
            try:
                records(out)
            except (ValueError, KeyError, TypeError) as error:
                tally.fault("difference", f"{case}: {error}")
        if not outcome.status and command[0] == "score":
            out.unlink()
        elif outcome.status not in (0, 3) and out.exists():
            tally.fault("leftover", f"{case}: {out}")
    return tally
