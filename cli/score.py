"""``likra-lite score``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .kinds import Registered
from .options import (
    cache_option,
    cluster_option,
    debug_option,
    items_argument,
    jobs_option,
    model_option,
    prompt_options,
    strict_option,
    threads_option,
)

__all__ = ["score"]


@click.command()
@items_argument
@model_option
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="File to write, the folder for the scores of parts, or - for standard output, which is "
    "the default.",
)
@click.option(
    "--format",
    "form",
    type=Registered("cli.records:FORMATS"),
    help="How records are written.  [default: by the ending of --out, or jsonl]",
)
@click.option(
    "--coverage",
    type=float,
    help="Add to each record the set of choices that holds the right one with this probability.",
)
@click.option(
    "--error-rate",
    type=float,
    help="Add to each record whether to abstain, for at most this share of wrong answers.",
)
@prompt_options
@strict_option
@jobs_option
@cluster_option
@threads_option
@cache_option
@debug_option
def score(
    items: str,
    model: str | None,
    out: str | None,
    form: str | None,
    coverage: float | None,
    error_rate: float | None,
    prompt: str | None,
    answer_delimiter: str | None,
    strict: bool,
    n_jobs: int | None,
    cluster: str | None,
    n_threads: int | None,
    cached: bool,
) -> None:
    """Score ITEMS, a file, a folder of files or "demo", with the model that was fitted.

    Writes one record per item: id (its position where it has none), prediction (an index),
    its letter and text, right (where the answer is known, whether it was predicted), scores,
    probabilities, and log_likelihoods, in nats, of every head used. A folder without heads
    scores with the base model. Items need no answer. How many predictions were written, and how
    many are right, is said on stderr at the end.

    An item that the model cannot read, as one of its choices is longer than the model's window,
    gets a record with an error and no prediction. It is told of on stderr, and the exit status
    is 3 at the end.

    --coverage adds set (indices, best first), and --error-rate adds abstain (true or false; the
    share of wrong answers among the others is at most as given, with confidence .9). Both are
    calibrated on the held-out items of the fit, and hold for items from the same source.

    CSV is for people: it has the question too, a column for every field, the delimiter of ITEMS,
    lists as JSON, and numbers to four decimals. JSON lines and Parquet have all digits. Parquet
    needs the extra: pip install "likra-lite[data]".

    After a kill the same command goes on behind what is done, which waits in FILE.partial and
    FILE.resume (JSON lines and CSV), and ends with the same bytes. Where ITEMS is a folder or a
    pattern such as "items/*.parquet", every part is scored to a file of the same name in the
    folder FILE; parts that are finished are not scored again.

    --jobs scores in several processes, and --cluster on the workers of a Dask cluster (pip
    install "likra-lite[cluster]"), with the same scores to the last bit.
    """
    from likra_lite.questions.parts import parts_of

    from .opening import check_outputs, is_bundled, open_model, warn_of_bundled_model
    from .records import is_standard_output
    from .running import on_cluster
    from .score_file import FileScorer

    parts = None if is_bundled(items) else parts_of(items)
    targets = None if parts is None else _targets(items, parts, out, form)
    if targets is None:
        check_outputs({"--out": None if is_standard_output(out) else out}, {"ITEMS": items})
    warn_of_bundled_model(model, items)
    opened = open_model(model, n_threads, cached, prompt, answer_delimiter)
    columns = _uncertainty(opened, coverage, error_rate)
    options = {"coverage": coverage, "error_rate": error_rate}
    scorer = FileScorer(opened, columns, options, n_jobs, strict)
    with on_cluster(cluster, n_jobs):
        if targets is None:
            total, tally = scorer.score(items, out, form)
        else:
            total, tally = scorer.score_parts(targets, Path(str(out)), form)
    if out is not None and not is_standard_output(out):
        tally.tell_written(total, out)
    tally.tell(total)


def _targets(items: str, parts: list[Path], out: str | None, form: str | None) -> dict[Path, Path]:
    """Return the file to write for each part."""
    from likra_lite.errors import LikraError
    from likra_lite.questions.parts import targets_of

    from .records import FORMATS, is_standard_output

    if out is None or is_standard_output(out):
        raise click.UsageError(f"{items} has parts: name the folder for their scores with --out")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise LikraError(f"{out} is a file; the scores of parts go to a folder")
    if Path(items).is_dir() and folder.resolve().is_relative_to(Path(items).resolve()):
        raise LikraError(f"{out} is in {items}, and would be read as parts; choose another folder")
    targets = targets_of(parts, folder, form, list(FORMATS))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LikraError(f"cannot write {out}: {error.strerror or error}") from error
    return dict(zip(parts, targets, strict=True))


def _uncertainty(
    opened: Any, coverage: float | None, error_rate: float | None
) -> dict[str, Callable[[Any], Any]]:
    """Return further columns of a record, calibrated on the folder's held-out items."""
    columns: dict[str, Callable[[Any], Any]] = {}
    if coverage is None and error_rate is None:
        return columns
    from likra_lite.heads.saved import read_held_out
    from likra_lite.scoring.conformal import (
        ABSTAINED,
        abstention_threshold,
        predict_or_abstain,
        prediction_sets,
        set_threshold,
    )

    scorer, decision, _, rule = opened
    held_out, y = read_held_out(scorer.model.folder)
    unseen = rule.cross_fit(held_out, y)
    if coverage is not None:
        least = set_threshold(held_out, unseen, y, coverage)
        columns["set"] = lambda table: prediction_sets(table, decision, least)
    if error_rate is not None:
        sure = abstention_threshold(held_out, unseen, y, error_rate)
        columns["abstain"] = lambda table: predict_or_abstain(table, decision, sure) == ABSTAINED
    return columns
