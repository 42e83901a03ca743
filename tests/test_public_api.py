"""The public surface: small, lazy, and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import likra_lite
from likra_lite.errors import LikraError, MissingExtraError, import_extra

MODULES = [
    module.name
    for module in pkgutil.walk_packages(likra_lite.__path__, "likra_lite.")
    if not module.name.startswith(("likra_lite.cli", "likra_lite.__main__"))
]


def test_public_names():
    assert sorted(likra_lite.__all__) == [
        "Item",
        "LanguageModel",
        "LikraClassifier",
        "LikraError",
        "LogLikelihoods",
        "LoraRecipe",
        "as_items",
        "iter_items",
        "read_items",
        "score_frame",
    ]
    for name in likra_lite.__all__:
        assert getattr(likra_lite, name) is not None
        assert name in dir(likra_lite)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = likra_lite.Nothing


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{name}.{public} has no docstring"


def test_every_error_is_a_value_error():
    from likra_lite import errors

    found = [
        thing
        for thing in vars(errors).values()
        if inspect.isclass(thing)
        and issubclass(thing, Exception)
        and not issubclass(thing, Warning)
    ]
    assert LikraError in found
    assert all(issubclass(thing, ValueError) for thing in found)


def test_a_missing_extra_is_named():
    with pytest.raises(MissingExtraError, match=r'pip install "likra-lite\[export\]"') as info:
        import_extra("no_such_module", "export")
    assert isinstance(info.value, ImportError)
