"""Experiments with the ratio: learning curves, kinds of negatives, controls, trajectories."""

from __future__ import annotations

from .bench import Bench, mean_log_likelihoods, roles_of
from .claims import Claims, Trajectory, check_claims, curve_sizes, number_of_fits
from .curves import Difference, Observation, compare, learning_curve, name_of, observe

__all__ = [
    "Bench",
    "Claims",
    "Difference",
    "Observation",
    "Trajectory",
    "check_claims",
    "compare",
    "curve_sizes",
    "learning_curve",
    "mean_log_likelihoods",
    "name_of",
    "number_of_fits",
    "observe",
    "roles_of",
]
