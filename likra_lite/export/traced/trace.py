"""From a Hugging Face checkpoint to a checked model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from transformers import PreTrainedModel

from ...engine.folder_writing import atomic_folder, check_folder_target
from ...engine.manifest import ADAPTED, HEAD, TOKENIZER, TRUNK, WEIGHTS, Manifest
from ...errors import ExportError, first_line
from ...progress import progress_bar
from ...prompts import PROMPTS
from ...system.scratch import temporary_folder
from ..checkpoint.chat_files import chat_settings
from ..exporters import default_tracer
from ..folder_graphs import complete
from ..graphs.output_graphs import WEIGHT, Projection
from ..graphs.weights import store_weights
from ..parity import random_adapter, write_checked
from .adapted import AdaptedTrunk
from .loading import load_checkpoint, logit_transform, max_length, name_of, special_tokens
from .targets import Targets, find_targets
from .torch_reference import merged, torch_scores
from .tracers import Tracer, open_tracer, trunk_graph
from .trunk import Trunk, past_shapes

__all__ = ["export_checkpoint"]


STEPS = ("loading", "scoring with PyTorch", "tracing", "writing", "checking")


def export_checkpoint(
    model: str,
    out: Path,
    revision: str | None,
    verbose: bool,
    adapt: Callable[[PreTrainedModel], Targets] = find_targets,
    tracer: str | None = None,
) -> Manifest:
    """Do the work of :func:`likra_lite.export.export_model`.

    `adapt` finds what LoRA heads may change. `tracer` is a key of :data:`.exporters.TRACERS`,
    the first that is installed if None.
    """
    check_folder_target(out)
    trace = open_tracer(tracer or default_tracer())
    with progress_bar(len(STEPS), STEPS[0], verbose, unit="step") as bar:

        def step(done: int) -> None:
            bar.update()
            bar.set_description(STEPS[done])

        # Eager attention is the reference that the graphs are compared with.
        decoder, tokenizer = load_checkpoint(model, revision)
        window = max_length(decoder.config, tokenizer)
        tokens = special_tokens(tokenizer, model)
        step(1)
        cases, expected = torch_scores(decoder, window)
        targets = adapt(decoder)
        probe = random_adapter(targets.modules)
        with merged(decoder, probe):
            adapted = torch_scores(decoder, window)[1]
        architecture = type(decoder).__name__
        step(2)
        with atomic_folder(out) as folder:
            graphs = _graphs(decoder, architecture, targets, trace)
            step(3)
            names = store_weights(graphs, folder, WEIGHTS)
            tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
            vocabulary, size = decoder.get_output_embeddings().weight.shape
            manifest = Manifest(
                base_model=name_of(model, decoder, revision),
                precision="float32",
                hidden_size=size,
                vocab_size=vocabulary,
                n_layers=decoder.config.num_hidden_layers,
                max_length=window,
                head={
                    "weight": names[HEAD, WEIGHT],
                    "logit_scale": logit_transform(decoder.config)[0],
                },
                tokens=tokens,
                prompt=PROMPTS["question"],
                chat=chat_settings(tokenizer.chat_template, tokenizer.special_tokens_map),
            )
            step(4)
            found = [(None, expected), (probe, adapted)]
            return write_checked(folder, manifest, cases, found, "PyTorch")


def _graphs(
    decoder: PreTrainedModel, architecture: str, targets: Targets, trace: Tracer
) -> dict[str, onnx.ModelProto]:
    """Return the graphs by file name. The decoder's attention is replaced for good."""
    output = decoder.get_output_embeddings()
    if output is None:
        raise ExportError(
            f"{architecture} has no vocabulary projection; expected a causal language model"
        )
    bias = None if output.bias is None else output.bias.detach().numpy()
    projection = Projection(output.weight.detach().numpy(), bias, *logit_transform(decoder.config))
    trunk = Trunk(decoder).eval()
    past = past_shapes(trunk)
    with temporary_folder() as scratch:
        try:
            graphs = {TRUNK: trunk_graph(trunk, past, scratch / TRUNK, trace)}
            trunk = AdaptedTrunk(decoder, targets).eval()
            graphs[ADAPTED] = trunk_graph(trunk, past, scratch / ADAPTED, trace)
        except OSError:  # a full disk is told of by who writes the folder
            raise
        except Exception as error:
            raise ExportError(
                f"{architecture} cannot be traced to ONNX: {first_line(error)}"
            ) from error
    return complete(graphs, projection)
