"""``config.json`` of a checkpoint, read so that nothing in it goes unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ExportError

__all__ = ["ConfigFile"]

# What does not change what a model computes when it reads a text: names, training, generation.
HARMLESS = """
_attn_implementation _attn_implementation_autoset _commit_hash _name_or_path architectures
attention_dropout attn_pdrop attn_implementation auto_map begin_suppress_tokens bos_token_id
boi_token_index cache_implementation chunk_size_feed_forward classifier_dropout
classifier_dropout_prob cross_attention_hidden_size decoder_start_token_id diversity_penalty
do_sample dropout dtype early_stopping embd_pdrop embedding_dropout encoder_no_repeat_ngram_size
eoi_token_index eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id
forced_eos_token_id gradient_checkpointing hidden_dropout id2label image_token_index init_std
initializer_factor initializer_range is_decoder label2id layerdrop length_penalty max_length
min_length model_type no_repeat_ngram_size num_beam_groups num_beams num_return_sequences
output_attentions output_hidden_states output_past output_scores pad_token_id prefix
pretraining_tp problem_type pruned_heads remove_invalid_values repetition_penalty resid_pdrop
return_dict return_dict_in_generate reorder_and_upcast_attn sep_token_id summary_activation
summary_first_dropout summary_proj_to_labels summary_type summary_use_proj suppress_tokens
task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype
torchscript transformers.js_config transformers_version typical_p use_bfloat16 use_cache
"""


class ConfigFile:
    """The settings of a checkpoint; remembers which of them were asked for.

    Parameters
    ----------
    content : mapping
        Of ``config.json``.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = dict(content)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting, which may be None, or `default` where there is none."""
        self.asked.add(key)
        return self.content.get(key, default)

    def __getitem__(self, key: str) -> Any:
        """Return a setting that must be there."""
        value = self.get(key)
        if value is None:
            raise ExportError(f"config.json has no {key}")
        return value

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def expect(self, key: str, value: Any) -> None:
        """Raise ExportError if a setting is there and is not `value`, the only known one."""
        got = self.get(key)
        if got is not None and got != value:
            raise ExportError(f"config.json has {key}={got!r}; only {value!r} is known")

    def check_all_understood(self) -> None:
        """Raise ExportError if there are settings that nobody asked for and that may matter."""
        known = self.asked.union(HARMLESS.split())
        left = [
            key for key, value in self.content.items() if value is not None and key not in known
        ]
        if left:
            named = ", ".join(f"{key}={_short(self.content[key])}" for key in sorted(left)[:3])
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            raise ExportError(f"config.json has settings that are not known: {named}{more}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
