"""Experiments with the ratio: learning curves, kinds of negatives, controls, trajectories."""

from __future__ import annotations

from .bench import Bench, mean_log_likelihoods, roles_of
from .claims import Claims, Trajectory, check_claims, curve_sizes, number_of_fits
from .controls import draw_probes, shuffle_questions
from .curves import Difference, Observation, compare, learning_curve, name_of, observe
from .held_out import HeldOut
from .points import CONTROLS, Point, grid
from .results import Results, is_results_folder
from .run import Experiment, run
from .tidy import observations, summarize_rows, trajectories, write_csv

__all__ = [
    "CONTROLS",
    "Bench",
    "Claims",
    "Difference",
    "Experiment",
    "HeldOut",
    "Observation",
    "Point",
    "Results",
    "Trajectory",
    "check_claims",
    "compare",
    "curve_sizes",
    "draw_probes",
    "grid",
    "is_results_folder",
    "learning_curve",
    "mean_log_likelihoods",
    "name_of",
    "number_of_fits",
    "observations",
    "observe",
    "roles_of",
    "run",
    "shuffle_questions",
    "summarize_rows",
    "trajectories",
    "write_csv",
]
