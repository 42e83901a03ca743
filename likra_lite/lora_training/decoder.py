"""A frozen decoder with LoRA adapters, reading token trees."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..engine.head import Lora
from ..engine.manifest import TOKENIZER
from ..engine.tokens import TextEncoder
from ..engine.trees import PackedBatch, TokenTree
from ..errors import LikraError
from ..export.traced.loading import load_checkpoint, logit_transform, max_length, special_tokens
from ..export.traced.targets import find_targets
from ..export.traced.trunk import Trunk
from ..heads.lora_examples import pack_examples
from ..heads.lora_factors import initial_factors
from ..heads.peft_folder import PREFIX, factors_of
from ..heads.recipe import LoraRecipe
from ..system.scratch import temporary_folder

__all__ = ["LoraDecoder", "choose_dtype", "lora_config"]

TARGETS_AT_A_TIME = 1024  # logits of so many tokens are in memory


def lora_config(recipe: LoraRecipe, modules: Sequence[str], decoder: PreTrainedModel) -> LoraConfig:
    """Return PEFT's description of an adapter of some matrices of `decoder`."""
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.lora_alpha,  # type: ignore[arg-type]  # a float works
        lora_dropout=recipe.dropout,
        target_modules=list(modules),
        fan_in_fan_out=isinstance(decoder.get_submodule(modules[0]), Conv1D),
        task_type="CAUSAL_LM",
    )


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the number format of the frozen weights.

    Raises
    ------
    LikraError
        If the device does not have the one asked for.
    """
    has_it = device.type == "cpu" or torch.cuda.is_bf16_supported()
    if precision == "bfloat16" and not has_it:
        raise LikraError(
            f"{torch.cuda.get_device_name(device)} has no bfloat16; use precision float32"
        )
    wanted = precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and has_it)
    return torch.bfloat16 if wanted else torch.float32


class LoraDecoder(nn.Module):
    """A checkpoint with adapters of several names, of which one is active.

    Parameters
    ----------
    model : str
        Local folder or hub id.
    revision : str or None
    recipe : LoraRecipe
    dtype : torch.dtype
        Of the frozen weights.
    """

    def __init__(
        self,
        model: str,
        revision: str | None,
        recipe: LoraRecipe,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        decoder, self.tokenizer = load_checkpoint(model, revision, dtype)
        decoder.requires_grad_(False)
        self.recipe, self.name, self.revision = recipe, model, revision
        self.scale, self.softcap = logit_transform(decoder.config)
        self.output = decoder.get_output_embeddings()
        self.trunk = Trunk(decoder)
        found = find_targets(decoder, recipe.target_modules, recipe.top_layers)
        self.targets = list(found.modules)
        self.shapes = found.modules
        self.config = lora_config(recipe, self.targets, decoder)
        self.peft: Any = None
        self.decoder = decoder
        if recipe.gradient_checkpointing:
            decoder.gradient_checkpointing_enable({"use_reentrant": False})
        self.eval()

    @cached_property
    def encoder(self) -> TextEncoder:
        """The tokenizer with the rules by which items become trees."""
        tokens = special_tokens(self.tokenizer, self.name)
        window = max_length(self.decoder.config, self.tokenizer)
        with temporary_folder() as scratch:
            path = scratch / TOKENIZER
            self.tokenizer.backend_tokenizer.save(str(path))
            encoder = TextEncoder(
                path, tuple(tokens["prefix"]), tokens["empty"], window, len(self.output.weight)
            )
            _ = encoder.tokenizer  # read while the file is there
        return encoder

    def activate(self, name: str) -> None:
        """Train and use the adapter of this name; a new one changes nothing yet."""
        torch.manual_seed(self.recipe.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT wonders at a second adapter
            if self.peft is None:
                self.peft = get_peft_model(self.decoder, self.config, adapter_name=name)
                self._initialize(name)
            elif name not in self.peft.peft_config:
                self.peft.add_adapter(name, self.config)
                self._initialize(name)
        self.peft.set_adapter(name)
        self.to(next(self.decoder.parameters()).device)

    def _initialize(self, name: str) -> None:
        """Set the factors that every loop begins with."""
        factors = initial_factors(self.shapes, self.recipe)
        tensors = {PREFIX + key: torch.from_numpy(value) for key, value in factors.items()}
        self.set_tensors(name, tensors)

    def autocast(self, device: torch.device) -> Any:
        """Return the context in which products are in the frozen weights' number format."""
        low = self.output.weight.dtype != torch.float32
        return torch.autocast(device.type, torch.bfloat16, enabled=low)

    @property
    def parameters_to_train(self) -> list[nn.Parameter]:
        """The active adapter's factors."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return an adapter's factors as PEFT names them."""
        state = get_peft_model_state_dict(self.peft, adapter_name=name)
        return {key: value.detach().cpu().contiguous() for key, value in state.items()}

    def set_tensors(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Set an adapter's factors."""
        set_peft_model_state_dict(self.peft, tensors, adapter_name=name)

    def adapter(self, name: str) -> Lora:
        """Return an adapter as arrays."""
        arrays = {key: value.float().numpy() for key, value in self.tensors(name).items()}
        return factors_of(arrays, lambda _: self.recipe.lora_alpha / self.recipe.rank)

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write an adapter as PEFT does, to ``folder``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors(name), str(folder / "adapter_model.safetensors"), {"format": "pt"})
        self.peft.peft_config[name].save_pretrained(str(folder))

    def forward(self, packed: PackedBatch) -> Tensor:
        """Return the log-probability of every target, of shape (M,), in nats."""
        device = self.output.weight.device

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device, non_blocking=True)

        hidden, _ = self.trunk.read(
            tensor(packed.input_ids), tensor(packed.position_ids), tensor(packed.attention_bias)
        )
        hidden = hidden[tensor(packed.rows[packed.target_rows])]
        targets = tensor(packed.targets)
        parts = []
        for start in range(0, len(targets), TARGETS_AT_A_TIME):
            part = slice(start, start + TARGETS_AT_A_TIME)
            if len(targets) <= TARGETS_AT_A_TIME or not torch.is_grad_enabled():
                parts.append(self._log_probs(hidden[part], targets[part]))
            else:  # logits are computed again in the backward pass, not kept
                parts.append(
                    checkpoint(self._log_probs, hidden[part], targets[part], use_reentrant=False)
                )
        return torch.cat(parts)

    def _log_probs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.output(hidden).float() * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(1)

    @torch.no_grad()
    def log_likelihoods(
        self, trees: Sequence[TokenTree], advance: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Return each continuation's log-likelihood under the active adapter, in nats."""
        parts: list[NDArray[np.float64]] = [np.zeros(0)] * len(trees)
        for packed, order in pack_examples(trees, self.recipe.max_tokens):
            with self.autocast(self.output.weight.device):
                values = self(packed).double().cpu().numpy()
            counts = [len(trees[index].targets) for index in order]
            for index, tokens in zip(order, np.split(values, np.cumsum(counts)[:-1]), strict=True):
                starts = np.cumsum(trees[index].lengths) - trees[index].lengths
                parts[index] = np.add.reduceat(tokens, starts)
            if advance is not None:
                advance(len(order))
        return np.concatenate(parts)

    @torch.no_grad()
    def base_log_likelihoods(self, trees: Sequence[TokenTree]) -> NDArray[np.float64]:
        """Return :meth:`log_likelihoods` without any adapter."""
        if self.peft is None:
            return self.log_likelihoods(trees)
        with self.peft.disable_adapter():
            return self.log_likelihoods(trees)
