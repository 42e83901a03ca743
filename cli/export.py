"""``likra-lite export``."""

from __future__ import annotations

import click

from .options import debug_option

__all__ = ["export"]


@click.command()
@click.argument("model")
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(), help="Model folder to write."
)
@click.option("--revision", help="Branch, tag or commit, if MODEL is on the Hugging Face hub.")
@debug_option
def export(model: str, out: str, revision: str | None) -> None:
    """Turn a checkpoint into a model folder that needs no PyTorch.

    MODEL is a local folder with a Hugging Face checkpoint, or a model id on the hub, such
    as HuggingFaceTB/SmolLM2-135M. Decoder-only models of most architectures work. The
    export ends with a comparison with PyTorch and writes nothing if they disagree. It
    needs the extra: pip install "likra-lite[export]".
    """
    from likra_lite.export import export_model

    manifest = export_model(model, out, revision, verbose=True)
    size = sum(file["bytes"] for file in manifest.files.values()) / 1e6
    click.echo(
        f"exported {manifest.base_model['architecture']} to {out}: {manifest.n_layers} layers, "
        f"vocabulary {manifest.vocab_size}, window {manifest.max_length} tokens, {size:.1f} MB"
    )
    click.echo(
        f"agrees with PyTorch to {manifest.parity['max_difference_nats']:.1e} nats per answer"
    )
