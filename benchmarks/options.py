"""What the commands of the benchmarks have in common."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from shapes import SHAPES, Checkpoint
from workers import Worker, fix_threads
from workloads import Item, longest_row

__all__ = ["check_window", "common_options", "prepared", "progress", "threads_or_cores", "write"]

CONTEXT = {"show_default": True, "max_content_width": 100}
OPTIONS = (
    click.option("--shape", type=click.Choice(list(SHAPES)), default="smollm2-135m"),
    click.option(
        "--checkpoint",
        "folder",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Hugging Face checkpoint to use in place of a random one.",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="[default: the physical cores]"),
    click.option("--cache", type=click.Path(path_type=Path), help="Folder to keep models in."),
    click.option("--out", type=click.Path(path_type=Path), help="Folder for the result."),
)


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options ``shape``, ``folder``, ``threads``, ``cache`` and ``out``."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def threads_or_cores(threads: int | None) -> int:
    """Return the number of threads asked for, or of physical cores, and hold all workers to it."""
    from likra_lite.engine.sessions import available_threads

    threads = threads or available_threads()
    fix_threads(threads)
    return threads


@contextmanager
def prepared(shape: str, folder: Path | None, cache: Path | None) -> Iterator[Checkpoint]:
    """Yield the checkpoint asked for, made if need be; without a cache it vanishes afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = cache or Path(scratch)
        checkpoint = (
            Checkpoint.of_folder(folder, cache) if folder else Checkpoint.of_shape(shape, cache)
        )
        if folder is None:
            progress(f"{shape}: making a checkpoint")
            with Worker(checkpoint) as worker:
                worker.call("make")
        yield checkpoint


def check_window(items: list[Item], checkpoint: Checkpoint) -> None:
    """Raise an error for the command line if the longest row does not fit the model."""
    longest = longest_row(items)
    if longest > checkpoint.window:
        raise click.ClickException(
            f"the longest row has {longest:,} tokens but {checkpoint.name} reads "
            f"{checkpoint.window:,}"
        )


def progress(text: str) -> None:
    """Tell on stderr what begins."""
    click.echo(text, err=True)


def write(name: str, result: dict[str, Any], markdown: str, out: Path | None) -> None:
    """Print a result, and write it to `out` as ``name.md`` and ``name.json`` if there is one."""
    click.echo(markdown, nl=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.md").write_text(markdown, encoding="utf-8")
        text = json.dumps(result, indent=2)
        (out / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
