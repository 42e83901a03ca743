"""A frame of items to a frame of scores, as Dask, Ray and Spark map it over their partitions."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from command_line import run

from likra_lite import Item, LikraClassifier, score_frame
from likra_lite.errors import ItemError, ModelFolderError


@pytest.fixture(scope="module")
def fitted_folder(model_folder, items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted") / "model"
    LikraClassifier(model_folder, mode="likra", alpha=0.5, cv=2).fit(items).save(folder)
    return folder


@pytest.fixture
def frame(items) -> pd.DataFrame:
    rows = [
        {"question": item.question, "choices": list(item.choices), "answer": item.answer}
        for item in items[:20]
    ]
    return pd.DataFrame(rows, index=[f"row {n}" for n in range(20)])


def test_a_frame_says_what_the_command_writes(frame, fitted_folder, tmp_path, capsys):
    frame.to_json(tmp_path / "items.jsonl", orient="records", lines=True)
    arguments = [tmp_path / "items.jsonl", "--model", fitted_folder, "--out", tmp_path / "scores"]
    run("score", *arguments, capsys=capsys)
    expected = [json.loads(line) for line in (tmp_path / "scores").read_text().splitlines()]
    found = score_frame(frame, fitted_folder)
    assert found.index.equals(frame.index)
    assert found["id"].tolist() == frame.index.tolist()
    for (_, row), record in zip(found.iterrows(), expected, strict=True):
        for name in ("prediction", "letter", "text", "right", "scores", "probabilities"):
            assert row[name] == record[name]
        for head in ("positive", "negative"):
            assert row[f"log_likelihoods.{head}"] == record["log_likelihoods"][head]
    assert found["error"].isna().all()


def test_partitions_have_the_types_of_an_empty_frame(frame, fitted_folder):
    empty = score_frame(frame[:0], fitted_folder)
    part = score_frame(frame[3:5].drop(columns="answer"), fitted_folder)
    assert len(empty) == 0
    pd.testing.assert_series_equal(part.dtypes, empty.dtypes)
    assert part["right"].isna().all()


def test_an_item_that_cannot_be_scored_is_a_row(frame, model_folder):
    frame.at["row 2", "choices"] = ["ice", "water " * 3000]
    frame["id"] = [f"q{n}" for n in range(20)]
    found = score_frame(frame, model_folder, answers="index")
    assert found["error"].notna().tolist() == [n == 2 for n in range(20)]
    assert found["prediction"].isna().tolist() == [n == 2 for n in range(20)]
    assert found.loc["row 2", "scores"] is None
    assert found["id"].tolist() == [f"q{n}" for n in range(20)]


def test_mistakes(frame, tmp_path):
    with pytest.raises(ModelFolderError, match="does not exist"):
        score_frame(frame, tmp_path / "nowhere")
    frame["choices"] = None
    with pytest.raises(ItemError, match="item 0"):
        score_frame(frame)


def test_a_model_is_opened_once(frame, model_folder, monkeypatch):
    from likra_lite import frames

    opened = []
    real = frames.open_folder
    monkeypatch.setattr(frames, "open_folder", lambda *a: opened.append(a) or real(*a))
    frames._open.cache_clear()
    for start in range(0, 20, 5):
        score_frame(frame[start : start + 5], model_folder)
    assert len(opened) == 1


def test_dask_maps_it_over_partitions(frame, fitted_folder):
    dd = pytest.importorskip("dask.dataframe")
    import dask

    parts = dd.from_pandas(frame, npartitions=4, sort=False)
    empty = score_frame(frame[:0], fitted_folder)
    mapped = parts.map_partitions(score_frame, fitted_folder, answers="index", meta=empty)
    with dask.config.set(scheduler="threads", num_workers=2):
        found = mapped.compute()
    expected = pd.concat(
        [score_frame(frame[start : start + 5], fitted_folder) for start in range(0, 20, 5)]
    )
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)


def test_items_in_python_are_the_same(frame, fitted_folder):
    found = score_frame(frame, fitted_folder)
    items = [Item(row.question, row.choices) for row in frame.itertuples()]
    assert (
        found["prediction"].tolist() == LikraClassifier.load(fitted_folder).predict(items).tolist()
    )
