"""Several processes: the same scores to the last bit, whatever becomes of the workers."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import replace

import joblib
import numpy as np
import pytest

from likra_lite import Item, LikraClassifier, LogLikelihoods
from likra_lite.engine.head import OutputMatrix
from likra_lite.engine.onnx import LanguageModel
from likra_lite.errors import LikraError, ModelFolderError, UnscorableItemError
from likra_lite.prompts import as_prompt
from likra_lite.scoring import cluster, jobs
from likra_lite.scoring.chunk import chunk_size
from likra_lite.scoring.jobs import score_table, stream_chunks
from likra_lite.scoring.scorer import ChoiceScorer


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("likra_lite.scoring.chunk.MOST", 5)
    monkeypatch.setattr("likra_lite.scoring.chunk.LEAST", 5)


@pytest.fixture
def scorer(model) -> ChoiceScorer:
    matrix = np.random.default_rng(0).normal(0, 0.01, (model.hidden_size,) * 2)
    heads = {"negative": OutputMatrix(matrix.astype(np.float32))}
    return ChoiceScorer(model, as_prompt("question"), heads)


def assert_equal(found: LogLikelihoods, expected: LogLikelihoods) -> None:
    assert found.heads.keys() == expected.heads.keys()
    for head, column in expected.heads.items():
        np.testing.assert_array_equal(found.heads[head], column)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    for name, column in expected.lengths.items():
        np.testing.assert_array_equal(found.lengths[name], column)


def joined(chunks) -> LogLikelihoods:
    return LogLikelihoods.concatenate([chunk.table for chunk in chunks])


def test_processes_and_threads_make_no_difference(scorer, items):
    expected = scorer.table(items)
    done: list[int] = []
    assert_equal(score_table(scorer, items, None, 2, done.append), expected)
    assert sum(done) == len(items)
    with joblib.parallel_config("threading", n_jobs=3):
        assert_equal(score_table(scorer, items), expected)


def test_a_classifier_has_jobs(model_folder, items):
    one = LikraClassifier(model_folder, mode="likra", alpha=0.5, cv=2).fit(items)
    expected = one.predict_proba(items)
    one.n_jobs = 2
    np.testing.assert_array_equal(one.predict_proba(items), expected)
    with pytest.raises(LikraError, match=r"got n_jobs=1.5; expected an integer"):
        one.set_params(n_jobs=1.5).fit(items)


def test_what_was_read_before_makes_no_difference(model, items):
    """The beginning that the last texts had in common is kept: the results must not tell."""
    few = as_prompt("question").with_examples(items[:8])
    scorer = ChoiceScorer(model, few)
    model._open().trunk.forget()
    expected = scorer.table(items[20:25])
    for before in (items[10:13], items[30:40], items[21:23]):
        scorer.table(before)
        assert_equal(scorer.table(items[20:25]), expected)


def test_threads_share_a_model(model, items):
    scorer = ChoiceScorer(LanguageModel(model.folder, 1), as_prompt("question"))
    expected = [scorer.table([item]) for item in items[:12]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda item: scorer.table([item]), items[:12]))
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


class Chaos:
    """A stand-in for joblib's Parallel that runs tasks here, and fails as it is told."""

    def __init__(self, failures: list[int]) -> None:
        self.failures = failures  # after how many results a call breaks
        self.calls: list[int] = []  # tasks of each call

    def __call__(self, n_jobs=None, return_as="list", **_):
        def run(tasks):
            self.calls.append(0)
            good = self.failures.pop(0) if self.failures else None
            for function, arguments, _ in tasks:
                if self.calls[-1] == good:
                    raise BrokenExecutor("a worker has gone")
                self.calls[-1] += 1
                yield function(*arguments)

        return run


@pytest.fixture
def chaos(monkeypatch) -> Chaos:
    chaos = Chaos([])
    monkeypatch.setattr(joblib, "Parallel", chaos)
    return chaos


def test_lost_chunks_are_sent_again(scorer, items, chaos):
    expected = scorer.table(items)
    chaos.failures = [3, 0, 1, 4]
    assert_equal(score_table(scorer, items, None, 2), expected)
    assert sum(chaos.calls) == len(items) // 5 + 1, "what has come back is not scored again"


def test_a_chunk_that_ends_its_workers_is_named(scorer, items, chaos):
    chaos.failures = [1, 0, 0]
    with pytest.raises(LikraError, match=r"^items 5 to 9: 3 workers ended while they scored them"):
        score_table(scorer, items, None, 2)
    assert chaos.calls == [1, 0, 0]


