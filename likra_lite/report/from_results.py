"""A folder of results as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..comparisons import Comparison, compare_modes, sentence
from ..errors import LikraError
from ..experiments import Bench, Experiment, Results, name_of, observations, trajectories
from ..experiments import Point as Fit
from ..experiments.comparing import Setting, correct_by_mode, what_remains
from ..items import Item
from ..ratio import MODES, Decision
from ..scoring import ChoiceScorer
from .captions import WHISKERS, bands, headline, typeset
from .charts import DotPlot, DotRow, Level, Line, LineChart, mean_points
from .confidence import ENOUGH, confidence_charts, with_temperature
from .contents import ItemRow, Report
from .forest import comparison_forest
from .items import item_rows
from .paper import PAPER
from .trajectories import MeanLogLikelihood, trajectory_charts

__all__ = ["ResultsReport", "report_of_experiment", "report_of_results"]

FITTED = ("likra", "base-likra", "sft", "pos-base")
RATIOS = ("likra", "base-likra")
REFERENCES = ("base", "base per character", "pmi", "sft")
CONTROLS = {"none": "question shown", "hidden": "answer only", "shuffled": "shuffled"}
ALPHAS = tuple(np.round(np.arange(0.0, 1.55, 0.1), 2).tolist())
CONFIDENT = (*RATIOS, "sft", "base")  # modes whose abstention is shown

Row = dict[str, Any]
BoolArray = NDArray[np.bool_]


def report_of_results(
    results: Results,
    test: str | None = None,
    alpha: float | str = 0.9,
    normalization: str = "none",
    items: Sequence[Item] | None = None,
    scorer_of: Callable[[Fit], ChoiceScorer] | None = None,
    advance: Callable[[int], object] | None = None,
) -> Report:
    """Arrange what a folder of results holds; what was not measured is left out.

    Parameters
    ----------
    results : Results
        With at least one finished point of the learning curve.
    test : str, optional
        A test set; the first by default.
    alpha : float or "auto", default=0.9
        Weight of the negative head, fixed beforehand, or chosen on unused training items.
    normalization : str, default="none"
        Length that the scores of fitted modes are divided by.
    items : sequence of Item, optional
        The test set's items, for the list of questions.
    scorer_of : callable, optional
        Returns the language model with the heads of a fit, for the questions' tokens.
    advance : callable, optional
        Called with 1 after every item that was read token by token.

    Returns
    -------
    Report

    Raises
    ------
    LikraError
        If there is no such test set, nothing was finished yet, or `items` are not the test
        set's.
    """
    name = results.tests[0] if test is None else test
    source = ResultsReport(results, name, alpha, normalization)
    report = source.report()
    if items is None:
        return report
    return source.with_items(report, items, scorer_of, advance)


def report_of_experiment(
    experiment: Experiment,
    results: Results,
    alpha: float | str = 0.9,
    normalization: str = "none",
    read: Callable[[int], object] | None = None,
) -> Report:
    """Arrange what an experiment has measured, with the items of its first test set.

    Parameters
    ----------
    experiment : Experiment
    results : Results
        Of this experiment.
    alpha, normalization : optional
        See :func:`report_of_results`.
    read : callable, optional
        Called with the number of items read: those of training, to fit one pair of heads
        again, and those of the test set, token by token.

    Returns
    -------
    Report

    Raises
    ------
    LikraError
        If no point of the learning curve is finished.
    """

    def scorer_of(fit: Fit) -> ChoiceScorer:
        bench = Bench(experiment.scorer, experiment.items, {}, experiment.penalty, read)
        return bench.fit(fit.n_items, fit.seed)

    test, items = next(iter(experiment.tests.items()))
    return report_of_results(results, test, alpha, normalization, items, scorer_of, read)


@dataclass(frozen=True)
class ResultsReport:
    """What a report takes from one test set of a folder of results."""

    results: Results
    test: str
    alpha: float | str
    normalization: str

    @cached_property
    def fits(self) -> list[Fit]:
        """All finished fits."""
        found = self.results.points()
        if not any(_is_standard(fit) for fit in found):
            raise LikraError(
                f"{self.results.folder} has no finished point of the learning curve yet; run "
                "likra-lite curve until it has"
            )
        return found

    @cached_property
    def size(self) -> int:
        """The largest number of examples that most seeds have."""
        counts: dict[int, int] = {}
        for fit in self.standard:
            counts[fit.n_items] = counts.get(fit.n_items, 0) + 1
        return max(counts, key=lambda size: (counts[size], size))

    @property
    def standard(self) -> list[Fit]:
        """The fits of the learning curve."""
        return [fit for fit in self.fits if _is_standard(fit)]

    @property
    def largest(self) -> list[Fit]:
        """The fits at its largest size, one for each seed."""
        return [fit for fit in self.standard if fit.n_items == self.size]

    @cached_property
    def n_test(self) -> int:
        """Number of test items."""
        return len(self.results.y(self.test))

    @cached_property
    def rows(self) -> list[Row]:
        """Observations on the test set, of every fit."""
        return self._observe(self.fits, (self.alpha,))

    def _observe(
        self,
        fits: Iterable[Fit],
        alphas: Sequence[float | str],
        modes: Sequence[str] = tuple(MODES),
    ) -> list[Row]:
        found = observations(self.results, modes, alphas, (self.normalization,), fits)
        return [row for row in found if row["test"] == self.test]

    @property
    def _measured(self) -> str:
        chosen = "alpha chosen on unused training items"
        alpha = chosen if isinstance(self.alpha, str) else f"alpha {self.alpha:g}"
        length = name_of("", self.normalization)
        return f"{self.n_test:,} test items, {alpha}" + (length and f", scores{length}")

    def _about(self, n_seeds: int) -> str:
        return f"{self._measured}. {bands(n_seeds)} {WHISKERS}"

    def report(self) -> Report:
        """Return everything but the items."""
        n_seeds = len(self.largest)
        model, training = self.results.experiment["model"], self.results.experiment["items"]
        return Report(
            title=f"What wrong answers teach {model['name']}",
            subtitle=(
                f"Fitted on up to {self.size:,} of {training['count']:,} items "
                f"({training['name']}), drawn {n_seeds} times; tested on {self.n_test:,} items "
                f"({self.test})"
            ),
            sentences=tuple(self.sentences()),
            command=self.results.experiment["begun"]["command"],
            setup=self.setup(),
            curve=self.curve(),
            controls=self.controls(),
            paper=PAPER,
            comparisons=comparison_forest(self.comparisons, (*RATIOS, "sft"), self.size),
            kinds=self.kinds(),
            sweeps=self.sweeps(),
            trajectories=self.trajectories(),
            **self.confidence(),
        )

    def setup(self) -> tuple[tuple[str, str], ...]:
        """Return what was measured on what, with checksums and versions."""
        about = self.results.experiment
        seeds = sorted({fit.seed for fit in self.standard})
        sizes = sorted({fit.n_items for fit in self.standard})
        tests = {test["name"]: test for test in about["tests"]}
        return (
            ("Model", f"{about['model']['name']}, {about['model']['precision']}"),
            ("Training items", f"{about['items']['name']}, {about['items']['count']:,}"),
            ("Test items", f"{self.test}, {self.n_test:,}"),
            ("Examples", ", ".join(f"{size:,}" for size in sizes)),
            ("Seeds", ", ".join(map(str, seeds))),
            ("Fits", f"{len(self.fits):,}"),
            ("Prompt", repr(about["prompt"])),
            ("Scores", f"log-likelihoods{name_of('', self.normalization)}"),
            ("Penalty", f"{about['penalty']:g}"),
            ("Begun", about["begun"]["created"]),
            ("Versions", ", ".join(f"{k} {v}" for k, v in about["begun"]["versions"].items())),
            ("Checksum of the model", about["model"]["fingerprint"]),
            ("of the training items", about["items"]["sha256"]),
            ("of the test items", tests[self.test]["sha256"]),
        )

    def _free(self) -> list[tuple[str, Decision]]:
        return [
            (name_of(mode, normalization), Decision(mode, normalization=normalization))
            for mode, normalization in (("base", "none"), ("base", "chars"), ("pmi", "none"))
        ]

    def _levels(self) -> tuple[Level, ...]:
        shares = [
            Level(name, float(self.results.correct(self.test, "none", decision).mean()))
            for name, decision in self._free()
        ]
        return (*shares, Level("chance", self.results.chance(self.test)))

    def _lines(self, rows: Iterable[Row], names: Iterable[str], x: str, key: str) -> list[Line]:
        """Return a line for each name under a key, if there are rows of it."""
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(row[key], []).append(row)
        lines = []
        for name in names:
            values: dict[float, list[float]] = {}
            errors: dict[float, list[float]] = {}
            for row in grouped.get(name, []):
                values.setdefault(row[x], []).append(row["accuracy"])
                errors.setdefault(row[x], []).append(row["standard_error"])
            if values:
                lines.append(Line(name, mean_points(values, errors)))
        return lines

    def _standard_rows(self, controls: Sequence[str] = ("none",)) -> list[Row]:
        return [
            row
            for row in self.rows
            if row["n_items"] and row["control"] in controls and _is_standard_row(row)
        ]

    def curve(self) -> LineChart:
        """Return accuracy against examples."""
        lines = self._lines(self._standard_rows(), FITTED, "n_items", "mode")
        about = self._about(len(self.largest))
        return LineChart(
            "Learning curve", "examples", "accuracy", tuple(lines), self._levels(), about
        )

    def controls(self) -> tuple[LineChart, ...]:
        """Return the same without the question, and with a wrong one."""
        if set(self.results.controls) <= {"none"}:
            return ()
        rows = self._standard_rows(tuple(CONTROLS))
        chance = Level("chance", self.results.chance(self.test))
        charts = []
        for mode in RATIOS:
            lines = [
                Line(CONTROLS[line.name], line.points)
                for line in self._lines(
                    (row for row in rows if row["mode"] == mode), CONTROLS, "n_items", "control"
                )
            ]
            about = self._about(len(self.largest))
            charts.append(LineChart(mode, "examples", "accuracy", tuple(lines), (chance,), about))
        return tuple(charts)

    @property
    def setting(self) -> Setting:
        """What is held fixed in the comparisons."""
        return Setting(self.test, self.size, alpha=self.alpha, normalization=self.normalization)

    @cached_property
    def correct(self) -> dict[str, BoolArray]:
        """Whether predictions are right at the largest size, by mode, for every seed."""
        found = correct_by_mode(self.results, self.setting, (*RATIOS, "sft"))
        free = {name: self.results.correct(self.test, "none", d) for name, d in self._free()}
        return found | free

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Paired differences at the largest size, over all seeds."""
        return compare_modes(self.correct, REFERENCES)

    def sentences(self) -> list[str]:
        """Say what was found, whether or not it is a gain."""
        shares = {name: float(found.mean()) for name, found in self.correct.items()}
        best = max((name for name, _ in self._free()), key=lambda name: shares[name])
        lines = [headline(shares, self.size, best, self.results.chance(self.test))]
        told = {(each.mode, each.reference): each for each in self.comparisons}
        pairs = [("likra", best), ("base-likra", best), ("likra", "sft")]
        lines += [sentence(told[pair]) + "." for pair in pairs]
        if self.kinds():
            likra = self.kinds()[0]
            rows = sorted(likra.rows, key=lambda row: -row.mean)
            listed = ", ".join(f"{row.name} {row.mean:.3f}" for row in rows)
            error = max(row.error or 0.0 for row in rows)
            lines.append(
                f"By kind of wrong answers, {likra.title}: {listed} (standard errors up to "
                f"{error:.3f})."
            )
        # The base model's scores are divided by the same length here, shown and hidden alike.
        alike = correct_by_mode(self.results, self.setting, ("base", *RATIOS))
        gains = compare_modes(alike, ["base"])
        base = name_of("base", self.normalization)
        lines += [
            line.replace("over base", f"over {base}") + "."
            for line in what_remains(self.results, self.setting, gains)
        ]
        return [typeset(line[0].upper() + line[1:]) for line in lines]

    def kinds(self) -> tuple[DotPlot, ...]:
        """Return accuracy by kind of negatives, at the size that has most kinds."""
        kinds: dict[int, set[str]] = {}
        for fit in self.fits:
            if fit.control == "none" and fit.n_negatives == 1 and not fit.contamination:
                kinds.setdefault(fit.n_items, set()).add(fit.negatives)
        size = max(kinds, key=lambda n: (len(kinds[n]), n))
        if len(kinds[size]) < 2:
            return ()
        chosen = [row for row in self.rows if row["n_items"] == size and row["control"] == "none"]
        chosen = [row for row in chosen if row["n_negatives"] == 1 and not row["contamination"]]
        levels = {level.name: level for level in self._levels()}
        base = levels.get(name_of("base", self.normalization), levels["base"])
        plots = []
        for mode in RATIOS:
            mine = [row for row in chosen if row["mode"] == mode]
            rows = []
            for line in self._lines(mine, sorted(kinds[size]), "n_items", "negatives"):
                (point,) = line.points
                values = [row["accuracy"] for row in mine if row["negatives"] == line.name]
                seeds = tuple(values) if len(values) > 1 else ()
                rows.append(DotRow(line.name, point.y, seeds, point.error))
            several = "Rings are seeds, filled marks their means. " if rows[0].values else ""
            plots.append(
                DotPlot(
                    f"{mode}, {size:,} examples",
                    mode,
                    "accuracy",
                    tuple(rows),
                    (base, levels["chance"]),
                    f"{self._measured}. {several}{WHISKERS}",
                )
            )
        return tuple(plots)

    def sweeps(self) -> tuple[LineChart, ...]:
        """Return accuracy against alpha, contamination and number of negatives."""
        shown = (name_of("base", self.normalization), "pmi")
        levels = tuple(level for level in self._levels() if level.name in shown)
        n_seeds = len(self.largest)
        charts = []
        rows = [row for row in self._observe(self.largest, ALPHAS, RATIOS) if row["n_items"]]
        lines = self._lines(rows, RATIOS, "alpha", "mode")
        about = f"{self.size:,} examples, {self.n_test:,} test items. {bands(n_seeds)} {WHISKERS}"
        charts.append(
            LineChart(
                "Weight of the negative head", "alpha", "accuracy", tuple(lines), levels, about,
                log2=False,
            )
        )  # fmt: skip
        for field, title, label in (
            ("contamination", "Right answers among the wrong ones", "share of right answers"),
            ("n_negatives", "Number of wrong answers", "wrong answers per example"),
        ):
            charts += self._sweep(field, title, label, levels)
        return tuple(charts)

    def _sweep(
        self, field: str, title: str, label: str, levels: tuple[Level, ...]
    ) -> list[LineChart]:
        """Return a chart of what differs in one field, for the settings that have most of it."""
        other = {"contamination": "n_negatives", "n_negatives": "contamination"}[field]
        plain = {"contamination": 0.0, "n_negatives": 1}[other]

        def setting(fit: Fit) -> tuple[Any, ...]:
            return fit.n_items, fit.negatives

        fits = [f for f in self.fits if f.control == "none" and getattr(f, other) == plain]
        grouped = [list(g) for _, g in groupby(sorted(fits, key=setting), key=setting)]
        if not grouped:
            return []
        best = max(grouped, key=lambda group: len({getattr(fit, field) for fit in group}))
        if len({getattr(fit, field) for fit in best}) < 2:
            return []
        rows = [row for row in self._observe(best, (self.alpha,), RATIOS) if row["n_items"]]
        lines = self._lines(rows, RATIOS, field, "mode")
        n_seeds = len({fit.seed for fit in best})
        about = (
            f"{best[0].n_items:,} examples, negatives {best[0].negatives}, {self._about(n_seeds)}"
        )
        return [LineChart(title, label, "accuracy", tuple(lines), levels, about, log2=False)]

    def trajectories(self) -> tuple[LineChart, ...]:
        """Return mean log-likelihoods of groups of answers under both heads."""
        return trajectory_charts(
            (
                MeanLogLikelihood(row["n_items"], row["head"], row["group"], row["log_likelihood"])
                for row in trajectories(self.results, self.standard)
                if row["test"] == self.test and row["control"] == "none"
            ),
            f"Answers to {self.n_test:,} test items. {bands(len(self.largest))}",
        )

    def held_out_fit(self) -> Fit | None:
        """Return the fit on most examples that leaves enough training items to calibrate on."""
        fits = [fit for fit in self.standard if len(self.results.unused_table(fit)[1]) >= ENOUGH]
        return max(fits, key=lambda fit: (fit.n_items, -fit.seed), default=None)

    def _decision(self, fit: Fit, mode: str) -> Decision:
        return self.results.decision(fit, mode, self.alpha, self.normalization)

    def confidence(self) -> dict[str, Any]:
        """Return the charts of one fit's probabilities, by field of the report."""
        fit = self.held_out_fit()
        if fit is None:
            return {}
        return confidence_charts(
            *self.results.unused_table(fit),
            self.results.table(self.test, fit),
            self.results.y(self.test),
            {mode: self._decision(fit, mode) for mode in CONFIDENT},
        )._asdict()

    def with_items(
        self,
        report: Report,
        items: Sequence[Item],
        scorer_of: Callable[[Fit], ChoiceScorer] | None,
        advance: Callable[[int], object] | None,
    ) -> Report:
        """Return the report with the test items as one fit answers them."""
        fit = self.held_out_fit() or self.largest[0]
        table, y = self.results.table(self.test, fit), self.results.y(self.test)
        counts = [len(item.choices) for item in items]
        if counts != table.n_choices.tolist():
            raise LikraError(
                f"got {len(items)} items that are not those of the test set {self.test!r}; give "
                "the file that was measured"
            )
        decision = self._decision(fit, "likra")
        held_out, held_out_y = self.results.unused_table(fit)
        if len(held_out_y) >= ENOUGH:
            decision = with_temperature(decision, held_out, held_out_y)
        rows: tuple[ItemRow, ...] = item_rows(
            items, y, table, decision, None if scorer_of is None else scorer_of(fit), advance
        )
        return replace(
            report,
            items=rows,
            decision=f"Answered by likra{name_of('', self.normalization)} at alpha "
            f"{decision.alpha:g} after {fit.n_items:,} examples, seed {fit.seed}.",
        )


def _is_standard(fit: Fit, control: str = "none") -> bool:
    plain = (fit.negatives, fit.n_negatives, fit.contamination) == ("own", 1, 0.0)
    return plain and fit.control == control


def _is_standard_row(row: Row) -> bool:
    settings = (row["negatives"], row["n_negatives"], row["contamination"])
    return settings in ((None, None, None), ("own", 1, 0.0))
