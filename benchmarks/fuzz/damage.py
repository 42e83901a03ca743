"""Random damage to texts, bytes and JSON."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

STRANGE = [
    "\x00", "\ufeff", "\u202e", "\u2028", "\N{PILE OF POO}", "e\N{COMBINING ACUTE ACCENT}" * 50,
    "\x1b[31m", "\r", '"', "'", "\\", "\\ud800", ",", "\t", ";", "{", "[", "]", "}", "NaN", "1e999",
    "-1", "99999999999999999999", "null", "true", " ", "\xa0", "", "A", "(A)", "[[", "${x}",
    "{question}", "{{", "%s", "a" * 3000,
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 99, 10**30, 1.5, float("nan"), float("inf"), "", " ", "A", "a",
    "7", "B C", [], [[]], ["a"], ["a", "b"], [1, 2], {}, {"a": 1}, "\x00", "\ud800",
    {"text": ["x", "y"], "label": ["A", "B"]},
]  # fmt: skip


def damage_bytes(content: bytes, random: Random) -> bytes:
    """Return some bytes after one to three random changes."""
    for _ in range(random.randint(1, 3)):
        start, end = sorted(random.randrange(len(content) + 1) for _ in range(2))
        end = min(end, start + random.choice([1, 4, 64, 4096]))
        part = content[start:end]
        kind = random.choice(["flip", "cut", "repeat", "noise", "end", "zeros", "insert"])
        if kind == "flip" and content:
            place = random.randrange(len(content))
            flipped = content[place] ^ 1 << random.randrange(8)
            content = content[:place] + bytes([flipped]) + content[place + 1 :]
        elif kind == "cut":
            content = content[:start] + content[end:]
        elif kind == "repeat":
            content = content[:end] + part * random.randint(1, 3) + content[end:]
        elif kind == "noise":
            content = content[:start] + random.randbytes(len(part)) + content[end:]
        elif kind == "end":
            content = content[:start]
        elif kind == "zeros":
            content = content[:start] + bytes(len(part)) + content[end:]
        elif kind == "insert":
            content = content[:start] + random.randbytes(random.randint(1, 8)) + content[start:]
    return content


def damage_text(text: str, random: Random) -> bytes:
    """Return a text of items after random changes: of characters, of lines, of its encoding."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        kind = random.choice(["insert", "insert", "lines", "words", "bytes", "ends"])
        place = random.randrange(len(text) + 1)
        if kind == "insert":
            text = text[:place] + random.choice(STRANGE) + text[place:]
        elif kind == "lines":
            lines = text.splitlines(keepends=True) or [""]
            one, other = (random.randrange(len(lines)) for _ in range(2))
            change = random.choice(["swap", "drop", "twice", "join"])
            if change == "swap":
                lines[one], lines[other] = lines[other], lines[one]
            elif change == "drop":
                del lines[one]
            elif change == "twice":
                lines.insert(other, lines[one])
            else:
                lines[one] = lines[one].rstrip("\r\n")
            text = "".join(lines)
        elif kind == "words":
            words = text.split(" ")
            words[random.randrange(len(words))] = random.choice(STRANGE)
            text = " ".join(words)
        elif kind == "ends":
            text = text.replace("\n", random.choice(["\r\n", "\r", "\n\n", "\x0b"]))
        else:
            changed = damage_bytes(text.encode("utf-8", "surrogatepass"), random)
            if random.random() < 0.5:
                return changed
            text = changed.decode("utf-8", "replace")
    encoding = random.choice(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "latin-1", "cp1252"])
    return text.encode(encoding, "replace")


def damage_json(content: Any, random: Random) -> Any:
    """Return a JSON value after one or two random changes somewhere inside."""
    content = copy.deepcopy(content)
    for _ in range(random.randint(1, 2)):
        holders = list(_holders(content))
        if not holders:
            return random.choice(VALUES)
        holder, key = random.choice(holders)
        kind = random.choice(["value", "value", "drop", "rename"])
        if kind == "value":
            holder[key] = copy.deepcopy(random.choice(VALUES))
        elif kind == "drop":
            del holder[key]
        elif isinstance(holder, dict):
            holder[random.choice(["", "x", "../x", "answer", "question", "\x00"])] = holder.pop(key)
    return content


def _holders(content: Any) -> Any:
    """Yield every place inside: what holds it, and the key or index."""
    if isinstance(content, dict | list):
        keys = content if isinstance(content, dict) else range(len(content))
        for key in keys:
            yield content, key
            yield from _holders(content[key])
