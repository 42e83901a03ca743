"""PEFT's description of an adapter; a setting that is not understood is refused.

PEFT's kinds of LoRA grow with every version. So a setting that is not listed here must be
switched off, and what it is called is said if it is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ModelFolderError

__all__ = ["PeftConfig"]

# How an adapter was made, and where it belongs; of no effect on what it computes.
NO_EFFECT = frozenset(
    (
        "auto_mapping",
        "base_model_name_or_path",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
    )
)
USED = frozenset(("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"))
# Beside these, an initialisation may change the weights of the base model.
INITIALISATIONS = (True, False, "gaussian", "orthogonal")
OFF: tuple[Any, ...] = (None, False, "none", {}, [])


class PeftConfig:
    """An ``adapter_config.json``.

    Parameters
    ----------
    content : mapping
    where : str
        What the adapter is called in messages.

    Raises
    ------
    ModelFolderError
        If it is no plain LoRA, or says anything that is not understood.
    """

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.where = where
        self.kind = content.get("peft_type")
        initialisation = content.get("init_lora_weights", True)
        odd = [
            name
            for name, value in content.items()
            if name not in NO_EFFECT | USED and name != "init_lora_weights" and value not in OFF
        ]
        if self.kind != "LORA" or odd:
            what = f"{odd[0]}={content[odd[0]]!r}" if odd else f"peft_type={self.kind!r}"
            raise ModelFolderError(f"{where} has {what}; only plain LoRA adapters can be imported")
        if initialisation not in INITIALISATIONS:
            raise ModelFolderError(
                f"{where} has init_lora_weights={initialisation!r}, which may have changed the "
                "weights of the base model; save it as plain LoRA first, with PEFT's "
                "save_pretrained(..., path_initial_model_for_weight_conversion=...)"
            )
        try:
            self.rank, self.alpha = int(content["r"]), float(content["lora_alpha"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFolderError(
                f"{where} has no number for r or lora_alpha ({type(error).__name__}: {error})"
            ) from None
        self.ranks = self._patterns(content, "rank_pattern")
        self.alphas = self._patterns(content, "alpha_pattern")
        self.root_of_rank = bool(content.get("use_rslora"))

    def _patterns(self, content: Mapping[str, Any], name: str) -> list[tuple[re.Pattern[str], Any]]:
        """Return regular expressions of modules, which PEFT matches at the end of their names."""
        try:
            return [
                (re.compile(rf"(.*\.)?({key})$"), value)
                for key, value in (content.get(name) or {}).items()
            ]
        except (re.error, AttributeError) as error:
            raise ModelFolderError(f"{self.where} has a {name} that is none: {error}") from None

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's matrices."""
        return int(next((rank for key, rank in self.ranks if key.match(module)), self.rank))

    def scale_of(self, module: str) -> float:
        """Return the factor on the product of a module's matrices."""
        rank = self.rank_of(module)
        alpha = next((alpha for key, alpha in self.alphas if key.match(module)), self.alpha)
        return float(alpha) / (rank**0.5 if self.root_of_rank else rank)
