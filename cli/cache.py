"""``likra-lite cache``."""

from __future__ import annotations

import click

from .options import debug_option

__all__ = ["cache"]


@click.command()
@click.option("--clear", is_flag=True, help="Delete the cache.")
@debug_option
def cache(clear: bool) -> None:
    """Show where the cache of log-likelihoods and hidden states is, and how large.

    The environment variable LIKRA_LITE_CACHE names another folder, or is "off".
    """
    from likra_lite.engine.cache import default_cache

    kept = default_cache()
    if kept is None:
        click.echo("the cache is off (LIKRA_LITE_CACHE=off)")
        return
    if clear:
        kept.clear()
    count, size = kept.usage()
    noun = "entry" if count == 1 else "entries"
    click.echo(f"{kept.path}: {count} {noun}, {size / 1e6:.1f} MB")
