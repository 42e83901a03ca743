"""Experiments with the ratio: learning curves, kinds of negatives, controls, trajectories."""

from __future__ import annotations

from .bench import Bench, mean_log_likelihoods
from .claims import Claims, Trajectory, check_claims, curve_sizes
from .curves import Observation, learning_curve

__all__ = [
    "Bench",
    "Claims",
    "Observation",
    "Trajectory",
    "check_claims",
    "curve_sizes",
    "learning_curve",
    "mean_log_likelihoods",
]
