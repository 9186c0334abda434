"""A capture that goes on, as others see it: finding it, marking a moment in it, asking it to end.

The capturing process holds ``capture.lock`` from its begin until it begins to end; so while somebody holds it, the
``pid`` in ``capture.json`` is that process, and not another one of the same number. Marks are lines in the log of what
the host noticed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from edgeprof.errors import EdgeprofError, StorageError
from edgeprof.journal import append_event
from edgeprof.layout import LOCK
from edgeprof.seal import load_capture
from edgeprof.transports import redact

__all__ = ["MARK", "find_running", "is_running", "mark", "stop"]

MARK = "mark"
LONGEST = 1000
"""Characters of a mark."""


def is_running(capture: Path) -> bool:
    """Tell whether a capture goes on: from its begin until it begins to end."""
    path = capture / LOCK
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        with lock.acquire(timeout=0):
            pass
    except Timeout:
        return True
    except OSError:
        return False
    if not (capture / "journal").is_dir():  # it was closed meanwhile, and the file is ours
        path.unlink(missing_ok=True)
    return False


def find_running(out: Path, urls: Sequence[str] | None = None) -> Path | None:
    """Return the newest capture in a data set that goes on, of these ports if they are named; None if there is none."""
    for lock in sorted(out.glob(f"capture=*/{LOCK}"), reverse=True):
        capture = lock.parent
        if not is_running(capture):
            continue
        with contextlib.suppress(EdgeprofError):
            names = [port.get("name") for port in load_capture(capture)["ports"]]
            if urls is None or names == [redact(url) for url in urls]:
                return capture
    return None


def mark(capture: Path, text: str) -> None:
    """Note a moment: a row ``mark`` of the table ``events``, with the host's time of now.

    Parameters
    ----------
    capture
        The folder of a capture that goes on.
    text
        What is to be said of the moment; its first 1,000 characters.

    Raises
    ------
    StorageError
        The capture ended before the mark was surely in it.
    """
    event = {"kind": MARK, "t_ns": time.monotonic_ns(), "detail": text[:LONGEST]}
    with contextlib.suppress(FileNotFoundError):
        if is_running(capture):
            append_event(capture, event)
            # The events are read once the capture has let go of its lock: if it has not yet, this one is among them.
            if is_running(capture):
                return
    raise StorageError(f"{capture.name} had ended, or was ending: the mark {text[:80]!r} may not be in it.")


def stop(capture: Path) -> bool:
    """Ask a capture to end, as Ctrl-C does where it runs; tell whether there was one to ask."""
    pid = load_capture(capture).get("pid")
    if not isinstance(pid, int) or not is_running(capture):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    return True
