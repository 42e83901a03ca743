"""The demo's items and language model, as they are installed with the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..questions.files import read_items
from ..questions.inputs import answer_indices
from ..questions.item import Item
from ..validation import check_one_of
from .stories import make_stories, sentences_of

__all__ = ["SUBSETS", "Demo", "bundled_model", "load_demo"]

SUBSETS = ("train", "test", "handwritten")
N_TRAIN, N_TEST = 1024, 1000

_HERE = Path(__file__).parent


class Demo(NamedTuple):
    """Items and their right choices, as ``fit`` takes them.

    Attributes
    ----------
    items : list of Item
    y : ndarray of shape (n_items,)
        Index of the right choice.
    """

    items: list[Item]
    y: NDArray[np.int64]

    @property
    def DESCR(self) -> str:  # noqa: N802 - scikit-learn's name
        """What the items are and where they come from."""
        return (_HERE / "demo.rst").read_text(encoding="utf-8")


def bundled_model() -> Path:
    """Return the model folder that is installed with the package.

    A Llama of a million parameters that was trained on stories of the demo's world by
    ``examples/train_demo_model.py``.
    """
    return _HERE / "tiny-model"


# The world, the penalty and alpha were settled on items of other seeds.
TRAIN_SEED, TEST_SEED = 2025, 14391


@cache
def _train() -> list[Item]:
    return make_stories(N_TRAIN, random_state=TRAIN_SEED)


@cache
def _test() -> list[Item]:
    return make_stories(N_TEST, random_state=TEST_SEED, avoid=sentences_of(_train()))


def load_demo(subset: str = "train") -> Demo:
    """Load the multiple-choice items of the demo.

    Parameters
    ----------
    subset : {"train", "test", "handwritten"}, default="train"
        1,024 items to fit on, 1,000 that share no sentence with them, or a few dozen that
        were written by hand, in other words than the bundled model has read.

    Returns
    -------
    Demo
        A pair ``(items, y)`` with a description in ``DESCR``.

    Raises
    ------
    LikraError
        If there is no such subset.

    Examples
    --------
    >>> from likra_lite.datasets import load_demo
    >>> items, y = load_demo("test")
    >>> len(items), items[0].choices[y[0]]  # doctest: +SKIP
    """
    check_one_of("subset", subset, SUBSETS)
    if subset == "handwritten":
        items = read_items(_HERE / "handwritten.jsonl", require_answer=True)
    else:
        items = list(_train() if subset == "train" else _test())
    return Demo(items, answer_indices(items))
