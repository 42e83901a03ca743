"""A model folder, with or without fitted heads, ready to score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from likra_lite.estimator import LikraClassifier
    from likra_lite.ratio import Decision
    from likra_lite.scoring import ChoiceScorer

__all__ = ["open_model"]


def open_model(
    folder: str, n_threads: int | None
) -> tuple[ChoiceScorer, Decision, LikraClassifier | None]:
    """Open a model folder; without heads, the base model decides."""
    from likra_lite.persistence import is_fitted_folder

    if is_fitted_folder(Path(folder)):
        from likra_lite.estimator import LikraClassifier

        classifier = LikraClassifier.load(folder, n_threads)
        return classifier.scorer_, classifier.decision_, classifier
    from likra_lite.language_model import LanguageModel
    from likra_lite.prompts import Prompt
    from likra_lite.ratio import Decision
    from likra_lite.scoring import ChoiceScorer

    model = LanguageModel(folder, n_threads)
    return ChoiceScorer(model, Prompt(model.manifest.prompt)), Decision("base"), None
