"""Bundled data: items of a small made-up world, and a tiny language model that knows it."""

from __future__ import annotations

from .demo import Demo, bundled_model, load_demo
from .stories import make_stories

__all__ = ["Demo", "bundled_model", "load_demo", "make_stories"]
