"""What an experiment is: a model, items to fit on and items to test on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import LikraError
from ..heads.fit_graph import check_covered
from ..heads.output import DEFAULT_PENALTY
from ..heads.recipe import LoraRecipe
from ..questions.inputs import answer_indices
from ..questions.item import Item, content_hashes, right_answers, warn_of_overlap
from ..scoring.scorer import ChoiceScorer
from ..validation import check_number
from .bench import Bench
from .controls import draw_probes, shuffle_questions
from .held_out import HeldOut
from .identity import checksum, identity_of_items, versions
from .lora_bench import LoraBench
from .output_bench import OutputBench
from .points import Point
from .results import Results

__all__ = ["Advance", "Experiment"]

Advance = Callable[[int], object]


class Experiment:
    """A model, items to fit on and items to test on.

    Parameters
    ----------
    scorer : ChoiceScorer
        The language model with its prompt.
    items : sequence of Item
        Every item has an answer.
    tests : dict of str to sequence of Item
        Test sets by name; every item has an answer.
    name : str
        What the training items are called.
    penalty : float
        See :func:`likra_lite.heads.output.fit_output_matrix`.
    unrelated : sequence of str or None
        Answers from another source. Their likelihood is followed, and that of answers of other
        questions; None follows neither.
    recipe : LoraRecipe, optional
        Of LoRA heads, with the seed of each point; output matrices are fitted without one.

    Raises
    ------
    LikraError
        If there are too few items, an item has no answer, or the model cannot be trained by the
        recipe.

    Warns
    -----
    OverlapWarning
        If test items are training items too.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        tests: Mapping[str, Sequence[Item]],
        name: str = "items",
        penalty: float = DEFAULT_PENALTY,
        unrelated: Sequence[str] | None = (),
        recipe: LoraRecipe | None = None,
    ) -> None:
        check_number("penalty", penalty, positive=True)
        if recipe is not None:
            check_covered(scorer.model, recipe)
        if not tests:
            raise LikraError("got no test items; give at least one set")
        for what, given in {name: items, **tests}.items():
            if len(given) < 2:
                raise LikraError(
                    f"{what}: an experiment needs at least two items, got {len(given)}"
                )
            answer_indices(given)
        training = content_hashes(items)
        self._overlaps = {name: warn_of_overlap(training, test) for name, test in tests.items()}
        self.scorer = scorer
        self.items = items
        self.tests = dict(tests)
        self.name = name
        self.penalty = float(penalty)
        self.recipe = recipe
        self.unrelated = None if unrelated is None else tuple(unrelated)

    def identity(self) -> dict[str, Any]:
        """Return what makes the experiment: model, items and settings, with checksums.

        Test sets say how many of their items are training items too.
        """
        manifest = self.scorer.model.manifest
        return {
            "model": {
                "name": manifest.base_model["id"],
                "precision": manifest.precision,
                "fingerprint": manifest.fingerprint,
            },
            "prompt": str(self.scorer.prompt),
            "penalty": self.penalty,
            "recipe": None if self.recipe is None else _plain(asdict(self.recipe)),
            "items": identity_of_items(self.name, self.items),
            "tests": [
                identity_of_items(name, items) | {"overlap": self._overlaps[name]}
                for name, items in self.tests.items()
            ],
            "unrelated": None if self.unrelated == () else checksum(self.unrelated),
        }

    def create(self, folder: str | Path, command: str = "") -> Results:
        """Begin a folder of results, or open the one that this experiment has begun.

        Raises
        ------
        LikraError
            If the folder holds anything else, such as another experiment.
        """
        begun = {
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        return Results.create(folder, self.identity(), begun)

    def bench(
        self, control: str, advance: Advance | None = None, folder: Path | None = None
    ) -> Bench:
        """Read all items under a control.

        Parameters
        ----------
        control : {"none", "hidden", "shuffled"}
        advance : callable, optional
            Called with the number of items read.
        folder : Path, optional
            Where trainings of LoRA heads are kept, those of another run too.

        Returns
        -------
        Bench
        """
        scorer, items, tests = self.scorer, self.items, self.tests
        if control == "hidden":
            scorer = replace(scorer, prompt=scorer.prompt.hide_question())
        elif control == "shuffled":
            items = shuffle_questions(items)
            tests = {name: shuffle_questions(test) for name, test in tests.items()}
        held_out = {
            name: HeldOut.read(scorer, test, self._probes(test), advance)
            for name, test in tests.items()
        }
        return self._bench(scorer, items, held_out, advance, folder)

    def fit(self, point: Point, results: Results, advance: Advance | None = None) -> ChoiceScorer:
        """Return the heads of a finished point whose questions are shown.

        LoRA heads are read, output matrices are fitted again.
        """
        return self._bench(self.scorer, self.items, {}, advance, results.trainings).fit(point)

    def _bench(
        self,
        scorer: ChoiceScorer,
        items: Sequence[Item],
        held_out: Mapping[str, HeldOut],
        advance: Advance | None,
        folder: Path | None,
    ) -> Bench:
        if self.recipe is None:
            return OutputBench(scorer, items, held_out, self.penalty, advance)
        if folder is None:
            raise LikraError("trainings of LoRA heads need a folder")
        return LoraBench(scorer, items, held_out, self.recipe, folder, advance)

    def _probes(self, test: Sequence[Item]) -> dict[str, list[str | None]]:
        """Draw the answers from elsewhere, the same whatever becomes of the questions."""
        if self.unrelated is None or self.scorer.prompt.lettered:
            return {}
        pools = {"other": right_answers(test), "unrelated": self.unrelated}
        return {group: draw_probes(test, pool) for group, pool in pools.items() if pool}

    def check(self, points: Iterable[Point]) -> None:
        """Raise LikraError if a point asks for more items than there are."""
        most = max(point.n_items for point in points)
        if most > len(self.items):
            raise LikraError(
                f"got a size of {most} examples but {self.name} has {len(self.items)} items"
            )


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
