"""The tokenizer of a checkpoint, and what it puts before a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from ...errors import ExportError, first_line
from .config_file import ConfigFile
from .sources import read_settings

__all__ = ["TokenizerFiles"]

# Classes that put a beginning of text before every text, or not, whatever tokenizer.json says:
# what they do unless ``add_bos_token`` says otherwise, and which token that is.
RULES: dict[str, tuple[bool, str]] = {
    "CodeLlamaTokenizer": (True, "<s>"),
    "GemmaTokenizer": (True, "<bos>"),
    "GPTNeoXTokenizer": (False, "<|endoftext|>"),
    "LlamaTokenizer": (True, "<s>"),
}
# The class where a checkpoint names none.
CLASSES = {
    "gemma": "GemmaTokenizer",
    "gemma2": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer",
    "gpt_neox": "GPTNeoXTokenizer",
    "llama": "LlamaTokenizer",
    "mistral": "LlamaTokenizer",
    "phi3": "LlamaTokenizer",
}
BYTE_LEVEL = ("GPT2Tokenizer",)  # classes whose vocab.json and merges.txt say all


class TokenizerFiles:
    """The tokenizer in a folder.

    Parameters
    ----------
    folder : Path
    config : ConfigFile
        Of the model.

    Attributes
    ----------
    json : str
        What ``tokenizer.json`` of the model folder is to hold.
    prefix : tuple of int
        Token ids that the tokenizer puts before a text.
    empty : int
        Token id that stands for no text: the beginning of text, or else its end.

    Raises
    ------
    ExportError
        If there is none that can be used, or it has neither of these tokens.
    """

    def __init__(self, folder: Path, config: ConfigFile) -> None:
        self.settings = {
            **_json(folder / "special_tokens_map.json"),
            **_json(folder / "tokenizer_config.json"),
        }
        self.kind = self._kind(config)
        tokenizer = self._open(folder)
        self.json = tokenizer.to_str()
        begin = self._token(tokenizer, "bos_token", config)
        end = self._token(tokenizer, "eos_token", config)
        self.prefix = self._prefix(tokenizer, begin)
        empty = next((token for token in (begin, end, *self.prefix) if token is not None), None)
        if empty is None:
            raise ExportError(f"the tokenizer of {folder} has neither a bos nor an eos token")
        self.empty = empty

    def _kind(self, config: ConfigFile) -> str:
        named = self.settings.get("tokenizer_class") or config.get("tokenizer_class")
        return (named or CLASSES.get(config.get("model_type"), "")).removesuffix("Fast")

    def _open(self, folder: Path) -> Tokenizer:
        path = folder / "tokenizer.json"
        try:
            if path.is_file():
                content = json.loads(path.read_text(encoding="utf-8"))
                self._follow_prefix_space(content.get("pre_tokenizer"))
                tokenizer = Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
            elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                tokenizer = self._byte_level(folder)
            else:
                raise ExportError(_advice(folder))
        except ExportError:
            raise
        except Exception as error:  # tokenizers raises plain Exception
            raise ExportError(
                f"the tokenizer of {folder} cannot be read: {first_line(error)}"
            ) from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _follow_prefix_space(self, pre_tokenizer: Any) -> None:
        """Let the settings decide whether a text gets a space before it, as transformers does."""
        if isinstance(pre_tokenizer, dict) and "add_prefix_space" in pre_tokenizer:
            pre_tokenizer["add_prefix_space"] = bool(self.settings.get("add_prefix_space", False))

    def _byte_level(self, folder: Path) -> Tokenizer:
        """Build a byte-level BPE tokenizer from its two files."""
        if self.kind not in BYTE_LEVEL:
            raise ExportError(_advice(folder))
        vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
        tokenizer = Tokenizer(models.BPE.from_file(vocabulary, merges))
        space = bool(self.settings.get("add_prefix_space", False))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
        tokenizer.decoder = decoders.ByteLevel()
        special = [
            text
            for name in ("bos_token", "eos_token", "unk_token", "pad_token")
            for text in [_text(self.settings.get(name))]
            if text is not None and tokenizer.token_to_id(text) is not None
        ]
        tokenizer.add_special_tokens(special)
        begin = _text(self.settings.get("bos_token"))
        if self.settings.get("add_bos_token") and begin is not None:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=[begin, "$A"], special_tokens=[(begin, tokenizer.token_to_id(begin))]
            )
        return tokenizer

    def _token(self, tokenizer: Tokenizer, name: str, config: ConfigFile) -> int | None:
        """Return the id of a special token: by its text, or else by the model's own settings."""
        text = _text(self.settings.get(name))
        if text is not None:
            return tokenizer.token_to_id(text)
        if name in self.settings:
            return None  # it says that there is none
        if name == "bos_token" and self.kind in RULES:
            return tokenizer.token_to_id(RULES[self.kind][1])
        named = config.get(f"{name}_id")
        return named[0] if isinstance(named, list) else named

    def _prefix(self, tokenizer: Tokenizer, begin: int | None) -> tuple[int, ...]:
        if self.kind in RULES:
            put = self.settings.get("add_bos_token", RULES[self.kind][0])
            if put and begin is None:
                raise ExportError("the tokenizer is to begin with a bos token, but there is none")
            return (begin,) if put and begin is not None else ()
        bare = tokenizer.encode("a", add_special_tokens=False).ids
        full = tokenizer.encode("a").ids
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return tuple(full[:start])
        return ()


def _json(path: Path) -> dict[str, Any]:
    return read_settings(path) if path.is_file() else {}


def _text(token: Any) -> str | None:
    """Return a special token, which stands as its text or as settings with its ``content``."""
    return token.get("content") if isinstance(token, dict) else token


def _advice(folder: Path) -> str:
    if (folder / "tokenizer.model").is_file():
        return (
            f"{folder} has tokenizer.model but no tokenizer.json; write one with: python -c "
            f"\"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{folder}')"
            f".save_pretrained('{folder}')\""
        )
    return f"{folder} has no tokenizer.json"
