"""A capture that goes on, as others see it: finding it, marking a moment in it, asking it to end.

The capturing process holds ``capture.lock`` from its begin until it begins to end; ``process`` in ``capture.json`` says
which one that is (:mod:`edgeprof.own_process`). Marks are lines in the log of what the host noticed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeprof.errors import EdgeprofError, StorageError, UsageError
from edgeprof.journal import append_event
from edgeprof.layout import LOCK
from edgeprof.own_process import why_not
from edgeprof.seal import load_capture
from edgeprof.transports import redact

__all__ = ["MARK", "find_all_running", "find_running", "is_running", "mark", "stop"]

MARK = "mark"
LONGEST = 1000
"""Characters of a mark."""


if sys.platform == "win32":
    from filelock import FileLock, Timeout

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
        except OSError as error:
            return isinstance(error, PermissionError)
        if not (capture / "journal").is_dir():  # it was closed meanwhile, and the file is ours
            path.unlink(missing_ok=True)
        return False

else:
    import fcntl

    def is_running(capture: Path) -> bool:
        """Tell whether a capture goes on: from its begin until it begins to end. True where that cannot be known."""
        try:
            fd = os.open(capture / LOCK, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # another user's
            return True
        try:
            # As FileLock locks, but shared: who asks at the same time does not take one another for the capture.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False


def find_running(out: Path, urls: Sequence[str] | None = None) -> Path | None:
    """Return the newest capture in a data set that goes on, of these ports if they are named; None if there is none."""
    return next(find_all_running(out, urls), None)


def find_all_running(out: Path, urls: Sequence[str] | None = None) -> Iterator[Path]:
    """Yield the captures of :func:`find_running`, the newest first."""
    for lock in sorted(out.glob(f"capture=*/{LOCK}"), reverse=True):
        capture = lock.parent
        if not is_running(capture):
            continue
        with contextlib.suppress(EdgeprofError):
            names = [port.get("name") for port in load_capture(capture)["ports"]]
            if urls is None or names == [redact(url) for url in urls]:
                yield capture


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
    """Ask a capture to end, as Ctrl-C does where it runs; tell whether there was one to ask.

    Raises
    ------
    UsageError
        It goes on, but not as ``edgeprof capture`` in reach of this process: a signal could end something else.
    """
    process = load_capture(capture).get("process")
    if not is_running(capture):
        return False
    if (reason := why_not(process)) is not None:
        raise UsageError(f"{capture.name} {reason}, so it is not ended from here: end it where it was begun (Ctrl-C).")
    assert isinstance(process, dict)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process["pid"], signal.SIGTERM)
    return True
