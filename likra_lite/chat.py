"""Chat templates: how a model that was tuned to talk has its questions put.

A template is a Jinja program that comes with the model. It runs sandboxed: it can neither change
what it is given nor reach anything else. What is the same for every template is done as in
transformers, except that the date is fixed, so that a score is the same tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import LikraError, first_line

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ChatTemplate", "Turn"]

Turn = tuple[str, str]  # a question, and its answer

# For templates that tell the date: the one that those of Llama 3 take where they are told none.
TODAY = datetime(2024, 7, 26)


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template.

    Parameters
    ----------
    template : str
        In Jinja's language.
    tokens : mapping of str to str, optional
        Texts of the special tokens that it uses, such as ``bos_token``.
    """

    template: str
    tokens: Mapping[str, str] = field(default_factory=dict, hash=False)

    def render(self, turns: Sequence[Turn], question: str) -> str:
        """Return a conversation up to where the answer to a question begins.

        Parameters
        ----------
        turns : sequence of (question, answer)
            What was said before.
        question : str

        Returns
        -------
        str

        Raises
        ------
        LikraError
            If the template refuses the conversation, or is none.
        """
        messages = []
        for asked, answer in turns:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": question})
        try:
            return self._compiled.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self.tokens,
            )
        except Exception as error:  # it is a program, and may fail in any way
            raise LikraError(
                f"the model's chat template cannot put a question ({first_line(error)}); use "
                "another prompt"
            ) from error

    @cached_property
    def _compiled(self) -> Template:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": TODAY.strftime}
        return environment.from_string(self.template)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
