"""Experiments with the ratio: learning curves, kinds of negatives, controls, trajectories."""

from __future__ import annotations

from .bench import Bench
from .claims import curve_sizes, points_of_claims
from .controls import draw_probes, shuffle_questions
from .experiment import Experiment
from .held_out import HeldOut
from .output_bench import OutputBench
from .points import CONTROLS, Point, grid
from .results import Results
from .results_folder import is_results_folder
from .run import run
from .summaries import summarize_rows, write_csv
from .tidy import observations, trajectories

__all__ = [
    "CONTROLS",
    "Bench",
    "Experiment",
    "HeldOut",
    "OutputBench",
    "Point",
    "Results",
    "curve_sizes",
    "draw_probes",
    "grid",
    "is_results_folder",
    "observations",
    "points_of_claims",
    "run",
    "shuffle_questions",
    "summarize_rows",
    "trajectories",
    "write_csv",
]
