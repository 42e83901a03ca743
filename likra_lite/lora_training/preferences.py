"""Direct preference optimisation through TRL (extra ``baselines``), a rival of the ratio.

Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a reward
model", arXiv 2305.18290.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import get_peft_model_state_dict
from transformers import PrinterCallback, TrainerCallback

from ..engine.head import Lora
from ..engine.pairs import Pair
from ..errors import LikraError, import_extra
from ..export.traced.loading import load_checkpoint
from ..heads.peft_folder import factors_of
from ..heads.recipe import LoraRecipe
from .decoder import choose_dtype, lora_config

__all__ = ["train_preferences"]


class _Advance(TrainerCallback):
    def __init__(self, advance: Callable[[int], object], examples: int) -> None:
        self.advance, self.examples = advance, examples

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.advance(self.examples)


DEFAULT_RATE = 1e-4  # the paper's, for LoRA


def train_preferences(
    checkpoint: str,
    revision: str | None,
    pairs: Sequence[Pair],
    recipe: LoraRecipe,
    modules: Sequence[str],
    max_length: int,
    folder: Path,
    advance: Callable[[int], object],
) -> Lora:
    """Train an adapter to prefer right answers.

    TRL tokenises for itself, and an end-of-text token follows every answer.

    Parameters
    ----------
    checkpoint, revision
        What to train.
    pairs : sequence of (context, continuations)
        The first continuation is right; each other one makes a preference with it.
    recipe : LoraRecipe
    modules : sequence of str
        Paths of the matrices to adapt.
    max_length : int
        The model's window in tokens.
    folder : Path
        Where the adapter is written as PEFT does.
    advance : callable
        Called with the number of examples done.

    Returns
    -------
    Lora

    Raises
    ------
    MissingExtraError
        If TRL is not installed.
    LikraError
        If the recipe asks for what TRL's trainer is not given.
    """
    trl: Any = import_extra("trl", "baselines")
    datasets: Any = import_extra("datasets", "baselines")
    if recipe.patience is not None:
        raise LikraError("objective 'dpo' has no early stop; leave out patience")
    datasets.disable_progress_bars()
    for library in ("trl", "transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)
    where = PartialState()
    dtype = choose_dtype(recipe.precision, where.device)
    decoder, tokenizer = load_checkpoint(checkpoint, revision, dtype)
    torch.manual_seed(recipe.seed)
    rows = [
        {"prompt": context, "chosen": right, "rejected": wrong}
        for context, (right, *others) in pairs
        for wrong in others
    ]
    arguments = trl.DPOConfig(
        output_dir=str(folder),
        beta=recipe.dpo_beta,
        learning_rate=recipe.learning_rate or DEFAULT_RATE,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        per_device_train_batch_size=max(1, recipe.batch_size // where.num_processes),
        num_train_epochs=recipe.epochs,
        gradient_checkpointing=recipe.gradient_checkpointing,
        bf16=dtype == torch.bfloat16,
        max_length=max_length,
        max_grad_norm=0.0,
        seed=recipe.seed,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=where.device.type == "cpu",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the trainer's own defaults
        trainer = trl.DPOTrainer(
            decoder,
            args=arguments,
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora_config(recipe, modules, decoder),
            callbacks=[_Advance(advance, recipe.batch_size)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if where.is_main_process:
        trained.save_pretrained(str(folder))
    state = get_peft_model_state_dict(trained)
    arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in state.items()}
    return factors_of(arrays, lambda _: recipe.lora_alpha / recipe.rank)
