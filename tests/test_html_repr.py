"""What a notebook shows of a classifier."""

from __future__ import annotations

import warnings
from copy import copy
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn import config_context

from likra_lite import LanguageModel, LikraClassifier
from likra_lite.errors import DecisionError, LikraError, RatioWarning
from likra_lite.notebook import summary_html
from likra_lite.scoring.decision import Decision

LABELS = ["Language model", "Folder", "Heads", "Training items", "Decision", "Held-out accuracy"]


class Table(HTMLParser):
    """Reads the rows of a table, and notices tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, str] = {}
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.texts = []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            name, text = self.texts
            self.rows[name] = text

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.texts.append(data)


def rows(classifier: LikraClassifier) -> dict[str, str]:
    return Table(summary_html(classifier)).rows


@pytest.fixture(scope="module")
def fitted(model_folder, items) -> LikraClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioWarning)
        return LikraClassifier(model_folder, adapter="output", mode="base-likra", alpha=0.5).fit(
            items
        )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (None, "the bundled tiny model"),
        ("my <b>&amp;</b> model", "my <b>&amp;</b> model"),
        (3, "3"),
    ],
)
def test_before_the_fit(model, expected):
    assert rows(LikraClassifier(model)) == {"Language model": expected}
    assert "<b>" not in summary_html(LikraClassifier(model)), "escaped"


def test_an_open_model_is_named_by_its_folder(model_folder):
    model = LanguageModel(model_folder)
    assert rows(LikraClassifier(model)) == {"Language model": str(model.folder)}


def test_after_the_fit(fitted, model_folder):
    found = rows(fitted)
    assert list(found) == LABELS
    assert found["Language model"].endswith(" (LlamaForCausalLM), 2 layers \u00d7 32, float32")
    assert found["Folder"] == str(model_folder)
    assert found["Heads"] == "negative"
    assert found["Training items"] == "48"
    assert found["Decision"] == "mode base-likra, alpha 0.5, normalization none"
    table, y = fitted.held_out_, fitted.held_out_y_
    ours, base = fitted.predict(table) == y, Decision("base").predict(table) == y
    errors = [each.std() / np.sqrt(48) for each in (ours, base, ours.astype(int) - base)]
    assert found["Held-out accuracy"] == (
        f"{ours.mean():.3f} \u00b1 {errors[0]:.3f} on 48 items; base {base.mean():.3f} \u00b1 "
        f"{errors[1]:.3f}, difference {ours.mean() - base.mean():+.3f} \u00b1 {errors[2]:.3f}"
    )


def test_the_base_model_is_not_compared_with_itself(model_folder, items):
    found = rows(LikraClassifier(model_folder, mode="base").fit(items))
    assert found["Heads"] == "none"
    assert "base" not in found["Held-out accuracy"]


def test_a_mode_that_was_not_fitted_is_shown_and_not_raised(fitted):
    changed = copy(fitted)
    changed.set_params(mode="sft")
    assert list(rows(changed)) == LABELS[:-1]
    assert "have no 'positive' head" in rows(changed)["Decision"]
    assert " head, only base, neg" in changed._repr_html_()
    assert "decision_" not in dir(changed)
    with pytest.raises(DecisionError) as info:
        _ = changed.decision_
    assert isinstance(info.value, LikraError)
    changed.set_params(mode="nonsense")
    assert "got mode='nonsense'" in rows(changed)["Decision"]


def test_it_stands_above_the_diagram_of_scikit_learn(fitted):
    text = fitted._repr_html_()
    assert text.startswith(summary_html(fitted))
    assert 'class="sk-top-container' in text
    bundle = fitted._repr_mimebundle_()
    assert bundle["text/plain"] == repr(fitted)
    assert bundle["text/html"].startswith(summary_html(fitted))
    for outside in ("src=", "@import", "url(http"):
        assert outside not in summary_html(fitted), "needs nothing else"


def test_plain_text_if_scikit_learn_is_told_so(fitted):
    with config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert fitted._repr_mimebundle_() == {"text/plain": repr(fitted)}
