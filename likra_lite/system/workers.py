"""Worker processes that do not outlive the process that they work for."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["end_with"]

PATIENCE = 1.0  # seconds between two looks at the parent

_watching = threading.Event()


def end_with(parent: int) -> None:
    """Let this process end soon after its parent, if that is the process with this number.

    To be called in every task that is handed to other processes, with ``os.getpid()`` of the one
    that hands it out. A worker of a killed program would otherwise go on to the end of its task,
    and then wait for minutes for another. Nothing happens in the process itself, nor on other
    machines.

    Parameters
    ----------
    parent : int
    """
    if os.getppid() == parent and not _watching.is_set():
        _watching.set()
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PATIENCE)
    os._exit(1)  # nobody waits for what this process would still do
