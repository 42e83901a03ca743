r"""Learning from wrong answers on a laptop: does it work, on what, and how sure is it.

    python examples/study --model my-model --out my-study --unrelated siqa.jsonl \
        --questions "ARC-Easy" arc_easy/train.jsonl arc_easy/test.jsonl \
        --questions "CommonsenseQA" commonsenseqa/train.jsonl commonsenseqa/dev.jsonl

LoRA heads are fitted on growing numbers of questions of each set, in several draws, and tested
on the same test items. The first set is fitted with other wrong answers too (the most likely ones,
answers of other questions, and of --unrelated), and with its questions hidden or exchanged. A set
whose two files are the same is parted. What is finished is kept in --out: the same command goes on
after an interrupt, or with more draws, and ends with tables (CSV) and figures (SVG).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from figures import figures
from joblib import Parallel, delayed
from jobs import CONTROLS, NEGATIVES, Drawn, Fit, Free, Job, Shown
from study import Questions, Study
from tables import accuracies, answers, comparisons, likelihoods, needed

from likra_lite import LikraError, read_items
from likra_lite.experiments.summaries import write_csv
from likra_lite.heads.fit_few import SHOWN
from likra_lite.questions.item import right_answers
from likra_lite.report.figure import picture
from likra_lite.system.atomic import write_bytes

EXAMPLES = (SHOWN, 25)  # answered questions before the one asked, which teach without a fit
SMALL = 256  # questions; fits on more of them wait until all others are done


def stages(
    study: Study, sizes: Sequence[int], seeds: Sequence[int], compared: Sequence[int]
) -> Iterator[list[Job]]:
    """Yield lists of jobs that may be done side by side, the cheap ones first.

    Wrong answers of other kinds come after the own ones, whose positive head they share.
    """
    names = list(study.questions)
    first = names[0]
    yield [
        *(Free(name) for name in names),
        *(Free(first, control) for control in CONTROLS[1:]),
        *(Drawn(name, seed, shown) for shown in (False, True) for seed in seeds for name in names),
        *(Shown(name, size, seed) for seed in seeds for name in names for size in EXAMPLES),
    ]
    for large in (False, True):
        for seed in seeds:
            plain = {
                Fit(name, min(size, len(questions.train)), seed)
                for name, questions in study.questions.items()
                for size in sizes
            }
            some = [Fit(first, size, seed) for size in compared]
            controls = [
                Fit(first, size, seed, control=control)
                for size in compared
                for control in CONTROLS[1:]
            ]
            others = [
                Fit(first, size, seed, negatives)
                for size in compared
                for negatives in NEGATIVES[1:]
            ]
            for stage in ({*plain, *some, *controls}, others):
                yield sorted(fit for fit in stage if (fit.size > SMALL) == large)


@click.command()
@click.option("--model", required=True, help="Model folder.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of results.")
@click.option(
    "--questions",
    "sets",
    required=True,
    multiple=True,
    type=(str, str, str),
    metavar="NAME TRAIN TEST",
    help="A set of questions.",
)
@click.option("--unrelated", required=True, help="Questions with unrelated answers.")
@click.option("--sizes", default="16,64,256,1024", show_default=True, help="Numbers of questions.")
@click.option(
    "--compared",
    default="256,1024",
    show_default=True,
    help="Numbers of questions for which wrong answers of other kinds, and controls, are fitted.",
)
@click.option("--seeds", default=3, show_default=True, help="Draws.")
@click.option("--first-seed", default=0, show_default=True, help="Of the first draw.")
@click.option("--test-items", default=400, show_default=True)
@click.option("--tables", is_flag=True, help="Fit no more; write what is finished.")
@click.option("--jobs", default=2, show_default=True, help="Fits at a time, of a thread each.")
def main(
    model: str,
    out: Path,
    sets: Sequence[tuple[str, str, str]],
    unrelated: str,
    sizes: str,
    compared: str,
    seeds: int,
    first_seed: int,
    test_items: int,
    tables: bool,
    jobs: int,
) -> None:
    """Fit, test, and write tables and figures."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of the workers
    warnings.simplefilter("ignore")
    questions = {}
    for name, train, test in sets:
        tested = read_items(test, require_answer=True)
        if train == test:
            count = min(test_items, len(tested) // 2)
            questions[name] = Questions(tested[count:], tested[:count])
        else:
            questions[name] = Questions(read_items(train, require_answer=True), tested[:test_items])
    elsewhere = right_answers(read_items(unrelated, require_answer=True))
    study = Study(model, out, questions, elsewhere)
    study.begin()
    numbers = [[int(part) for part in given.split(",")] for given in (sizes, compared)]
    plan = list(stages(study, numbers[0], range(first_seed, first_seed + seeds), numbers[1]))
    if not tables:
        carry_out(study, plan, jobs)
    write(study, [job for stage in plan for job in stage])


def carry_out(study: Study, plan: Sequence[Sequence[Job]], n_jobs: int) -> None:
    """Do what is not done."""
    done, total = 0, sum(map(len, plan))
    with Parallel(n_jobs, return_as="generator_unordered") as parallel:
        for stage in plan:
            missing = [job for job in stage if not study.is_done(job)]
            done += len(stage) - len(missing)
            for job in parallel(delayed(study.do)(job, os.getpid()) for job in missing):
                done += 1
                click.echo(f"{done} of {total}: {job.name}", err=True)


def write(study: Study, plan: Sequence[Job]) -> None:
    """Write tables and figures of what is done."""
    done = list(filter(study.is_done, plan))
    fits = sorted(
        job for job in done if isinstance(job, Fit) and all(map(study.is_done, needed(job)))
    )
    answered = {fit: answers(study, fit) for fit in fits}
    shares = accuracies(study, answered, [job for job in done if isinstance(job, Shown)])
    likelihood = likelihoods(study, fits)
    tables = {"accuracy": shares, "comparisons": comparisons(answered), "likelihood": likelihood}
    for name, rows in tables.items():
        write_csv(study.folder / f"{name}.csv", rows)
    for name, charts in figures(shares, likelihood, next(iter(study.questions))).items():
        write_bytes(study.folder / f"{name}.svg", picture(charts, "svg"))


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LikraError, click.ClickException) as error:
        raise SystemExit(f"study: {error}") from None
