"""``likra-lite quantize``."""

from __future__ import annotations

from pathlib import Path

import click

from .options import debug_option, out_option, reading_options

__all__ = ["compare_items_option", "quantize", "report"]

compare_items_option = click.option(
    "--items",
    metavar="FILE",
    type=click.Path(),
    help='Items to compare int8 with float32 on: a file, or "demo".',
)


@click.command()
@click.argument("model", type=click.Path())
@out_option
@compare_items_option
@reading_options
@debug_option
def quantize(model: str, out: str, items: str | None) -> None:
    """Round the weights of MODEL, a folder without heads, to 8-bit integers.

    Scoring then takes about half the time and half the memory. How much answers change depends
    on the model and the questions: give --items to see.
    """
    from likra_lite.engine.folder_writing import check_folder_target
    from likra_lite.errors import LikraError
    from likra_lite.export import quantize_model

    check_folder_target(out)
    if Path(out).resolve() == Path(model).resolve():
        raise LikraError(f"--out is {model} itself; choose another folder")
    written = quantize_model(model, out)
    report(model, out, written.fingerprint, items)


def report(model: str, out: str, fingerprint: str, items: str | None) -> None:
    """Tell the sizes of a model and its rounded twin, and how far their scores are apart.

    The twin at `out` must still be that of this fingerprint.
    """
    from likra_lite.errors import LikraError
    from likra_lite.progress import progress_bar
    from likra_lite.questions.item import Item
    from likra_lite.scoring.agreement import compare_scores
    from likra_lite.scoring.scorer import ChoiceScorer

    from .opening import open_model, stream_items

    before, after = (open_model(folder, None, cached=False).scorer for folder in (model, out))
    if after.model.manifest.fingerprint != fingerprint:
        raise LikraError(f"{out} was replaced by another process when it had just been written")

    def megabytes(scorer: ChoiceScorer) -> float:
        return sum(file["bytes"] for file in scorer.model.manifest.files.values()) / 1e6

    click.echo(f"int8: {out}, {megabytes(after):.1f} MB instead of {megabytes(before):.1f}")
    if items is None:
        click.echo("to see what it changes on questions of yours, pass --items FILE")
        return
    total, incoming = stream_items(items, "test")
    answered: list[Item] = list(incoming)
    with progress_bar(2 * total, "comparing") as bar:
        tables = [scorer.table(answered, ["base"], bar.update) for scorer in (before, after)]
    click.echo(f"{items}: {compare_scores(*tables)}")
    if all(item.answer is not None for item in answered):
        from likra_lite.questions.inputs import answer_indices
        from likra_lite.scoring.decision import Decision

        from .tables import accuracy_line

        y = answer_indices(answered)
        shares = [accuracy_line(Decision("base"), table, y) for table in tables]
        click.echo(f"accuracy {shares[0]} in float32, {shares[1]} in int8")
