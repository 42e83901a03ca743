"""``likra-lite export``."""

from __future__ import annotations

import click

from .kinds import Registered
from .options import debug_option, out_option, reading_options
from .quantize import compare_items_option, report

__all__ = ["export"]


@click.command()
@click.argument("model")
@out_option
@click.option("--revision", help="Branch, tag or commit, if MODEL is on the Hugging Face hub.")
@click.option(
    "--precision",
    type=Registered("export:PRECISIONS"),
    default="float32",
    show_default=True,
    help="int8 takes about half the time and half the memory; see quantize.",
)
@click.option(
    "--exporter",
    type=Registered("export.exporters:EXPORTERS"),
    help="Build the graphs from the configuration, or trace them with PyTorch, through "
    "torch.export or Optimum.  "
    "[default: build what is understood, trace the rest]",
)
@compare_items_option
@reading_options
@debug_option
def export(
    model: str,
    out: str,
    revision: str | None,
    precision: str,
    exporter: str | None,
    items: str | None,
) -> None:
    """Turn a checkpoint into a model folder.

    MODEL is a local folder with a Hugging Face checkpoint, or a model id on the hub, such
    as HuggingFaceTB/SmolLM2-135M. Llama, Mistral, Qwen2, Qwen3, Gemma 1 to 3, SmolLM3, OLMo 2,
    Phi-3, Granite, GPT-2, GPT-NeoX and OPT are built from their configuration and safetensors.
    Most other decoders can be traced with PyTorch: pip install "likra-lite[export]". MODEL may
    also be a GGUF file: Llama, Qwen2, Qwen3, Gemma 1 to 3 or Phi-3, in any quantisation. The
    export ends with a comparison with another implementation, and writes nothing if they
    disagree.
    """
    from likra_lite.engine.folder_writing import check_folder_target
    from likra_lite.export import export_model, quantize_model
    from likra_lite.system.scratch import temporary_folder

    if items is not None and precision == "float32":
        raise click.UsageError("--items tells what int8 changes; add --precision int8")
    check_folder_target(out)
    with temporary_folder() as scratch:
        exact = out if precision == "float32" else str(scratch / "float32")
        manifest = export_model(model, exact, revision, verbose=True, exporter=exporter)
        size = sum(file["bytes"] for file in manifest.files.values()) / 1e6
        click.echo(
            f"exported {manifest.base_model['architecture']} to {out}: {manifest.n_layers} layers, "
            f"vocabulary {manifest.vocab_size}, window {manifest.max_length} tokens, {size:.1f} MB"
        )
        reference = "NumPy" if manifest.exporter == "built" else "PyTorch"
        click.echo(
            f"{manifest.exporter}; agrees with {reference} to "
            f"{manifest.parity['max_difference_nats']:.1e} nats per answer"
        )
        if precision == "int8":
            written = quantize_model(exact, out)
            report(exact, out, written.fingerprint, items)
