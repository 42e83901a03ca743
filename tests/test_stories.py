"""The small world: made items are sound, reproducible, and give nothing away by themselves."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likra_lite import LikraError
from likra_lite.datasets import load_demo, make_stories
from likra_lite.datasets.narrator import Narrator
from likra_lite.datasets.stories import ROLES, narrate, sentences_of

# The bundled model was trained on text without these items' stories. If this changes, run
# examples/train_demo_model.py again.
DEMO_CHECKSUM = "18d3794298c68d0edda972b2a0bec79115de2c636a0e8f33a1d4ee4a3a4a9347"


def situation_of(kind: str, answer: str) -> str:
    """Return the class that an ending's answer belongs to, found by its words."""
    classes = Narrator(0).world["kinds"][kind]["classes"]
    found = [
        (len(word), name)
        for name, table in classes.items()
        for word in table["answers"]
        if f" {word} " in answer.replace(".", " ")
    ]
    return max(found)[1]


def test_the_demo_is_what_the_bundled_model_was_trained_without():
    items = [*load_demo("train").items, *load_demo("test").items]
    content = json.dumps([(item.question, item.choices, item.answer) for item in items])
    assert hashlib.sha256(content.encode()).hexdigest() == DEMO_CHECKSUM


def test_train_and_test_share_no_sentence():
    train, test = sentences_of(load_demo("train").items), sentences_of(load_demo("test").items)
    assert len(train) > 4000
    assert train.isdisjoint(test)


def test_sentences_are_told_apart():
    (item,) = make_stories(1)
    *story, question = [s.strip() + "." for s in item.question.split(".")]
    assert question == f"{question[:-2]}?."
    assert sentences_of([item]) == {*story, *item.choices}


def test_running_text_avoids_the_stories_of_the_demo():
    avoid = sentences_of(load_demo("test").items)
    told = list(narrate(3000, random_state=2))
    assert any(sentence in text for text in told for sentence in list(avoid)[:400])
    stories = [
        text.removeprefix("\n\nQuestion: ").split("\nAnswer:")[0]
        for text in narrate(3000, random_state=2, avoid=avoid)
        if "\nAnswer:" in text
    ]
    for story in stories:
        assert avoid.isdisjoint(f"{part}." for part in story.split(". "))


@pytest.mark.parametrize("kind", Narrator(0).world["kinds"])
def test_every_class_is_right_once_tempting_twice_and_absurd_once(kind):
    classes = Narrator(0).world["kinds"][kind]["classes"]
    tempting = Counter(name for table in classes.values() for name in table["tempting"])
    assert tempting == dict.fromkeys(classes, 2)
    assert len(classes) == 4
    for name, table in classes.items():
        assert name not in table["tempting"]
    words = [word for table in classes.values() for word in table["answers"]]
    assert len(words) == len(set(words))


def test_the_choices_of_an_item_are_of_four_classes():
    for item in make_stories(500, random_state=5):
        kind = item.metadata["kind"]
        assert len({situation_of(kind, choice) for choice in item.choices}) == 4


def test_words_do_not_tell_which_choice_is_right():
    items = make_stories(4000, random_state=8)
    common = Counter(
        word for item in items for choice in item.choices for word in set(choice.split())
    )
    right = 0
    for item in items:
        scores = [sum(common[word] for word in choice.split()) for choice in item.choices]
        lengths = [len(choice) for choice in item.choices]
        right += int(np.argmax(scores)) == item.answer
        right += int(np.argmin(lengths)) == item.answer
    # Two guesses an item at a chance of .25, within three standard deviations.
    assert abs(right / 8000 - 0.25) < 3 * (0.25 * 0.75 / 4000) ** 0.5


def test_roles_follow_the_tables():
    for item in make_stories(300, random_state=6):
        kind, situation = item.metadata["kind"], item.metadata["situation"]
        tempting = Narrator(0).world["kinds"][kind]["classes"][situation]["tempting"]
        by_role = dict(zip(item.metadata["roles"], item.choices, strict=True))
        assert item.metadata["roles"][item.answer] == "right"
        assert situation_of(kind, by_role["right"]) == situation
        assert situation_of(kind, by_role["tempting"]) in tempting
        assert situation_of(kind, by_role["mentioned"]) in tempting
        assert situation_of(kind, by_role["unrelated"]) not in (situation, *tempting)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 5))
def test_items_are_sound_whatever_the_seed(seed, count):
    items = make_stories(count, random_state=seed)
    assert len(items) == count
    for item in items:
        assert sorted(item.metadata["roles"]) == sorted(ROLES)
        assert item.duplicates is None
        assert "{" not in item.question + "".join(item.choices)
        assert "  " not in item.question + "".join(item.choices)
    assert items == make_stories(count, random_state=seed)


def test_narrators_remark_on_mistakes_and_never_on_what_fits():
    narrator = Narrator(7)
    absurd = narrator.world["remarks"]["absurd"]
    assert {narrator.remark("right") for _ in range(200)} == {None}
    for role in ("tempting", "mentioned", "unrelated"):
        remarks = [narrator.remark(role) for _ in range(1000)]
        assert 0.80 < sum(remark is not None for remark in remarks) / 1000 < 0.90
        assert all((remark in absurd) == (role == "unrelated") for remark in remarks if remark)
    marks = [mark for group in narrator.world["remarks"].values() for mark in group]
    texts = list(narrate(3000, random_state=7))
    marked = sum(any(mark in text for mark in marks) for text in texts)
    # Mistakes are .35 of the deeds after a cue alone and .5 after a story, and .85 remarked on.
    assert marked / len(texts) == pytest.approx(0.85 * (0.35 * 2 / 3 + 0.5 / 3), abs=0.03)


def test_the_demo_loads_like_a_dataset():
    items, y = load_demo()
    assert len(items) == len(y) == 1024
    assert [item.answer for item in items] == y.tolist()
    assert len(load_demo("test").items) == 1000
    assert len(load_demo("handwritten").items) == 36
    assert "micro-stories" in load_demo().DESCR
    for item in items:
        assert len(item.question.split(". ")) in (4, 5), "three or four sentences and a question"
    load_demo().items.clear()
    assert len(load_demo().items) == 1024
    with pytest.raises(LikraError, match="got random_state=4294967296; expected an integer below"):
        make_stories(1, random_state=2**32)
    with pytest.raises(LikraError, match="got n_items=0"):
        make_stories(0)
    with pytest.raises(LikraError, match="got subset='validation'"):
        load_demo("validation")
