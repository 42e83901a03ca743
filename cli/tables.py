"""How results are laid out for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["accuracy_line", "held_out_text", "mode_table", "trials_text"]

PAPERS_ALPHA = 0.9


def accuracy_line(decision: Any, table: Any, y: Any) -> str:
    """Return ``0.375 +- 0.015``: a decision's accuracy with its standard error."""
    from likra_lite.scoring.statistics import accuracy

    share, error = accuracy(decision.predict(table) == y)
    return f"{share:.3f} +- {error:.3f}"


def mode_table(rows: Sequence[Any]) -> str:
    """Lay out accuracies with a line per mode and a column per normalisation."""
    from likra_lite.scoring.columns import layout
    from likra_lite.scoring.lengths import mode_name

    modes = list(dict.fromkeys(row.mode for row in rows))
    alphas = {row.mode: "-" if row.alpha is None else f"{row.alpha:g}" for row in rows}
    columns = {"alpha": [alphas[mode] for mode in modes]}
    for row in rows:  # the same modes in the same order under every normalisation
        cell = f"{row.accuracy:.3f} +- {row.standard_error:.3f}"
        columns.setdefault(mode_name("", row.normalization).strip() or "raw", []).append(cell)
    return layout(modes, columns, "mode")


def trials_text(trials: Sequence[Any]) -> str:
    """Lay out what heads of each kind gave, the least log-loss first.

    Parameters
    ----------
    trials : sequence of Trial
        All on the same items.
    """
    from likra_lite.heads.trials import NO_HEADS, kept_trial
    from likra_lite.scoring.columns import layout, wrapped

    ranked, kept = sorted(trials, key=lambda trial: trial.loss), kept_trial(trials)
    columns = {
        "log-loss": [f"{trial.loss:.3f}" for trial in ranked],
        "accuracy": [f"{trial.accuracy:.3f} +- {trial.standard_error:.3f}" for trial in ranked],
        "": ["kept" if trial is kept else "" for trial in ranked],
    }
    table = layout([trial.name for trial in ranked], columns, "heads")
    told = f"tried on {ranked[0].n_items} held-out items:\n{table}"
    if ranked[0].adapter == NO_HEADS != kept.adapter and kept.gain is not None:
        lead = f"{-kept.gain:.3f} +- {kept.gain_error:.3f}"
        told += "\n" + wrapped(f"no heads would be kept if they were clearly better: {lead} nats")
    return told


def held_out_text(classifier: Any, how: str) -> str:
    """Tell what every mode gets on held-out items, and what is in force.

    Parameters
    ----------
    classifier : LikraClassifier
        Fitted.
    how : str
        Why they count as held out.
    """
    from likra_lite.scoring.fitted import FittedDecision
    from likra_lite.scoring.selection import evaluate_modes

    table, y, decision = classifier.held_out_, classifier.held_out_y_, classifier.decision_
    given = PAPERS_ALPHA if classifier.alpha == "auto" else classifier.alpha
    alpha = given if isinstance(decision, FittedDecision) else decision.alpha
    share = accuracy_line(classifier.held_out_decision_, table, y)
    lines = [
        f"held-out accuracy on {len(y)} items ({how}), with standard errors:",
        mode_table(evaluate_modes(table, y, alpha)),
        f"in force: {decision}: {share}",
    ]
    if isinstance(decision, FittedDecision):
        lines += [f"  {line}" for line in decision.in_words()]
    return "\n".join(lines)