def test_memory_is_bounded(scorer, items, monkeypatch):
    taken = 0

    def endless():
        nonlocal taken
        for _ in range(40):
            taken += len(items)
            yield from items

    monkeypatch.setattr(jobs, "WAITING", 3)
    with joblib.parallel_config("threading", n_jobs=2):
        chunks = stream_chunks(scorer, endless(), ["base"])
        for _ in range(4):
            next(chunks)
        assert taken <= 2 * len(items), "no more is read than may wait"
        chunks.close()


def test_an_error_in_the_items_is_the_users(scorer, items):
    def broken():
        yield from items[:12]
        raise OSError("the disk is gone")

    with (
        joblib.parallel_config("threading", n_jobs=2),
        pytest.raises(OSError, match="the disk is gone"),
    ):
        list(stream_chunks(scorer, broken()))


def test_items_that_cannot_be_scored(scorer, items):
    long = Item("Long?", ["ice", "water " * 3000], source="exam.csv, line 9")
    several = [*items[:7], long, *items[7:12]]
    with joblib.parallel_config("threading", n_jobs=2):
        chunks = list(stream_chunks(scorer, several, strict=False))
        assert [list(chunk.problems.problems) for chunk in chunks if chunk.problems] == [[7]]
        with pytest.raises(UnscorableItemError, match=r"exam.csv, line 9: the choice"):
            list(stream_chunks(scorer, several))


def test_a_chunk_that_fails_otherwise_is_named(scorer, items, monkeypatch):
    def fail(self, chosen, *_):
        if items[11] in chosen:
            raise MemoryError("no room")
        return read(self, chosen, *_)

    read = ChoiceScorer._read
    monkeypatch.setattr(ChoiceScorer, "_read", fail)
    with (
        joblib.parallel_config("threading", n_jobs=2),
        pytest.raises(LikraError, match=r"^items 10 to 14: MemoryError: no room"),
    ):
        list(stream_chunks(scorer, items))


def test_chunks_of_large_models_are_small(model, monkeypatch):
    monkeypatch.setattr("likra_lite.scoring.chunk.MOST", 256)
    monkeypatch.setattr("likra_lite.scoring.chunk.LEAST", 16)
    sizes = {5e6: 256, 140e6: 61, 540e6: 16}
    for n_bytes, expected in sizes.items():
        weights = {"weights.safetensors": {"bytes": int(n_bytes)}}
        assert chunk_size(replace(model.manifest, files=weights)) == expected


def test_a_worker_without_the_model(model, tmp_path):
    with pytest.raises(
        ModelFolderError, match=r"this worker has no .*; put the model folder where"
    ):
        cluster.find_model(tmp_path, model.manifest.fingerprint)


def test_no_scheduler():
    pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(LikraError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
        cluster.connected("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.fixture(scope="module")
def dask_client():
    """A cluster of two workers in the tests' own process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore")  # of other packages
def test_dask(scorer, items, dask_client):
    expected = scorer.table(items)
    with joblib.parallel_config("dask"):
        assert_equal(score_table(scorer, items), expected)


@pytest.mark.filterwarnings("ignore")
def test_dask_brings_the_model(scorer, items, dask_client, monkeypatch, tmp_path):
    expected = scorer.table(items)
    here = scorer.model.folder
    holds = cluster.holds_model
    monkeypatch.setattr(cluster, "holds_model", lambda folder, key: False)
    seen = []
    find = jobs.find_model

    def found(folder, fingerprint):
        seen.append(find(folder, fingerprint))
        return seen[-1]

    monkeypatch.setattr(jobs, "find_model", found)
    monkeypatch.setattr(jobs, "_opened", type(jobs._opened)())
    with joblib.parallel_config("dask"):
        assert_equal(score_table(scorer, items), expected)
    assert here not in seen
    assert all(holds(folder, scorer.model.manifest.fingerprint) for folder in seen)


def test_fits_that_are_lost_are_done_again(chaos):
    from likra_lite.experiments.run import _carried

    left = list("abcdef")

    def tasks():
        return [(str.upper, (letter,), {}) for letter in left]

    chaos.failures = [2, 0, 1]
    done = []
    for letter in _carried(tasks, 2, ""):
        done.append(letter)
        left.remove(letter.lower())
    assert done == list("ABCDEF")
    left.append("g")
    chaos.failures = [0, 0, 0]
    with pytest.raises(LikraError, match=r"^3 workers ended while they fitted"):
        list(_carried(tasks, 2, ""))
