"""What an entry of the table of families says; see :mod:`.families`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checkpoint.config_file import ConfigFile
from .decoder_spec import LayerSpec
from .layer_kinds import rotary_everywhere

__all__ = ["Family", "Key", "Part"]


@dataclass(frozen=True)
class Key:
    """A parameter that ``config.json`` gives.

    Parameters
    ----------
    name : str
    default : object
        Where the file does not have it, as in old files; required by default.
    """

    name: str
    default: Any = None


@dataclass(frozen=True)
class Part:
    """A part of the block that is not alone in its tensor.

    Parameters
    ----------
    path : str
        Of the tensor, with ``{}`` for the layer.
    layout : {"thirds", "groups", "heads", "offset"}
        Queries, keys and values beside each other, of equal width or of their own; or those of
        the first head, of the second, and so on; or rows of which the first two are not used.
    index : int
        0, 1 or 2 for queries, keys and values.
    """

    path: str
    layout: str
    index: int = 0


@dataclass(frozen=True)
class Family:
    """How one family's checkpoints are read.

    Parameters
    ----------
    architecture : str
        The class in transformers.
    parameters : mapping
        Parameter of :class:`.DecoderSpec` to a :class:`Key`, to a function of the configuration
        or to a value.
    parts : mapping of str to str or Part
        Name of a tensor, without ``layers.{i}.`` and ``.weight``, to its path in the file.
    layers : callable
        Returns what differs from layer to layer, of the configuration, the number of layers and
        the size of a head.
    expected : mapping
        Settings that must have one value where they are there; or a function of the
        configuration for it.
    noted : tuple of str
        Settings that need no reading: the tensors show what they say, or they do not matter.
    tied : bool
        Whether output and input embedding are one where ``tie_word_embeddings`` is not there.
    norm_offset : float
        Added to the weights of all norms.
    transposed : bool
        Whether matrices lie as ``[n_out, n_in]``.
    base : str
        What paths begin with in files of the whole model, and not in files of its body.
    ignored : tuple of str
        Regular expressions of tensors that are no weights.
    """

    architecture: str
    parameters: Mapping[str, Any]
    parts: Mapping[str, str | Part]
    layers: Callable[[ConfigFile, int, int], tuple[LayerSpec, ...]] = rotary_everywhere
    expected: Mapping[str, Any] = field(default_factory=dict)
    noted: tuple[str, ...] = ("attention_bias", "mlp_bias", "hidden_act")
    tied: bool = False
    norm_offset: float = 0.0
    transposed: bool = True
    base: str = "model."
    ignored: tuple[str, ...] = (r"rotary_emb\.inv_freq$",)
