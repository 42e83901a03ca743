"""Opening the items and models that the arguments of a command name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import reading

if TYPE_CHECKING:
    from likra_lite.engine.base import Engine
    from likra_lite.experiments import Experiment
    from likra_lite.heads.opened import Opened
    from likra_lite.heads.recipe import LoraRecipe
    from likra_lite.questions.files import ItemFile
    from likra_lite.questions.item import Item

__all__ = [
    "check_outputs",
    "find_item",
    "identity_of",
    "is_bundled",
    "open_experiment",
    "open_items",
    "open_model",
    "read_answered",
    "stream_items",
    "warn_of_bundled_model",
    "warn_of_training_items",
]

DEMO = "demo"  # in place of a file: the bundled items
FEWEST_TO_SPLIT = 10  # items: a fifth of them is two
HANDWRITTEN = "handwritten"  # the same, written by hand


def is_bundled(items: str) -> bool:
    """Return whether the argument names bundled items and not a file."""
    return items in (DEMO, HANDWRITTEN)


def warn_of_bundled_model(model: str | None, items: str) -> None:
    """Say that the bundled model does not know the questions of a file."""
    if model is None and not is_bundled(items):
        click.echo(
            "likra-lite: warning: the bundled model knows only the made-up world of the demo; for "
            "other questions export a model and pass --model",
            err=True,
        )


def warn_of_training_items(model: str | None, items: Sequence[Item]) -> None:
    """Warn of items to test on that the heads of a model folder were fitted on.

    Warns
    -----
    OverlapWarning
    """
    from likra_lite.heads.saved import read_training_hashes
    from likra_lite.questions.item import warn_of_overlap

    if model is not None:
        warn_of_overlap(read_training_hashes(Path(model)), items)


def check_outputs(outputs: Mapping[str, str | None], inputs: Mapping[str, str]) -> None:
    """Raise LikraError if a file to write is one that is read or written already, or cannot be.

    Both are by the name of their option.
    """
    from likra_lite.errors import LikraError
    from likra_lite.system.atomic import check_file_target

    taken = {Path(path).resolve(): name for name, path in inputs.items() if not is_bundled(path)}
    for name, path in outputs.items():
        if path is None:
            continue
        check_file_target(path)
        other = taken.setdefault(Path(path).resolve(), name)
        if other != name:
            raise LikraError(f"{path}: {name} and {other} are the same file; choose another")


def open_items(items: str, has_labels: bool = True) -> ItemFile:
    """Return a file of items, to be read as the options say.

    Parameters
    ----------
    items : str
    has_labels : bool, default=True
        Whether ``--labels`` is about this file.
    """
    from likra_lite.questions.files import ItemFile

    options = reading()
    labels = options.pop("labels", None)
    return ItemFile(items, labels=labels if has_labels else None, **options)


def _say_how(file: ItemFile) -> None:
    click.echo(f"likra-lite: {file.description()}", err=True)


def read_answered(items: str, subset: str, has_labels: bool = True) -> list[Item]:
    """Read items that all have an answer, or load that subset of the demo.

    Says on stderr how a file was read; `has_labels` is that of :func:`open_items`.
    """
    if is_bundled(items):
        from likra_lite.datasets import load_demo

        return load_demo(subset if items == DEMO else items).items
    from likra_lite.questions.files import read_file
    from likra_lite.questions.parts import parts_of

    answered = []
    for part in parts_of(items) or [Path(items)]:
        file = open_items(str(part), has_labels)
        answered += read_file(file, require_answer=True)
        _say_how(file)
    return answered


def identity_of(items: str) -> dict[str, Any]:
    """Return checksums of all that the items of a file depend on, or the name of bundled ones."""
    if is_bundled(items):
        return {"bundled": items}
    return open_items(items).identity()


def find_item(items: str, name: str | None, index: int | None, shown: int) -> Item:
    """Return the item with that id, or else at that index.

    Raises
    ------
    LikraError
        If there is none; the message names some of those that there are.
    """
    from itertools import islice

    from likra_lite.errors import LikraError

    total, incoming = stream_items(items, "test")
    if name is None:
        found = next(islice(incoming, index, None), None)
        if found is None:
            raise LikraError(f"got --index {index} but {items} has {total} items, counted from 0")
        return found
    known: list[str] = []
    for item in incoming:
        if item.id == name:
            return item
        if item.id is not None and len(known) < shown:
            known.append(item.id)
    names = f"its ids begin with {', '.join(known)}" if known else "its items have no ids"
    raise LikraError(f"{items} has no item with the id {name!r}; {names}; see also --index")


def stream_items(items: str, subset: str) -> tuple[int, Iterable[Item]]:
    """Return the number of items and the items, of a file that need not fit in memory.

    Says on stderr how the file is read.
    """
    if is_bundled(items):
        demo = read_answered(items, subset)
        return len(demo), demo
    file = open_items(items)
    _say_how(file)
    return len(file), file


def open_model(
    folder: str | None,
    n_threads: int | None,
    cached: bool,
    prompt: str | None = None,
    answer_delimiter: str | None = None,
) -> Opened:
    """Open a model folder, or the bundled one; see :func:`likra_lite.heads.opened.open_folder`."""
    from likra_lite.heads.opened import open_folder

    return open_folder(folder, n_threads, cached, prompt, answer_delimiter)


def open_experiment(
    items: str,
    test_items: Sequence[str],
    model: str | None,
    n_threads: int | None,
    cached: bool,
    prompt: str | None = None,
    answer_delimiter: str | None = None,
    limit: int | None = None,
    **settings: Any,
) -> Experiment:
    """Read items and test items, and open the model; heads that it may have are not used.

    Without test items a fifth of the items is held out. Further settings are those of the
    experiment; the recipe may be ``auto``: that of LoRA heads where a model folder is given and can
    be trained. Where the items are not those of the demo, its stories' ends are the unrelated
    answers.
    """
    from likra_lite.experiments import Experiment
    from likra_lite.prompts import as_prompt
    from likra_lite.questions.item import right_answers

    warn_of_bundled_model(model, items)
    (name,) = _short_names([items])
    training = read_answered(items, "train")[:limit]
    if not test_items and items == DEMO:
        test_items = [DEMO]
    tests = {
        name: read_answered(test, "test", has_labels=False)
        for name, test in zip(_short_names(test_items), test_items, strict=True)
    }
    if not tests:
        training, held_out = _split(items, training)
        tests = {f"{name}, a fifth held out": held_out}
    opened = open_model(model, n_threads, cached).scorer
    given = opened.prompt if prompt is None else prompt
    chosen = as_prompt(given, answer_delimiter, opened.model.manifest.chat)
    scorer = replace(opened, fitted={}, prompt=chosen)
    if "unrelated" not in settings and not any(map(is_bundled, [items, *test_items])):
        settings["unrelated"] = right_answers(read_answered(DEMO, "test"))
    if settings.get("recipe") == "auto":
        settings["recipe"] = None if model is None else _usual_recipe(scorer.model)
    return Experiment(scorer, training, tests, name, **settings)


def _split(items: str, answered: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Return the items to fit on and a fifth to test on, and say so.

    Raises
    ------
    LikraError
        If there are too few.
    """
    from likra_lite.errors import LikraError
    from likra_lite.heads.folds import fold_of_items

    if len(answered) < FEWEST_TO_SPLIT:
        raise LikraError(
            f"{items} has {len(answered)} items, too few to hold a fifth out; give --test FILE"
        )
    tested = (fold_of_items(answered, 5, seed=0) == 0).tolist()
    training = [item for item, held in zip(answered, tested, strict=True) if not held]
    held_out = [item for item, held in zip(answered, tested, strict=True) if held]
    click.echo(
        f"likra-lite: a fifth of the items, {len(held_out)} of {len(answered)}, is held out to "
        "test on; --test FILE tests on others",
        err=True,
    )
    return training, held_out


def _usual_recipe(model: Engine) -> LoraRecipe | None:
    """Return how fit trains LoRA heads, or None if it would not; say so."""
    from likra_lite.heads.fit_graph import why_not_covered
    from likra_lite.heads.recipe import LoraRecipe

    recipe = LoraRecipe()
    reason = why_not_covered(model, recipe)
    told = (
        "LoRA heads are trained, as by fit; --adapter output fits output matrices, in less time"
        if reason is None
        else f"output matrices are fitted, no LoRA heads: {reason}"
    )
    click.echo(f"likra-lite: {told}", err=True)
    return recipe if reason is None else None


def _short_names(files: Sequence[str]) -> list[str]:
    """Call files by their stems, with as many folders before as tell them apart.

    Raises
    ------
    LikraError
        If a file is given twice.
    """
    from likra_lite.errors import LikraError

    paths = [Path(file).resolve().with_suffix("") for file in files]
    if len(set(paths)) < len(paths):
        twice = next(file for file, path in zip(files, paths, strict=True) if paths.count(path) > 1)
        raise LikraError(f"got {twice} twice; give every file of items once")
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    return ["/".join(path.parts[-length:]) for path in paths]
