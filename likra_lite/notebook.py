"""The summary of a classifier in a notebook, above scikit-learn's diagram."""

from __future__ import annotations

import html
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .engine.onnx import LanguageModel
from .errors import DecisionError
from .scoring.decision import AnyDecision, LinearDecision
from .scoring.scorer import ChoiceScorer
from .scoring.statistics import accuracy, paired_difference
from .scoring.table import LogLikelihoods

__all__ = ["summary_html"]

# Colours are those of the page, so that light and dark notebooks are both served.
STYLE = """
.likra-summary { color: inherit; font-size: 0.9em; line-height: 1.5; margin: 0 0 0.5em; }
.likra-summary table { border: 0; border-collapse: collapse; margin: 0; }
.likra-summary tr { background: none; border-top: 1px solid rgba(128, 128, 128, 0.35); }
.likra-summary tr:first-child { border-top: 0; }
.likra-summary th, .likra-summary td {
  color: inherit; padding: 0.15em 1em 0.15em 0; text-align: left; vertical-align: top;
}
.likra-summary th { font-weight: 600; white-space: nowrap; }
.likra-summary td { overflow-wrap: anywhere; }
"""


class Summarized(Protocol):
    """What is read of a classifier; all but `model` once it is fitted."""

    model: Any
    scorer_: ChoiceScorer
    n_items_: int
    held_out_: LogLikelihoods
    held_out_y_: NDArray[np.int64]

    @property
    def decision_(self) -> LinearDecision:
        """The decision in force."""

    @property
    def held_out_decision_(self) -> AnyDecision:
        """What decides held-out items without having seen them."""


def summary_html(classifier: Summarized) -> str:
    """Return a table of a classifier's model and, once fitted, of its heads and decision.

    Parameters
    ----------
    classifier : LikraClassifier

    Returns
    -------
    str
        A fragment of HTML that needs nothing else. Every text in it is escaped.
    """
    rows = _fitted_rows(classifier) if hasattr(classifier, "held_out_") else _model_rows(classifier)
    cells = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    return (
        f"<style>{STYLE}</style>"
        f'<div class="likra-summary"><table><tbody>{cells}</tbody></table></div>'
    )


def _model_rows(classifier: Summarized) -> dict[str, str]:
    """Tell which language model will be used, without opening it."""
    model = classifier.model
    folder = model.folder if isinstance(model, LanguageModel) else model
    return {"Language model": "the bundled tiny model" if folder is None else str(folder)}


def _fitted_rows(classifier: Summarized) -> dict[str, str]:
    scorer = classifier.scorer_
    manifest = scorer.model.manifest
    base = manifest.base_model
    rows = {
        "Language model": f"{base['id']} ({base['architecture']}), {manifest.n_layers} layers "
        f"\N{MULTIPLICATION SIGN} {manifest.hidden_size}, {manifest.precision}",
        "Folder": str(scorer.model.folder),
        "Heads": " and ".join(scorer.fitted) or "none",
        "Training items": f"{classifier.n_items_:,}",
    }
    try:
        decision = classifier.decision_
    except DecisionError as error:
        return rows | {"Decision": str(error)}
    return rows | {"Decision": str(decision), "Held-out accuracy": _held_out(classifier)}


def _held_out(classifier: Summarized) -> str:
    """Return accuracy on the held-out items, with that of the base model."""
    table, y = classifier.held_out_, classifier.held_out_y_
    base = classifier.decision_.reference
    ours, theirs = (each.predict(table) == y for each in (classifier.held_out_decision_, base))
    text = f"{_with_error(*accuracy(ours))} on {len(y):,} items"
    if classifier.decision_.name == "base":
        return text
    difference = _with_error(*paired_difference(ours, theirs), sign="+")
    return f"{text}; base {_with_error(*accuracy(theirs))}, difference {difference}"


def _with_error(value: float, error: float, sign: str = "") -> str:
    return f"{value:{sign}.3f} \N{PLUS-MINUS SIGN} {error:.3f}"
