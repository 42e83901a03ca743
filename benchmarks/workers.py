"""Objects that live in processes of their own."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["Unavailable", "Worker", "WorkerError", "alone", "fix_threads", "peak_memory"]

LONGEST_REASON = 120  # characters


class Unavailable(Exception):  # noqa: N818
    """Something that this installation cannot do, said in one sentence."""


class WorkerError(Exception):
    """What went wrong in another process, in one line."""


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns that is called in a fresh interpreter."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


class Worker:
    """Calls the methods of an object that lives in a fresh interpreter.

    Objects share neither memory, threads nor settings of libraries that way, and the peak
    memory of the process is that of one object. What it prints goes to stderr.

    Parameters
    ----------
    target : object
        Anything that pickles.
    """

    def __init__(self, target: Any) -> None:
        context = get_context("spawn")
        self._connection, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, target), daemon=True)
        self._process.start()
        remote.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object and wait for what it returns.

        Raises
        ------
        WorkerError
            If the method raises, or the process ends.
        """
        try:
            self._connection.send((method, arguments))
            succeeded, value = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerError(f"its process ended with status {self._process.exitcode}") from None
        if not succeeded:
            raise WorkerError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, target: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hangs up after Ctrl-C
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with suppress(EOFError, OSError):
        while True:
            method, arguments = connection.recv()
            try:
                answer = True, getattr(target, method)(*arguments)
            except Exception as error:
                answer = False, _reason(error)
            connection.send(answer)


def _reason(error: Exception) -> str:
    text = (str(error).strip() or "no message").splitlines()[0]
    if not isinstance(error, Unavailable):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def fix_threads(threads: int) -> None:
    """Give the numeric libraries of all workers to come this number of threads."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def peak_memory() -> int:
    """Return the largest resident size that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
