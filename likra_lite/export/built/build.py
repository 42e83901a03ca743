"""From the description of a decoder to a checked model folder, without PyTorch."""

from __future__ import annotations

import os

import onnx
from threadpoolctl import threadpool_limits

from ...engine.folder_writing import atomic_folder, check_folder_target
from ...engine.manifest import ADAPTED, HEAD, TOKENIZER, TRUNK, WEIGHTS, Manifest
from ...errors import ExportError
from ...progress import progress_bar
from ...prompts import PROMPTS
from ..folder_graphs import complete
from ..graphs.output_graphs import WEIGHT, Projection
from ..graphs.weights import Reference, store_weights
from ..parity import draw_cases, random_adapter, write_checked
from .decoder_graph import adapted_graph, lora_shapes, trunk_graph
from .decoder_spec import Checkpoint, check_tensors
from .reference import reference_scores

__all__ = ["build_model_folder"]

STEPS = ("writing", "scoring with NumPy", "checking")
NUMPY = "NumPy in double precision"
LONGEST = 256  # tokens of the longest text that is scored with it


def build_model_folder(
    checkpoint: Checkpoint, out: str | os.PathLike[str], verbose: bool = False
) -> Manifest:
    """Write the model folder of a decoder, and check it against :mod:`.reference`.

    Parameters
    ----------
    checkpoint : Checkpoint
    out : path
        The model folder to write; an existing one is replaced.
    verbose : bool, default=False
        Show the progress, on stderr, of what takes more than two seconds.

    Returns
    -------
    Manifest

    Raises
    ------
    ExportError
        If the tensors are not those of the decoder, or the graphs differ from the reference.
        Nothing is written then.
    """
    spec = checkpoint.spec
    check_folder_target(out)
    check_tensors(spec, checkpoint.tensors)
    for token in (*checkpoint.prefix, checkpoint.empty):
        if token >= spec.vocab_size:
            raise ExportError(
                f"{spec.architecture}: texts are to begin with token {token}, but the model knows "
                f"only {spec.vocab_size} tokens"
            )
    with (
        progress_bar(len(STEPS), STEPS[0], verbose, unit="step") as bar,
        atomic_folder(out) as folder,
        # With more threads, NumPy waits for them in a loop wherever others use the cores too.
        threadpool_limits(1, user_api="blas"),
    ):
        projection = _projection(checkpoint)
        names = store_weights(_graphs(checkpoint, projection), folder, WEIGHTS, checkpoint.tensors)
        (folder / TOKENIZER).write_text(checkpoint.tokenizer, encoding="utf-8")
        manifest = Manifest(
            base_model={
                "id": checkpoint.name,
                "revision": checkpoint.revision,
                "architecture": spec.architecture,
            },
            precision="float32",
            hidden_size=spec.hidden_size,
            vocab_size=spec.vocab_size,
            n_layers=len(spec.layers),
            max_length=spec.max_length,
            head={"weight": names[HEAD, WEIGHT], "logit_scale": spec.logit_scale},
            tokens={"prefix": list(checkpoint.prefix), "empty": checkpoint.empty},
            prompt=PROMPTS["question"],
            exporter="built",
            chat=checkpoint.chat,
        )
        bar.update()
        bar.set_description(STEPS[1])
        window = min((layer.window for layer in spec.layers if layer.window), default=None)
        cases = draw_cases(spec.vocab_size, spec.max_length, window, LONGEST)
        probe = random_adapter(lora_shapes(spec, checkpoint.tensors))
        expected = reference_scores(checkpoint, cases, [None, probe])
        bar.update()
        bar.set_description(STEPS[2])
        found = list(zip((None, probe), expected, strict=True))
        return write_checked(folder, manifest, cases, found, NUMPY)


def _projection(checkpoint: Checkpoint) -> Projection:
    spec, tensors = checkpoint.spec, checkpoint.tensors
    weight = "output.weight" if "output.weight" in tensors else "embedding.weight"
    bias = "output.bias" if "output.bias" in tensors else None
    return Projection(
        Reference(weight, tensors[weight].shape),
        None if bias is None else Reference(bias, tensors[bias].shape),
        spec.logit_scale,
        spec.logit_softcap,
    )


def _graphs(checkpoint: Checkpoint, projection: Projection) -> dict[str, onnx.ModelProto]:
    spec, tensors = checkpoint.spec, checkpoint.tensors
    trunks = {TRUNK: trunk_graph(spec, tensors), ADAPTED: adapted_graph(spec, tensors)}
    return complete(trunks, projection)
