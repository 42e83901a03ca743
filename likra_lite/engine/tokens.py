"""Text pairs to token trees: the boundary, beginning-of-text and truncation rules.

Boundary. Context and continuation are encoded together and cut at the length of the
context encoded alone; spaces that end the context are moved to the continuation. This
is the rule of lm-evaluation-harness (Gao et al. 2021).

Beginning of text. What the model's own tokenizer puts before a text (recorded at export)
is put before the context, unless the context begins with it, as chat templates do. An empty
context becomes the beginning-of-text token, or the
end-of-text token where there is none.

Truncation. Where context and continuation exceed the model's window, the context is cut
on the left, by the same amount for every choice of an item, so that all are compared on
the same context. What stands at the beginning of text is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFolderError, UnscorableItemError
from .trees import TokenTree

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextEncoder"]

SHOWN = 40  # characters of a choice in a message


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer with the rules of this module.

    Parameters
    ----------
    path : Path
        The model's ``tokenizer.json``.
    prefix : tuple of int
        Token ids that the tokenizer puts before a text.
    empty : int
        Token id that stands for an empty context.
    max_length : int
        Tokens in the model's window.
    vocab_size : int
        Tokens that the model knows: 0 to ``vocab_size - 1``.
    """

    path: Path
    prefix: tuple[int, ...]
    empty: int
    max_length: int
    vocab_size: int

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer itself, read on first use."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.path))
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelFolderError(f"{self.path} is not a tokenizer: {error}") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def trees(
        self, pairs: Sequence[tuple[str, Sequence[str]]]
    ) -> tuple[list[TokenTree], list[int]]:
        """Encode contexts and their continuations.

        Parameters
        ----------
        pairs : sequence of (context, continuations)

        Returns
        -------
        trees : list of TokenTree
        truncated : list of int
            Numbers of the pairs whose context was cut.

        Raises
        ------
        UnscorableItemError
            If a continuation alone does not fit the model's window, or a text has a token that
            the model does not know. It tells of all such pairs, by their numbers.
        """
        contexts: list[str] = []
        joint: list[str] = []
        for context, continuations in pairs:
            stripped = context.rstrip()
            contexts.append(stripped)
            joint.extend(stripped + context[len(stripped) :] + text for text in continuations)
        encode = self.tokenizer.encode_batch_fast
        heads = [encoding.ids for encoding in encode(contexts, add_special_tokens=False)]
        wholes = iter(encode(joint, add_special_tokens=False))
        trees, truncated = [], []
        problems: dict[int, str] = {}
        for number, ((_, continuations), head) in enumerate(zip(pairs, heads, strict=True)):
            tails = [next(wholes).ids[len(head) :] or self._alone(text) for text in continuations]
            # A continuation's last token is predicted but never read.
            room = self.max_length - (max(map(len, tails)) - 1)
            problem = self._problem(continuations, head, tails, room)
            if problem is not None:
                problems[number] = problem
                continue
            ids = self._with_prefix(head) or [self.empty]
            if len(ids) > room:
                ids = [*self.prefix, *ids[len(ids) - (room - len(self.prefix)) :]]
                truncated.append(number)
            trees.append(TokenTree(ids, tails))
        if problems:
            raise UnscorableItemError(problems)
        return trees, truncated

    def _with_prefix(self, ids: list[int]) -> list[int]:
        """Return a context that begins as texts do."""
        length = len(self.prefix)
        return ids if tuple(ids[:length]) == self.prefix else [*self.prefix, *ids]

    def _problem(
        self, continuations: Sequence[str], head: list[int], tails: list[list[int]], room: int
    ) -> str | None:
        """Return why the model cannot read a context and its continuations, if it cannot."""
        if room < len(self.prefix) + 1:
            longest = max(range(len(tails)), key=lambda index: len(tails[index]))
            return (
                f"the choice {_shortened(continuations[longest])} has {len(tails[longest])} tokens "
                f"but the model reads {self.max_length}; shorten it or use a model with a longer "
                "window"
            )
        unknown = max(itertools.chain(head, *tails))
        if unknown >= self.vocab_size:
            return (
                f"the text has the token {self.tokenizer.id_to_token(unknown)!r} with the number "
                f"{unknown}, but the model knows only {self.vocab_size} tokens; leave it out"
            )
        return None

    def _alone(self, text: str) -> list[int]:
        """Encode a continuation that a merge with the context swallowed whole."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids or [self.empty]

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return each token as text; the pieces join to the whole text.

        A character that is made of several tokens stands with the last of them.
        """
        decode = self.tokenizer.decode
        texts, done = [], ""
        for end in range(1, len(tokens) + 1):
            whole = decode(list(tokens[:end]), skip_special_tokens=False)
            if end < len(tokens):
                whole = whole.rstrip("\ufffd")  # bytes that still wait for the rest
            texts.append(whole[len(done) :])
            done = max(done, whole, key=len)
        return texts


def _shortened(text: str) -> str:
    stripped = text.strip()
    return repr(stripped if len(stripped) <= SHOWN else f"{stripped[: SHOWN - 3]}...")
