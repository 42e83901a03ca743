"""What the commands of the benchmarks are told alike: models, questions, where results go."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from shapes import SHAPES, Checkpoint
from tables import cpu_name, versions
from workers import Worker, fix_threads
from workloads import Item, longest_row

__all__ = [
    "CONTEXT",
    "Setup",
    "check_window",
    "progress",
    "with_questions",
    "with_setup",
    "write",
]

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


@dataclass(frozen=True)
class Setup:
    """What a command is told.

    Attributes
    ----------
    shape : str
        Of the random checkpoint.
    folder : Path or None
        Checkpoint to use in its place.
    threads : int
        Every worker is held to them.
    cache : Path or None
        Folder to keep models in.
    out : Path or None
        Folder for the result.
    """

    shape: str
    folder: Path | None
    threads: int
    cache: Path | None
    out: Path | None

    @contextmanager
    def checkpoint(self) -> Iterator[Checkpoint]:
        """Yield the checkpoint, made if need be; without a cache it vanishes afterwards."""
        with tempfile.TemporaryDirectory() as scratch:
            cache = self.cache or Path(scratch)
            if self.folder is not None:
                yield Checkpoint.of_folder(self.folder, cache)
                return
            checkpoint = Checkpoint.of_shape(self.shape, cache)
            progress(f"{self.shape}: making a checkpoint")
            with Worker(checkpoint) as worker:
                worker.call("make")
            yield checkpoint

    @property
    def machine(self) -> dict[str, Any]:
        """The processor, the threads and the versions, for a result."""
        return {"cpu": cpu_name(), "threads": self.threads, "versions": versions()}

    def write(self, name: str, result: dict[str, Any], markdown: str) -> None:
        """Print a result, and write it where results go; see :func:`write`."""
        write(name, result, markdown, self.out)


def with_setup(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a :class:`Setup`, and the setup as an argument."""
    from likra_lite.engine.sessions import available_threads

    @functools.wraps(command)
    def run(
        shape: str,
        folder: Path | None,
        threads: int | None,
        cache: Path | None,
        out: Path | None,
        **others: Any,
    ) -> None:
        threads = threads or available_threads()
        fix_threads(threads)
        command(setup=Setup(shape, folder, threads, cache, out), **others)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


def with_questions(model: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the items of two files, to train and to test on, and a model.

    Parameters
    ----------
    model : str
        What the model is, for the help.
    """
    from likra_lite import read_items

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(train: str, test: str, **others: Any) -> None:
            items = (read_items(path, require_answer=True) for path in (train, test))
            command(*items, **others)

        run = click.option("--model", required=True, help=model)(run)
        return click.argument("train")(click.argument("test")(run))

    return decorate


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
