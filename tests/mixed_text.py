"""Lines of mixed text, always the same: what tokenizers disagree about."""

from __future__ import annotations

import random

MEANT = (
    "the of and a to in is you that it he was for on are with as his they be at one have this "
    "Paris naïve café Übergröße señor I'll we've DON'T it's she'd O'Neill running quickly "
    "photosynthesis antidisestablishmentarianism camelCaseName snake_case_name HTTPServer "
    "x1 3rd 2nd 1,234,567.89 3.14159 0x1F 12345678 Ⅷ ½ \uff12\uff10 零一二 Hello, world! (really?) "
    "[yes]/no -> => != == && || :: ;; ... -- --- ### *** ~~~ `` '' \"quoted\" e.g. i.e. a.k.a. "
    "def return lambda import class while self.value[i] += 1; print(f'{x!r:>10}') "
    "<s> </s> <unk> <|endoftext|> <|im_start|> <0x0A> [PAD7] https://example.org/a?b=c&d=%20 "
    "user@example.com C:\\path\\file /usr/bin/env "
    "你好世界 機械学習 ひらがなカタカナ 한국어문장 Привет мир Καλημέρα שלום עולם مرحبا بالعالم "
    "नमस्ते दुनिया สวัสดี ជំរាបសួរ ქართული հայերեն አማርኛ"
)
ODD = (
    "😀 😶\u200d🌫️ 👨\u200d👩\u200d👧 🇩🇪 👍🏽 🦙🦙 ✅ ∑ ∞ ≠ → € £ © ™ ﬁ \u017f \u212a "
    "e\u0301 a\u030a\u0323 n\u0303 \u0301 \u200b \u200d \ufeff \u00ad \u2028 \u3000 \u00a0 \u2009 "
    "\u2581 \u2581\u2581 \U0001d54f \U00020000 \ue000 \ufffd \x00 \x01 \x07 \x0b \x0c \x1b \x7f "
    "\x85"
)
WORDS, PIECES = MEANT.split(" "), ODD.split(" ")
GAPS = [" "] * 12 + [
    "",
    "",
    "  ",
    "   ",
    "     ",
    " " * 17,
    "\t",
    "\t\t",
    " \t ",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r",
    " \n",
    "\n ",
    "\n    ",
    "\n\t\t",
]


def mixed_lines(count: int, seed: int = 0, rare: bool = True) -> list[str]:
    """Return texts with code, digits, emoji, scripts, spaces, line ends and control characters.

    `rare` is whether any character of Unicode may occur.
    """
    generator = random.Random(seed)
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(generator.randrange(14)):
            draw = generator.random()
            if draw < 0.7:
                word = generator.choice(WORDS)
                parts.append(word if draw < 0.5 else generator.choice((str.upper, str.title))(word))
            elif draw < 0.85:
                parts.append(generator.choice(PIECES))
            elif draw < 0.92 or not rare:
                parts.append(str(generator.randrange(10 ** generator.randrange(1, 12))))
            else:
                parts.append("".join(chr(_any_character(generator)) for _ in range(4)))
            parts.append(generator.choice(GAPS))
        if generator.random() < 0.3:
            parts.insert(0, generator.choice(GAPS))
        lines.append("".join(parts))
    return lines


def _any_character(generator: random.Random) -> int:
    while True:
        code = generator.randrange(generator.choice((0x80, 0x800, 0x10000, 0x110000)))
        if not 0xD800 <= code < 0xE000:
            return code
