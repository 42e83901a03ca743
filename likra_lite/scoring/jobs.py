"""Scoring in several processes, on one machine or on many: chunks that joblib carries.

Chunks are those of one process, whoever scores them, and come back in order: results are the same
to the last bit. A lost worker costs the chunks that were on their way.
"""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.cache import cache_key
from ..engine.onnx import LanguageModel
from ..engine.sessions import available_threads
from ..errors import LikraError, first_line
from ..questions.item import Item
from ..system.workers import end_with
from .chunk import Chunk, chunked, warn_of_truncation
from .cluster import ATTEMPTS, find_model, is_local, is_loss, offer_model
from .scorer import ChoiceScorer
from .table import LogLikelihoods

__all__ = ["score_table", "stream_chunks"]

WAITING = 32  # chunks per worker that are away, or back and not taken yet


def score_table(
    scorer: ChoiceScorer,
    items: Sequence[Item],
    heads: Sequence[str] | None = None,
    n_jobs: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> LogLikelihoods:
    """Do the work of :meth:`ChoiceScorer.table` in several processes, see :func:`stream_chunks`."""
    chunks = list(stream_chunks(scorer, items, heads, n_jobs, advance))
    cut = [number for chunk in chunks for number in chunk.truncated]
    warn_of_truncation(cut, len(items), scorer.model.manifest.max_length)
    return LogLikelihoods.concatenate([c.table for c in chunks if c.table is not None])


def stream_chunks(
    scorer: ChoiceScorer,
    items: Iterable[Item],
    heads: Sequence[str] | None = None,
    n_jobs: int | None = None,
    advance: Callable[[int], object] | None = None,
    strict: bool = True,
    first: int = 0,
) -> Iterator[Chunk]:
    """Do the work of :meth:`ChoiceScorer.stream` in several processes.

    Parameters are those of :meth:`ChoiceScorer.stream`, and `n_jobs`. However many items there
    are, only some chunks for each worker are in memory.

    Parameters
    ----------
    n_jobs : int, optional
        Processes, as in scikit-learn: None is one, unless ``joblib.parallel_config`` chooses a
        number or another backend, and -1 all cores. Each opens the model once; a model without
        a number of threads of its own gets its share of the cores, or one thread on a cluster.

    Yields
    ------
    Chunk
        In the order of `items`.

    Raises
    ------
    LikraError
        If a chunk loses its worker again and again, or fails in another way than its items or
        the model explain; the message names its items.
    """
    from joblib import effective_n_jobs

    workers = effective_n_jobs(n_jobs)
    if workers == 1:
        yield from scorer.stream(items, heads, advance, strict, first)
        return
    task = _Task.of(scorer, workers, None if heads is None else tuple(heads), strict)
    run = _Run(task, n_jobs, WAITING * workers)
    with closing(run.chunks(items, scorer.chunk_size, first)) as chunks:
        for chunk in chunks:
            if advance is not None:
                advance(len(chunk.items))
            yield chunk


class _Task(NamedTuple):
    """What is the same of every chunk.

    Attributes
    ----------
    packed : ndarray of bytes
        The pickled scorer without its model: an array, as joblib's backends send a large one once
        and not with every chunk.
    folder : Path
        Of the model.
    fingerprint : str
        The model's checksum.
    n_threads : int
    heads : tuple of str or None
    strict : bool
    parent : int
        Process that the workers work for.
    """

    packed: NDArray[np.uint8]
    folder: Path
    fingerprint: str
    n_threads: int
    heads: tuple[str, ...] | None
    strict: bool
    parent: int

    @classmethod
    def of(
        cls, scorer: ChoiceScorer, workers: int, heads: tuple[str, ...] | None, strict: bool
    ) -> _Task:
        model, here = scorer.model, is_local()
        threads = model.n_threads or (max(1, available_threads() // workers) if here else 1)
        if not here:
            offer_model(model.folder, model.manifest)
        cache = scorer.cache if here else None  # a file of this machine
        content = pickle.dumps((scorer.prompt, scorer.fitted, cache))
        packed = np.frombuffer(content, np.uint8)
        fingerprint = model.manifest.fingerprint
        return cls(packed, model.folder, fingerprint, threads, heads, strict, os.getpid())


class _Sent(NamedTuple):
    """Items on their way to a worker, and the number of the first one."""

    items: list[Item]
    first: int

    def __str__(self) -> str:
        places = [item.source for item in (self.items[0], self.items[-1])]
        where = f" ({places[0]} to {places[1]})" if None not in places else ""
        return f"items {self.first} to {self.first + len(self.items) - 1}{where}"


class _Run:
    """Chunks on their way, in order.

    Parameters
    ----------
    task : _Task
    n_jobs : int or None
    limit : int
        Chunks that may be away, or back and not taken yet.
    """

    def __init__(self, task: _Task, n_jobs: int | None, limit: int) -> None:
        self.task, self.n_jobs, self.limit = task, n_jobs, limit
        self.waiting: deque[_Sent] = deque()
        self.is_done = False
        self.round = 0
        self.lock = threading.Lock()

    def chunks(self, items: Iterable[Item], size: int, first: int) -> Generator[Chunk, None, None]:
        """Yield the chunks of some items; those that are lost are sent again."""
        fresh = self._fresh(items, size, first)
        losses = 0  # since the last chunk that came back
        while not self.is_done or self.waiting:
            # Whichever chunk it is that ends its worker is found by sending them one by one.
            limit = self.limit if losses < 2 else 1
            try:
                with closing(self._results(fresh, limit)) as results:
                    for chunk in results:
                        sent = self.waiting.popleft()
                        losses = 0
                        yield chunk._replace(items=sent.items)
            except Exception as error:
                if not is_loss(error):
                    raise
                losses += 1
                if losses == ATTEMPTS:
                    raise LikraError(
                        f"{self.waiting[0]}: {losses} workers ended while they scored them, "
                        "probably for want of memory; use fewer jobs"
                    ) from error

    def _fresh(self, items: Iterable[Item], size: int, first: int) -> Iterator[_Sent]:
        for some in chunked(items, size):
            yield _Sent(some, first)
            first += len(some)
        self.is_done = True

    def _results(self, fresh: Iterator[_Sent], limit: int) -> Generator[Chunk, None, None]:
        """Yield what comes back, in order, until too much waits to be taken or all is done."""
        from joblib import Parallel, delayed

        tasks = (delayed(_score)(*self.task, *sent) for sent in self._outgoing(fresh, limit))
        try:
            parallel = Parallel(self.n_jobs, return_as="generator", batch_size=1)
        except ValueError:  # a backend whose results come all at once
            yield from Parallel(self.n_jobs, batch_size=1)(tasks)
            return
        results = parallel(tasks)
        try:
            # `yield from` would close them where the warning is not caught.
            for chunk in results:  # noqa: UP028
                yield chunk
        finally:
            with warnings.catch_warnings():
                # That chunks are thrown away, if nobody wants the rest.
                warnings.simplefilter("ignore", UserWarning)
                results.close()

    def _outgoing(self, fresh: Iterator[_Sent], limit: int) -> Iterator[_Sent]:
        """Yield what to send; joblib asks for it in a thread, and may do so after a loss."""
        with self.lock:
            self.round += 1
            this = self.round
            again = list(self.waiting)[:limit]  # the last time they did not come back
        yield from again
        while True:
            with self.lock:
                if self.round != this or len(self.waiting) >= limit:
                    return
                sent = next(fresh, None)
                if sent is None:
                    return
                self.waiting.append(sent)
            yield sent


MAX_OPEN = 4
_opened: OrderedDict[bytes, ChoiceScorer] = OrderedDict()  # of a worker process
_lock = threading.Lock()


def _open(task: _Task) -> ChoiceScorer:
    """Return the scorer, opened once per process."""
    content = task.packed.tobytes()
    key = cache_key(content, task.fingerprint, str(task.n_threads))
    with _lock:
        if key not in _opened:
            while len(_opened) >= MAX_OPEN:
                _opened.popitem(last=False)
            folder = find_model(task.folder, task.fingerprint)
            model = LanguageModel(folder, task.n_threads)
            _opened[key] = ChoiceScorer(model, *pickle.loads(content))
        _opened.move_to_end(key)
        return _opened[key]


def _score(packed: NDArray[np.uint8], *rest: Any) -> Chunk:
    """Score a chunk in a worker; its items are not sent back."""
    *settings, items, first = rest
    task, sent = _Task(packed, *settings), _Sent(items, first)
    end_with(task.parent)
    try:
        chunk = _open(task).chunk(items, first, task.heads, None, task.strict)
        return chunk._replace(items=[])
    except LikraError:
        raise
    except Exception as error:
        raise LikraError(f"{sent}: {type(error).__name__}: {first_line(error)}") from error
