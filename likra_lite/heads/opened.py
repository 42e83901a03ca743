"""Any model folder, with heads or without, opened for scoring."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..datasets.demo import bundled_model
from ..engine.cache import default_cache
from ..engine.onnx import LanguageModel
from ..errors import LikraError
from ..scoring.decision import Decision, LinearDecision
from ..scoring.modes import MODES
from ..scoring.scorer import ChoiceScorer
from ..scoring.selection import DecisionRule
from .saved import is_fitted_folder, read_fitted
from .saved_files import readable

__all__ = ["Opened", "open_folder"]

DEFAULT_ALPHA = 0.9  # where nothing has chosen one; the paper finds 0.9 to 1.0 best


class Opened(NamedTuple):
    """A model ready to score.

    Attributes
    ----------
    scorer : ChoiceScorer
    decision : LinearDecision
        What is in force.
    alpha : float
        Of weighted modes: that in force, that given to fit, or the paper's 0.9.
    rule : DecisionRule
        How the decision was come to.
    """

    scorer: ChoiceScorer
    decision: LinearDecision
    alpha: float
    rule: DecisionRule


def open_folder(
    folder: str | os.PathLike[str] | None,
    n_threads: int | None,
    cached: bool,
    prompt: str | None = None,
    answer_delimiter: str | None = None,
) -> Opened:
    """Open a model folder, or the bundled one; without heads, the base model decides.

    Raises
    ------
    LikraError
        If a prompt is given and the folder has heads, which were fitted with one.
    """
    path = bundled_model() if folder is None else Path(folder)
    if is_fitted_folder(path):
        if (prompt, answer_delimiter) != (None, None):
            raise LikraError(
                f"the heads of {path} were fitted with a prompt of their own; leave out --prompt "
                "and --answer-delimiter, or use a model folder without heads"
            )
        cache = default_cache() if cached else None
        fitted = read_fitted(path, n_threads)
        with readable(path):
            given = fitted.settings["parameters"]["alpha"]
            alpha = DEFAULT_ALPHA if given == "auto" else float(given)
        if isinstance(fitted.decision, Decision) and MODES[fitted.decision.mode].weighted:
            alpha = fitted.decision.alpha
        scorer = replace(fitted.scorer, cache=cache)
        return Opened(scorer, fitted.decision, alpha, fitted.rule)
    model = LanguageModel(path, n_threads)
    scorer = ChoiceScorer.of(model, prompt, cached, answer_delimiter)
    return Opened(scorer, Decision("base"), DEFAULT_ALPHA, DecisionRule("base"))
